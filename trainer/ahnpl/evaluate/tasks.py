"""What a benchmark is to the command: something that scores a model and says what its authors print."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Protocol

from ahnpl.evaluate.items import Item, shard_items
from ahnpl.evaluate.metrics import mean
from ahnpl.evaluate.run import Report, evaluate
from ahnpl.model import ClipModel
from ahnpl.shards import ShardSet


@dataclass(frozen=True)
class Settings:
    """How to score.

    Attributes:
        workers: decoding threads.
        limit: the first items only.
        max_bad: share of the pictures that may be missing or unreadable.
        advance: told how many items were scored.
    """

    batch_size: int = 64
    workers: int = 1
    limit: int | None = None
    max_bad: float = 0.01
    advance: Callable[[int], None] = lambda count: None


class Benchmark(Protocol):
    """Scores a model on files of its format."""

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report: ...


def _nothing(report: Report) -> dict[str, float]:
    return {}


@dataclass(frozen=True)
class CaptionBenchmark:
    """A benchmark of captions and pictures.

    Attributes:
        read: ``(path, pictures' folder, count of what is left out by reason) -> items``.
        authors: the averages that its authors print.
        retrieval: whether captions are to be found among all.
    """

    read: Callable[[Path, Path | None, Counter[str]], Iterator[Item]]
    authors: Callable[[Report], Mapping[str, float]] = _nothing
    retrieval: bool = False

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report:
        """Raises: see `read` and `evaluate`."""
        dropped: Counter[str] = Counter()
        items = self.read(path, images, dropped)
        report = _evaluate(items, model, settings, retrieval=self.retrieval)
        return replace(report, authors=dict(self.authors(report)), dropped=dict(dropped))


def score_shards(shards: ShardSet, model: ClipModel, settings: Settings) -> Report:
    """Held-out shards: every kind of negative, the 2x2 scores, and retrieval.

    Raises: see `shard_items` and `evaluate`.
    """
    return _evaluate(shard_items(shards), model, settings, retrieval=True)


def _evaluate(items: Iterator[Item], model: ClipModel, settings: Settings, *, retrieval: bool) -> Report:
    return evaluate(
        model, islice(items, settings.limit), retrieval=retrieval, diagnose=True, max_bad=settings.max_bad,
        batch_size=settings.batch_size, workers=settings.workers, advance=settings.advance,
    )  # fmt: skip


def mean_by_category(shares: Mapping[str, float], categories: Mapping[str, str]) -> dict[str, float]:
    """Plain mean of the kinds of each category, for the kinds that are there."""
    grouped: dict[str, list[float]] = {}
    for kind, share in shares.items():
        if kind in categories:
            grouped.setdefault(categories[kind], []).append(share)
    return {category: mean(found) for category, found in grouped.items()}
