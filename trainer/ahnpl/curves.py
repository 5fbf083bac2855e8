"""Pictures of runs: one run's loss parts and accuracy over steps, and several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final

from negmine.errors import UsageError

from ahnpl.checkpoint import read_json
from ahnpl.track import METRICS_NAME, read_metrics

CURVES_NAME: Final = "curves.png"
SHARES: Final = "eval/"
"""Metrics whose names begin so are scores of held-out pictures, most of them shares."""
COLUMNS: Final = 3
_RUN_OF: Final[tuple[str, ...]] = ("recipe", "model", "batch_size", "seed")
_ALSO: Final[tuple[str, ...]] = ("loss", "logit_scale")
"""What is compared beside the scores."""


@dataclass(frozen=True)
class RunRecord:
    """What a run left.

    Attributes:
        name: the shortest end of its path that no other run shares.
        rows: of its metrics.
        config: its configuration.
    """

    name: str
    rows: Sequence[Mapping[str, Any]]
    config: Mapping[str, Any]

    def points(self, metric: str) -> list[tuple[int, float]]:
        """(step, value) where it was logged."""
        return [(row["step"], row[metric]) for row in self.rows if metric in row]

    @property
    def figures(self) -> Mapping[str, Any]:
        """Recipe and so on, steps, and each score: the last and, if it is another, the best."""
        found: dict[str, Any] = {name: self.config[name] for name in _RUN_OF if name in self.config}
        found["steps"] = self.rows[-1]["step"]
        for metric in _metrics([self]):
            values = [value for _, value in self.points(metric)]
            best = f", best {max(values):.4g}" if metric.startswith(SHARES) and max(values) > values[-1] else ""
            found[metric.removeprefix(SHARES)] = f"{values[-1]:.4g}{best}"
        rates = [rate for _, rate in self.points("samples_per_s")]
        return {**found, "samples/s, median": f"{median(rates):,.0f}"} if rates else found


def draw_curves(run: Path) -> Path | None:
    """Draw ``curves.png`` from a run's metrics; None where there is nothing to draw."""
    rows = read_metrics(run)
    losses = sorted({name for row in rows for name in row if name.startswith("loss")})
    if not losses:
        return None
    scores = sorted({name for row in rows for name in row if name.startswith(SHARES)})
    figure = _figure(5.5 * (1 + bool(scores)), 3.6)
    axes = figure.subplots(1, 1 + bool(scores), squeeze=False)[0]
    _plot(axes[0], rows, losses, "loss")
    if scores:
        _plot(axes[1], rows, scores, "held-out images")
        axes[1].set_ylim(0, 1)
        axes[1].axhline(0.5, color="0.6", linewidth=0.8, linestyle=":", label="chance, of accuracy")
        axes[1].legend(frameon=False, fontsize=8)
    path = run / CURVES_NAME
    figure.savefig(path, dpi=130)
    return path


def read_runs(folders: Sequence[Path]) -> list[RunRecord]:
    """The records of some runs, in the order given, each once.

    Raises:
        UsageError: a folder that holds no run, or one without a row yet.
    """
    folders = list(dict.fromkeys(folder.resolve() for folder in folders))
    records = []
    for folder, name in zip(folders, _names(folders), strict=True):
        rows = read_metrics(folder)
        if not rows:
            raise UsageError(
                "this folder holds no run", where=str(folder), why=f"{METRICS_NAME} is missing or empty",
                fix="name run folders, such as runs/tiny-ahnpl",
            )  # fmt: skip
        recorded = folder / "run.json"
        config = read_json(recorded).get("config", {}) if recorded.is_file() else {}
        records.append(RunRecord(name, rows, config))
    return records


def draw_comparison(runs: Sequence[RunRecord], path: Path) -> Path:
    """Draw runs side by side: a panel for each metric that any of them has, a colour for each run.

    Raises:
        UsageError: not a PNG.
    """
    if path.suffix != ".png":
        raise UsageError("the comparison is a PNG", where=str(path), fix="--out FILE.png")
    metrics = _metrics(runs)
    columns = min(COLUMNS, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    figure = _figure(4.2 * columns, 2.9 * lines + 0.32 * len(runs) + 0.2)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, metric in zip(axes, metrics, strict=False):
        for number, run in enumerate(runs):
            _line(axis, run.points(metric), _style(number))
        _dress(axis, _title(metric, runs))
        if metric.startswith(SHARES):
            _share_axis(axis, [value for run in runs for _, value in run.points(metric)])
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    figure.legend(*_legend(runs), loc="outside upper left", frameon=False, fontsize=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=130)
    return path


def _metrics(runs: Sequence[RunRecord]) -> list[str]:
    """The loss, then scores in the order in which they were logged first, then the rest."""
    logged = list(dict.fromkeys(name for run in runs for row in run.rows for name in row))
    scores = [name for name in logged if name.startswith(SHARES)]
    present = [name for name in _ALSO if name in logged]
    return present[:1] + scores + present[1:] if "loss" in present else scores + present


def _title(metric: str, runs: Sequence[RunRecord]) -> str:
    recipes = {run.config.get("recipe") for run in runs}
    if metric == "loss" and len(recipes) > 1:
        return "loss (recipes differ: shape only)"
    return metric.removeprefix(SHARES).replace("_", " ")


def _legend(runs: Sequence[RunRecord]) -> tuple[list[Any], list[str]]:
    """A line for each run, and its name with the settings in which the runs differ."""
    from matplotlib.lines import Line2D

    differ = [
        name
        for name in sorted({name for run in runs for name in run.config} - {"out"})
        if len({repr(run.config.get(name)) for run in runs}) > 1 and name not in ("eval_shards", "shards")
    ]
    labels = []
    for run in runs:
        told = ", ".join(f"{name.replace('_', ' ')} {run.config.get(name)}" for name in differ[:4])
        labels.append(f"{run.name}   {told}" if told else run.name)
    return [Line2D([], [], linewidth=2, **_style(number)) for number in range(len(runs))], labels


def _style(number: int) -> dict[str, Any]:
    """Ten colours, then the same dashed, then dotted."""
    return {"color": f"C{number % 10}", "linestyle": ("-", "--", ":")[number // 10 % 3]}


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest ends of paths that are all different."""
    depth = 1
    while len({folder.parts[-depth:] for folder in folders}) < len(folders):
        depth += 1
    return ["/".join(folder.parts[-depth:]) for folder in folders]


def _figure(width: float, height: float) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _share_axis(axis: Any, values: Sequence[float]) -> None:
    """Shares in per cent, over the range that was met and a little more."""
    from matplotlib.ticker import PercentFormatter

    low, high = min(values), max(values)
    room = max(0.02, 0.08 * (high - low))
    axis.set_ylim(max(-0.01, low - room), min(1.01, high + room))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if high - low > 0.05 else 1))


def _line(axis: Any, points: Sequence[tuple[int, float]], style: Mapping[str, Any]) -> None:
    if points:
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, linewidth=1.6, marker="." if len(points) < 20 else "", **style)


def _dress(axis: Any, title: str) -> None:
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("step")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _plot(axis: Any, rows: list[dict[str, Any]], names: list[str], title: str) -> None:
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        label = name.removeprefix("loss/").removeprefix(SHARES)
        steps, values = zip(*points, strict=True)
        width, marker = (2.0 if name == "loss" else 1.2), ("." if len(points) < 20 else "")
        axis.plot(steps, values, label=label, linewidth=width, marker=marker)
    _dress(axis, title)
    axis.legend(frameon=False, fontsize=8)
