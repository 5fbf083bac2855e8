"""What the template is told of training runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from markupsafe import Markup

from negmine.contract.training_runs import BY_KIND, SCORE, TrainingRun, differing_settings, drawn_metrics, scored_kinds
from negmine.outputs.report.as_text import as_text, flattened
from negmine.outputs.report.charts import Curve, draw_curves

COLOURS: Final = 8
"""Of runs; then they are used again."""
DIFFERENCES: Final = 6
"""Most settings named in the legend."""


def runs_context(runs: Sequence[TrainingRun]) -> dict[str, object]:
    """Variables of the template."""
    drawn, differ = drawn_metrics(runs), differing_settings(runs)
    scores = [name for name in drawn if name != "loss"]
    return {
        "runs": [
            {
                "name": run.name,
                "told": _differences(run, differ) or f"{run.steps:,} steps",
                "cells": [
                    f"{run.steps:,}",
                    *(_cell(run, name) for name in ("loss", *scores)),
                    f"{run.rate:,.0f}" if run.rate else "–",
                ],
                "settings": list(flattened(run.config)),
            }
            for run in runs
        ],
        "heads": ["steps", *(_metric(name) for name in ("loss", *scores)), "samples/s"],
        "curves": [
            {"title": _title(name, runs), "svg": _curves(name, runs)}
            for name in drawn
            if any(run.points(name) for run in runs)
        ],
        "by_kind": [_by_kind(kind, runs) for kind in scored_kinds(runs)],
    }


def _differences(run: TrainingRun, names: Sequence[str]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {as_text(run.config.get(name))}" for name in names[:DIFFERENCES])


def _curves(metric: str, runs: Sequence[TrainingRun]) -> Markup:
    curves = [Curve(n % COLOURS, run.name, run.points(metric)) for n, run in enumerate(runs) if run.points(metric)]
    return draw_curves(_metric(metric), curves, percent=metric.startswith(SCORE))


def _title(metric: str, runs: Sequence[TrainingRun]) -> str:
    other = metric == "loss" and len({run.config.get("recipe") for run in runs}) > 1
    return "loss (recipes differ: shape only)" if other else _metric(metric)


def _metric(name: str) -> str:
    return name.removeprefix(SCORE).replace("_", " ")


def _cell(run: TrainingRun, metric: str) -> str:
    """The last value, and the best where that is another."""
    values = [value for _, value in run.points(metric)]
    if not values:
        return "–"
    if not metric.startswith(SCORE):
        return f"{values[-1]:.4g}"
    best = f" (best {max(values):.1%})" if round(max(values), 3) > round(values[-1], 3) else ""
    return f"{values[-1]:.1%}{best}"


def _by_kind(kind: str, runs: Sequence[TrainingRun]) -> dict[str, object]:
    found = [run.last(BY_KIND + kind) for run in runs]
    known = [share for share in found if share is not None]
    return {"kind": kind, "shares": found, "best": max(known) if len(known) > 1 else None}
