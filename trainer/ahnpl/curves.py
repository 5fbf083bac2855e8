"""The picture of a run: loss parts and accuracy over steps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ahnpl.track import read_metrics

CURVES_NAME = "curves.png"


def draw_curves(run: Path) -> Path | None:
    """Draw ``curves.png`` from a run's metrics; None where there is nothing to draw."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = read_metrics(run)
    losses = sorted({name for row in rows for name in row if name.startswith("loss")})
    if not losses:
        return None
    scores = sorted({name for row in rows for name in row if name.startswith("eval/")})
    figure = Figure(figsize=(5.5 * (1 + bool(scores)), 3.6), layout="constrained")
    FigureCanvasAgg(figure)
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


def _plot(axis: Any, rows: list[dict[str, Any]], names: list[str], title: str) -> None:
    for name in names:
        points = [(row["step"], row[name]) for row in rows if name in row]
        label = name.removeprefix("loss/").removeprefix("eval/")
        steps, values = zip(*points, strict=True)
        width, marker = (2.0 if name == "loss" else 1.2), ("." if len(points) < 20 else "")
        axis.plot(steps, values, label=label, linewidth=width, marker=marker)
    axis.set(title=title, xlabel="step")
    axis.grid(alpha=0.25)
    axis.spines[["top", "right"]].set_visible(False)
    axis.legend(frameon=False, fontsize=8)
