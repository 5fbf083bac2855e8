"""What the commands share: how they go, the pairs that they work on, and what they say at their end."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from negmine.base import console
from negmine.base.console import Summary
from negmine.cli.engine_options import EngineOptions
from negmine.cli.run_options import SAMPLE, RunOptions
from negmine.stages.pairs.settings import IngestSettings
from negmine.store import scratch

if TYPE_CHECKING:
    from negmine.engine import Engine
    from negmine.store import Manifest


@dataclass(frozen=True)
class Run:
    """Where a command works, with what, on which pairs, and since when."""

    work: Path
    engine: Engine
    pairs: Manifest
    started: float
    how: RunOptions

    def show(self, summary: Summary) -> None:
        """Print what a stage says, with how its pairs were read and how long it took."""
        from negmine.stages.pairs.summary import reading
        from negmine.store.work_folder import Stage

        seconds = round(time.monotonic() - self.started, 1)
        summary = replace(summary, figures={**reading(self.pairs.counts), **summary.figures, "seconds": seconds})
        if self.how.dry_run:
            headline = f"dry run on at most {SAMPLE} pairs; nothing was kept"
            examples = _examples(self.work / Stage.NEGATIVES) or summary.examples
            summary = Summary(summary.command, headline, summary.figures, examples=examples)
        console.show(summary, self.how.as_json)


@contextmanager
def open_pairs(pairs: str | None, reading: IngestSettings, how: RunOptions, where: EngineOptions) -> Iterator[Run]:
    """Read PAIRS, if given, and yield where the stage finds them; on a dry run that is a folder that goes away."""
    from negmine.stages.pairs.stage import ingest, write_sample
    from negmine.store.work_folder import load_pairs

    started, engine = time.monotonic(), where.start()
    if not how.dry_run:
        if pairs is None:
            known = load_pairs(how.work)
        else:
            known = ingest(replace(reading, path=pairs), how.work, engine, overwrite=how.overwrite)
        yield Run(how.work, engine, known, started, how)
        return
    with scratch() as folder:
        if pairs is None:
            path, root = write_sample(how.work, folder, SAMPLE)
            reading = replace(reading, path=str(path), format="jsonl", images=reading.images or root)
        else:
            reading = replace(reading, path=pairs)
        reading = replace(reading, limit=min(reading.limit or SAMPLE, SAMPLE))
        yield Run(folder, engine, ingest(reading, folder, engine), started, how)


def _examples(folder: Path) -> dict[str, str]:
    """One negative of each kind."""
    if not folder.is_dir():
        return {}
    from negmine.store import read_part

    rows = read_part(folder, 0, ["caption", "negative", "kind"]).slice(0, 200)
    shown = {row["kind"]: row for row in reversed(rows.to_pylist())}
    return {kind: f"{row['caption']} -> {row['negative']}" for kind, row in sorted(shown.items())}
