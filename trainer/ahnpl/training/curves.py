"""Images of runs: one run's loss parts and accuracy over steps, and several runs side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, TypedDict

from negmine.base.errors import UsageError
from negmine.contract.training_runs import SCORE, Metrics, TrainingRun, differing_settings, drawn_metrics, read_metrics

from ahnpl.evaluation.png import write_png

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

CURVES_NAME: Final = "curves.png"
COLUMNS: Final = 3
_DASHES: Final[tuple[Literal["-", "--", ":"], ...]] = ("-", "--", ":")
_RUN_OF: Final[tuple[str, ...]] = ("recipe", "model", "batch_size", "seed")


class Style(TypedDict):
    """Of a line, as matplotlib's arguments."""

    color: str
    linestyle: Literal["-", "--", ":"]


def figures(run: TrainingRun) -> dict[str, object]:
    """Recipe and so on, steps, and each score: the last and, if it is another, the best."""
    found: dict[str, object] = {name: run.config[name] for name in _RUN_OF if name in run.config}
    found["steps"] = run.steps
    for metric in drawn_metrics([run]):
        values = [value for _, value in run.points(metric)]
        best = f", best {max(values):.4g}" if metric.startswith(SCORE) and max(values) > values[-1] else ""
        found[metric.removeprefix(SCORE)] = f"{values[-1]:.4g}{best}"
    return {**found, "samples/s, median": f"{run.rate:,.0f}"} if run.rate else found


def draw_curves(run: Path) -> Path | None:
    """Draw ``curves.png`` from a run's metrics; None where there is nothing to draw."""
    rows = read_metrics(run)
    losses = sorted({name for row in rows for name in row if name.startswith("loss")})
    if not losses:
        return None
    scores = sorted({name for row in rows for name in row if name.startswith(SCORE)})
    figure = _figure(5.5 * (1 + bool(scores)), 3.6)
    axes = figure.subplots(1, 1 + bool(scores), squeeze=False)[0]
    _plot(axes[0], rows, losses, "loss")
    if scores:
        _plot(axes[1], rows, scores, "held-out images")
        axes[1].set_ylim(0, 1)
        axes[1].axhline(0.5, color="0.6", linewidth=0.8, linestyle=":", label="chance, of accuracy")
        axes[1].legend(frameon=False, fontsize=8)
    return write_png(figure, run / CURVES_NAME)


def draw_comparison(runs: Sequence[TrainingRun], path: Path) -> Path:
    """Draw runs side by side: a panel for each metric that any of them has, a colour for each run.

    Raises:
        UsageError: not a PNG.
    """
    if path.suffix != ".png":
        raise UsageError("the comparison is a PNG", where=str(path), fix="--out FILE.png")
    metrics = drawn_metrics(runs)
    columns = min(COLUMNS, len(metrics))
    lines = math.ceil(len(metrics) / columns)
    figure = _figure(4.2 * columns, 2.9 * lines + 0.32 * len(runs) + 0.2)
    axes = figure.subplots(lines, columns, squeeze=False).ravel()
    for axis, metric in zip(axes, metrics, strict=False):
        for number, run in enumerate(runs):
            _line(axis, run.points(metric), _style(number))
        _dress(axis, _title(metric, runs))
        if metric.startswith(SCORE):
            _share_axis(axis, [value for run in runs for _, value in run.points(metric)])
    for axis in axes[len(metrics) :]:
        axis.set_visible(False)
    figure.legend(*_legend(runs), loc="outside upper left", frameon=False, fontsize=10)
    return write_png(figure, path)


def _title(metric: str, runs: Sequence[TrainingRun]) -> str:
    recipes = {run.config.get("recipe") for run in runs}
    if metric == "loss" and len(recipes) > 1:
        return "loss (recipes differ: shape only)"
    return metric.removeprefix(SCORE).replace("_", " ")


def _legend(runs: Sequence[TrainingRun]) -> tuple[list[Line2D], list[str]]:
    """A line for each run, and its name with the settings in which the runs differ."""
    from matplotlib.lines import Line2D

    differ = differing_settings(runs)
    labels = []
    for run in runs:
        told = ", ".join(f"{name.replace('_', ' ')} {run.config.get(name)}" for name in differ[:4])
        labels.append(f"{run.name}   {told}" if told else run.name)
    return [Line2D([], [], linewidth=2, **_style(number)) for number in range(len(runs))], labels


def _style(number: int) -> Style:
    """Ten colours, then the same dashed, then dotted."""
    return {"color": f"C{number % 10}", "linestyle": _DASHES[number // 10 % 3]}


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _share_axis(axis: Axes, values: Sequence[float]) -> None:
    """Shares in per cent, over the range that was met and a little more."""
    from matplotlib.ticker import PercentFormatter

    low, high = min(values), max(values)
    room = max(0.02, 0.08 * (high - low))
    axis.set_ylim(max(-0.01, low - room), min(1.01, high + room))
    axis.yaxis.set_major_formatter(PercentFormatter(1, decimals=0 if high - low > 0.05 else 1))


def _line(axis: Axes, points: Sequence[tuple[float, float]], style: Style) -> None:
    if points:
        steps, values = zip(*points, strict=True)
        axis.plot(steps, values, linewidth=1.6, marker="." if len(points) < 20 else "", **style)


def _dress(axis: Axes, title: str) -> None:
    axis.set_title(title, fontsize=11)
    axis.set_xlabel("step")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)


def _plot(axis: Axes, rows: list[Metrics], names: list[str], title: str) -> None:
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        label = name.removeprefix("loss/").removeprefix(SCORE)
        steps, values = zip(*points, strict=True)
        width, marker = (2.0 if name == "loss" else 1.2), ("." if len(points) < 20 else "")
        axis.plot(steps, values, label=label, linewidth=width, marker=marker)
    _dress(axis, title)
    axis.legend(frameon=False, fontsize=8)
