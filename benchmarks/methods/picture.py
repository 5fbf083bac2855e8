"""Curves of the group score, by steps and by CPU time."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

CHANCE = 1 / 6


def draw(results: Sequence[Mapping[str, Any]], path: Path, goal: float) -> None:
    """A line a recipe, the mean of its seeds, with their range."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    by_row: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for result in results:
        by_row[result["cell"]["row"]].append(result)
    figure, panels = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    colours = plt.get_cmap("tab10" if len(by_row) <= 10 else "tab20")
    ranked = sorted(by_row.items(), key=lambda pair: -np.mean([one["curve"][-1]["group"] for one in pair[1]]))
    for number, (name, many) in enumerate(ranked):
        groups = np.array([[point["group"] for point in one["curve"]] for one in many])
        for panel, axis in zip(panels, ("step", "cpu_seconds"), strict=True):
            where = np.mean([[point[axis] for point in one["curve"]] for one in many], axis=0)
            panel.plot(where, groups.mean(0), marker="o", markersize=3, color=colours(number), label=name)
            panel.fill_between(where, groups.min(0), groups.max(0), color=colours(number), alpha=0.15, linewidth=0)
    for panel, label in zip(panels, ("steps", "CPU seconds"), strict=True):
        panel.axhline(CHANCE, color="grey", linestyle=":", linewidth=1)
        panel.axhline(goal, color="grey", linestyle="--", linewidth=1)
        panel.set(xlabel=label, ylim=(0, 1))
        panel.spines[["top", "right"]].set_visible(False)
    panels[0].set_ylabel("2x2 group score, held-out scenes")
    panels[1].legend(frameon=False, fontsize=8, loc="lower right")
    figure.savefig(path, dpi=110)
    plt.close(figure)
