"""Training runs as the trainer leaves them: ``metrics.jsonl`` and ``run.json`` in a folder each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Final

from negmine.base.errors import DamagedError, UsageError
from negmine.base.whole_files import read_whole

METRICS_NAME: Final = "metrics.jsonl"
RECORD_NAME: Final = "run.json"
SCORE: Final = "eval/"
"""Metrics whose names begin so are shares of held-out images."""
BY_KIND: Final = "kind/"
"""Metrics whose names begin so are the accuracy on one kind of negatives."""
ALSO: Final = ("loss", "logit_scale")
RENAMED: Final = {"accum": "grad_cache_chunks", "shares": "canonical_ranks"}
"""Settings, and options, that earlier versions had under other names."""
Metrics = Mapping[str, float]
"""A row of metrics: ``step``, a whole number, and values by name."""
_PLACES: Final = ("out", "shards", "eval_shards")
"""Settings that tell nothing of a run: where things lay."""


def under_new_names(settings: Mapping[str, object]) -> dict[str, object]:
    """The settings of a run, perhaps of an earlier version, by the names of today."""
    return {RENAMED.get(name, name): value for name, value in settings.items()}


@dataclass(frozen=True)
class TrainingRun:
    """What a run left.

    Attributes:
        name: the shortest end of its path that no other run shares.
        rows: of its metrics, in their order.
        config: its settings.
    """

    name: str
    rows: Sequence[Metrics]
    config: Mapping[str, object]

    def points(self, metric: str) -> list[tuple[float, float]]:
        """(step, value) where a finite value was logged."""
        return [(row["step"], row[metric]) for row in self.rows if math.isfinite(row.get(metric, math.nan))]

    def last(self, metric: str) -> float | None:
        points = self.points(metric)
        return points[-1][1] if points else None

    @property
    def steps(self) -> int:
        return int(self.rows[-1]["step"])

    @property
    def rate(self) -> float | None:
        """Samples a second, median."""
        rates = [rate for _, rate in self.points("samples_per_s")]
        return median(rates) if rates else None


def read_runs(folders: Sequence[Path]) -> list[TrainingRun]:
    """The runs in these folders, in the order given, each once.

    Raises:
        UsageError: a folder that holds no run, or one without a row yet.
        DamagedError: a row or a record cannot be read.
    """
    places = list(dict.fromkeys(folder.resolve() for folder in folders))
    return [_read_run(place, name) for place, name in zip(places, _names(places), strict=True)]


def _read_run(folder: Path, name: str) -> TrainingRun:
    rows = read_metrics(folder)
    if not rows:
        raise UsageError(
            "this folder holds no run",
            where=str(folder),
            why=f"{METRICS_NAME} is missing or empty",
            fix="name run folders, such as runs/tiny-ahnpl",
        )
    return TrainingRun(name, rows, _config(folder))


def read_metrics(folder: Path) -> list[Metrics]:
    """Rows of a run's ``metrics.jsonl``, none where there is no such file; a last row that a crash cut is left out.

    Raises:
        DamagedError: another row cannot be read.
    """
    path = folder / METRICS_NAME
    lines = path.read_bytes().split(b"\n")[:-1] if path.is_file() else []
    return [_row(line, f"{path}, line {number}") for number, line in enumerate(lines, 1) if line]


def _row(line: bytes, where: str) -> Metrics:
    try:
        row = json.loads(line.decode())
        if not isinstance(row["step"], int) or not all(isinstance(value, int | float) for value in row.values()):
            raise TypeError("a row is numbers by name, its step a whole one")
        for value in row.values():
            float(value)  # whole numbers have no end in JSON
        return dict(row)
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError) as error:
        raise DamagedError(
            "a row of metrics cannot be read",
            where=where,
            why=repr(error),
            fix="delete the line, or train again with --overwrite",
        ) from None


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that are all different."""
    depth = 1
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in folders]


def _config(folder: Path) -> Mapping[str, object]:
    path = folder / RECORD_NAME
    if not path.is_file():
        return {}
    try:
        config = json.loads(read_whole(path).decode())["config"]
        if not isinstance(config, dict):
            raise TypeError("its config is no table")
        return under_new_names(config)
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DamagedError(
            "the record of a run cannot be read",
            where=str(path),
            why=repr(error),
            fix="delete the file: curves are shown without the settings then",
        ) from None


def drawn_metrics(runs: Sequence[TrainingRun]) -> list[str]:
    """What is drawn: the loss, scores in the order in which they were logged first, then the rest."""
    logged = list(dict.fromkeys(name for run in runs for row in run.rows for name in row))
    loss, *rest = ALSO
    scores = [name for name in logged if name.startswith(SCORE)]
    return [name for name in (loss, *scores, *rest) if any(run.points(name) for run in runs)]


def scored_kinds(runs: Sequence[TrainingRun]) -> list[str]:
    """Kinds that any run was scored on, by name."""
    return sorted(
        {name.removeprefix(BY_KIND) for run in runs for row in run.rows for name in row if name.startswith(BY_KIND)}
    )


def differing_settings(runs: Sequence[TrainingRun]) -> list[str]:
    """Names of the settings in which the runs differ."""
    every = sorted({name for run in runs for name in run.config} - set(_PLACES))
    return [name for name in every if len({repr(run.config.get(name)) for run in runs}) > 1]
