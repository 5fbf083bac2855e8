"""What the commands share: the pairs that they work on, and what they say at their end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negmine.base import console
from negmine.base.addresses import address_of
from negmine.base.console import Summary
from negmine.cli.engine_options import EngineOptions
from negmine.cli.options import DEFAULT_WORK, SAMPLE
from negmine.store import scratch
from negmine.store.places import option

if TYPE_CHECKING:
    from negmine.engine import Engine
    from negmine.sources import Columns
    from negmine.store import Manifest


@dataclass(frozen=True)
class Run:
    """Where a command works, with what, on which pairs, and since when."""

    work: Path
    engine: Engine
    dry_run: bool
    pairs: Manifest
    started: float

    def show(
        self, command: str, figures: dict[str, Any], written_to: Path, next_steps: tuple[str, ...], as_json: bool
    ) -> None:
        counts = self.pairs.counts
        read = {
            "rows read": counts["rows"],
            **_reading(counts),
            "rows rejected": group(counts, "rejected:"),
            "noted while reading": {name: n for name, n in group(counts, "noted:").items() if ":" not in name},
            "captions changed": group(counts, "changed:"),
            "image ids changed": group(counts, "image_id:"),
        }
        figures = {**read, **figures, "seconds": round(time.monotonic() - self.started, 1)}
        if self.dry_run:
            headline = f"dry run on at most {SAMPLE} pairs; nothing was kept"
            console.show(Summary(command, headline, figures, examples=_examples(self.work / "negatives")), as_json)
            return
        console.show(Summary(command, "done", figures, {"written to": str(written_to)}, next_steps), as_json)


@contextmanager
def open_pairs(
    pairs: str | None, format_: str | None, columns: Columns | None, images: str | None, limit: int | None,
    max_bad: float, max_pixels: int, where: EngineOptions, work: Path, overwrite: bool, dry_run: bool,
) -> Iterator[Run]:  # fmt: skip
    """Read PAIRS, if given, and yield where the stage finds them; on a dry run that is a folder that goes away."""
    from negmine.stages.pairs.stage import IngestSettings, ingest, write_sample
    from negmine.store.work_folder import load_pairs

    started, engine = time.monotonic(), where.start()
    settings = IngestSettings(pairs or "", format_, images, max_pixels=max_pixels, limit=limit)
    if columns is not None:
        settings = replace(settings, columns=columns)
    if not dry_run:
        if pairs is None:
            known = load_pairs(work)
        else:
            known = ingest(settings, work, engine, max_bad=max_bad, overwrite=overwrite)
        yield Run(work, engine, dry_run, known, started)
        return
    with scratch() as folder:
        if pairs is None:
            path, root = write_sample(work, folder, SAMPLE)
            settings = replace(settings, path=str(path), format="jsonl", images=images or root)
        settings = replace(settings, limit=min(limit or SAMPLE, SAMPLE))
        known = ingest(settings, folder, engine, max_bad=max_bad)
        yield Run(folder, engine, dry_run, known, started)


def columns_of(
    caption: str | None, image: str | None, key: str | None, delimiter: str | None, no_header: bool
) -> Columns:
    from negmine.sources import Columns

    named = {"tab": "\t", "\\t": "\t"}
    return Columns(caption, image, key, named.get(delimiter, delimiter) if delimiter else None, header=not no_header)


def _reading(counts: dict[str, int]) -> dict[str, Any]:
    """How the input was read, where something had to be chosen."""
    figures: dict[str, Any] = {}
    for title, prefix in (("columns", "noted:columns:"), ("pictures in", "noted:folder:")):
        found = group(counts, prefix)
        if found:
            files = {name: f"{n:,} files" if n > 1 else "1 file" for name, n in found.items()}
            figures[title] = next(iter(found)) if len(found) == 1 else files
    if few := counts.get("different_captions"):
        figures["different captions"] = few
    return figures


def group(counts: dict[str, int], prefix: str) -> dict[str, int]:
    """Counts under a prefix, the largest first."""
    found = {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix) and n}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def guards(counts: dict[str, int]) -> dict[str, int]:
    """``rejected:RULE:GUARD`` summed over rules."""
    total: dict[str, int] = {}
    for name, n in group(counts, "rejected:").items():
        guard = name.rpartition(":")[2]
        total[guard] = total.get(guard, 0) + n
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))


def _examples(folder: Path) -> dict[str, str]:
    """One negative of each kind."""
    if not folder.is_dir():
        return {}
    import pyarrow.parquet as pq

    from negmine.store import here

    rows = pq.read_table(here(folder / "part-00000.parquet"), columns=["caption", "negative", "kind"]).slice(0, 200)
    shown = {row["kind"]: row for row in reversed(rows.to_pylist())}
    return {kind: f"{row['caption']} -> {row['negative']}" for kind, row in sorted(shown.items())}


def option_of(name: str, value: Path) -> str:
    return "" if value == DEFAULT_WORK else f" {name} {option(value)}"


def tars_in(folder: Path) -> str:
    """The shards of a folder, for a shell, which has no part in patterns of addresses."""
    return option(folder / "*.tar") if address_of(folder) else f"{option(folder)}/*.tar"
