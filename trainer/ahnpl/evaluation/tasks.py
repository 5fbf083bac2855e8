"""What a benchmark is to the command: something that scores a model and says what its authors print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Final, Protocol

from negmine.base.errors import InputError
from negmine.contract.records import Rejected

from ahnpl.data.shards import ShardSet
from ahnpl.evaluation.items import Item, shard_items
from ahnpl.evaluation.metrics import mean
from ahnpl.evaluation.run import Report, evaluate
from ahnpl.evaluation.settings import Settings
from ahnpl.model.clip import ClipModel

EXAMPLES: Final = 5
"""Refused rows that a message shows."""


class Benchmark(Protocol):
    """Scores a model on files of its format."""

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report: ...


def _nothing(report: Report) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class CaptionBenchmark:
    """A benchmark of captions and images.

    Attributes:
        read: ``(path, images' folder, count of what is left out by reason) -> items``, and rows that are refused.
        authors: the averages that its authors print.
        retrieval: whether captions are to be found among all.
    """

    read: Callable[[Path, Path | None, Counter[str]], Iterator[Item | Rejected]]
    authors: Callable[[Report], Mapping[str, float]] = _nothing
    retrieval: bool = False

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report:
        """Raises: see `read` and `evaluate`."""
        dropped: Counter[str] = Counter()
        items = _usable(self.read(path, images, dropped), dropped, settings.max_bad)
        report = _evaluate(items, model, settings, retrieval=self.retrieval)
        return replace(report, authors=dict(self.authors(report)), dropped=dict(dropped))


def _usable(rows: Iterator[Item | Rejected], dropped: Counter[str], max_bad: float) -> Iterator[Item]:
    """The items; refused rows are counted by their reason.

    Raises:
        InputError: more than `max_bad` of the rows were refused, or all of them.
    """
    refused: Counter[str] = Counter()
    examples: list[str] = []
    kept = 0
    for row in rows:
        if isinstance(row, Rejected):
            refused[row.reason] += 1
            dropped[row.reason] += 1
            if len(examples) < EXAMPLES:
                examples.append(f"{row.source}, row {row.row}: {row.reason} ({row.detail})")
        else:
            kept += 1
            yield row
    bad, limit = refused.total(), f"more than --max-bad {max_bad:g} allows" if kept else "and none is left"
    if bad > max_bad * (kept + bad) or (bad and not kept):
        raise InputError(
            f"{bad:,} of {kept + bad:,} rows were refused, {limit}",
            where="; ".join(examples),
            why=", ".join(f"{reason} {count:,}" for reason, count in refused.most_common()),
            fix="mend these rows, or allow more with --max-bad; docs/formats.md lists the reasons",
        )


def score_shards(shards: ShardSet, model: ClipModel, settings: Settings) -> Report:
    """Held-out shards: every kind of negative, the 2x2 scores, and retrieval.

    Raises: see `shard_items` and `evaluate`.
    """
    return _evaluate(shard_items(shards), model, settings, retrieval=True)


def _evaluate(items: Iterator[Item], model: ClipModel, settings: Settings, *, retrieval: bool) -> Report:
    return evaluate(
        model,
        islice(items, settings.limit),
        retrieval=retrieval,
        diagnose=True,
        max_bad=settings.max_bad,
        batch_size=settings.batch_size,
        workers=settings.workers,
        advance=settings.advance,
    )


def mean_by_category(shares: Mapping[str, float], categories: Mapping[str, str]) -> dict[str, float]:
    """Plain mean of the kinds of each category, for the kinds that are there."""
    grouped: dict[str, list[float]] = {}
    for kind, share in shares.items():
        if kind in categories:
            grouped.setdefault(categories[kind], []).append(share)
    return {category: mean(found) for category, found in grouped.items()}
