"""From results to a table, intervals and an image."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
GOAL = 0.9

OTHERS = {
    ("Geometry3K", "group"): "Geometry3K 2x2 group",
    ("Geometry3K", "i2t"): "i2t",
    ("Geometry3K", "t2i"): "t2i",
    ("Geometry3K", "recall"): "R@1 of 500",
    ("NLVR", "accuracy"): "NLVR accuracy",
    ("NLVR", "auc"): "NLVR AUC",
}
"""Test of other people's data and its score, to the head of a column."""


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and items, and its 95 % bootstrap interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Line:
    """A row of the table: all seeds of a recipe at one setting.

    Attributes:
        each: seed to group score.
        spread: standard deviation of the group score over seeds; nan with one seed.
        goal, reached: see `crossing`, of the mean over seeds.
        at_equal_cpu: group score when the cheapest row's CPU time was spent, from the curve.
        others: head of a column (see `OTHERS`) to its value, of the seeds that were scored on other data.
        others_seeds: these seeds.
        curve: steps, CPU seconds and group score, means over seeds; `least` and `most` are the seeds' range.
    """

    name: str
    difficulty: int
    group: Estimate
    recall: Estimate
    each: Mapping[int, float]
    spread: float
    i2t: float
    t2i: float
    text: float
    cpu_seconds: float
    goal: float
    reached: float | None
    at_equal_cpu: float
    kinds: Mapping[str, float]
    others: Mapping[str, Estimate | float]
    others_seeds: Sequence[int]
    curve: Sequence[tuple[int, float, float]]
    least: Sequence[float]
    most: Sequence[float]


def lines(results: Sequence[Mapping[str, Any]], goal: float = GOAL) -> list[Line]:
    """One line a recipe and difficulty, the best group score first."""
    by: dict[tuple[int, str], list[Mapping[str, Any]]] = defaultdict(list)
    for found in results:
        by[found["cell"]["difficulty"], found["cell"]["row"]].append(found)
    cheapest = {
        level: min(mean_cpu(found) for (at, _), found in by.items() if at == level) for level in {at for at, _ in by}
    }
    made = [_line(name, level, found, cheapest[level], goal) for (level, name), found in by.items()]
    return sorted(made, key=lambda line: (line.difficulty, -line.group.mean))


def mean_cpu(found: Sequence[Mapping[str, Any]]) -> float:
    """CPU seconds of training, start and checkpoints included."""
    return float(np.mean([one["cpu_seconds"] for one in found]))


def _line(name: str, level: int, found: Sequence[Mapping[str, Any]], budget: float, goal: float) -> Line:
    final = [one["curve"][-1] for one in found]
    scores = np.array([one["group"] for one in final])
    curve = [
        (points[0]["step"], *(float(np.mean([p[what] for p in points])) for what in ("cpu_seconds", "group")))
        for points in zip(*(one["curve"] for one in found), strict=True)
    ]
    steps, seconds, heights = (list(column) for column in zip(*curve, strict=True))
    by_seed = [[point["group"] for point in one["curve"]] for one in found]
    return Line(
        name=name,
        difficulty=level,
        group=bootstrap(_items(found, "group")),
        recall=bootstrap(_items(found, "recall")),
        each={one["cell"]["seed"]: float(score) for one, score in zip(found, scores, strict=True)},
        spread=float(scores.std(ddof=1)) if len(scores) > 1 else float("nan"),
        **{what: float(np.mean([one[what] for one in final])) for what in ("i2t", "t2i", "text")},
        cpu_seconds=mean_cpu(found),
        goal=goal,
        reached=crossing(steps, heights, goal),
        at_equal_cpu=float(np.interp(budget, seconds, heights)),
        kinds={kind: float(np.mean([one["kinds"][kind][0] for one in final])) for kind in final[0]["kinds"]},
        others=_others(found),
        others_seeds=[one["cell"]["seed"] for one in found if "others" in one],
        curve=curve,
        least=[min(at) for at in zip(*by_seed, strict=True)],
        most=[max(at) for at in zip(*by_seed, strict=True)],
    )


def _others(found: Sequence[Mapping[str, Any]]) -> dict[str, Estimate | float]:
    """With an interval where the items are there."""
    made: dict[str, Estimate | float] = {}
    for (test, what), head in OTHERS.items():
        scored = [one["others"][test] for one in found if test in one.get("others", {})]
        if scored and what in scored[0]["items"]:
            made[head] = bootstrap(_items(scored, what))
        elif scored:
            made[head] = float(np.mean([one["summary"][what] for one in scored]))
    return made


def crossing(steps: Sequence[int], heights: Sequence[float], goal: float) -> float | None:
    """Where the curve first is at the goal, a straight line from point to point; None if it never is."""
    for place, height in enumerate(heights):
        if height >= goal:
            if place == 0:
                return float(steps[0])
            share = (goal - heights[place - 1]) / (height - heights[place - 1])
            return float(steps[place - 1] + share * (steps[place] - steps[place - 1]))
    return None


def _items(found: Sequence[Mapping[str, Any]], what: str) -> NDArray[np.float64]:
    return np.array([one["items"][what] for one in found])


def bootstrap(items: NDArray[np.float64]) -> Estimate:
    """Mean of ``[seeds, items]`` with a 95 % percentile interval; seeds and items are drawn again independently."""
    chance = np.random.default_rng(0)
    rows, columns = items.shape
    means = []
    for _ in range(RESAMPLES):
        weight = np.bincount(chance.integers(rows, size=rows), minlength=rows) / rows
        times = np.bincount(chance.integers(columns, size=columns), minlength=columns) / columns
        means.append(weight @ items @ times)
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(float(items.mean()), float(low), float(high))


def markdown(made: Sequence[Line]) -> str:
    """The table."""
    head = (
        "difficulty",
        "rank",
        "recipe",
        "2x2 group",
        "each seed",
        "spread",
        "i2t",
        "t2i",
        "R@1 of 500",
        "CPU s",
        f"steps to {made[0].goal}",
        "group at equal CPU",
    )
    ranks: dict[int, int] = defaultdict(int)
    body = []
    for line in made:
        ranks[line.difficulty] += 1
        body.append(
            (
                str(line.difficulty),
                str(ranks[line.difficulty]),
                f"`{line.name}`",
                str(line.group),
                ", ".join(f"{seed}: {score:.3f}" for seed, score in line.each.items()),
                "" if np.isnan(line.spread) else f"{line.spread:.3f}",
                f"{line.i2t:.3f}",
                f"{line.t2i:.3f}",
                str(line.recall),
                f"{line.cpu_seconds:.0f}",
                "-" if line.reached is None else f"{line.reached:.0f}",
                f"{line.at_equal_cpu:.3f}",
            )
        )
    return _table(head, body)


def kinds(made: Sequence[Line]) -> str:
    """2x2 group score by kind of edit."""
    names = sorted({kind for line in made for kind in line.kinds})
    body = [
        (str(line.difficulty), f"`{line.name}`", *(f"{line.kinds[k]:.3f}" if k in line.kinds else "" for k in names))
        for line in made
    ]
    return _table(("difficulty", "recipe", *names), body)


def others(made: Sequence[Line]) -> str:
    """Scores on other people's data; nothing if no line has any."""
    heads = [head for head in OTHERS.values() if any(head in line.others for line in made)]
    if not heads:
        return ""
    body = [
        (
            str(line.difficulty),
            f"`{line.name}`",
            ", ".join(map(str, line.others_seeds)),
            *(_short(line.others[head]) if head in line.others else "" for head in heads),
        )
        for line in made
    ]
    return _table(("difficulty", "recipe", "seeds", *heads), body)


def _short(value: Estimate | float) -> str:
    return str(value) if isinstance(value, Estimate) else f"{value:.3f}"


def _table(head: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    """Markdown; a first column that is the same everywhere is left out."""
    first = len({row[0] for row in body}) == 1
    rows = [row[first:] for row in (head, ["---"] * len(head), *body)]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def draw(made: Sequence[Line], path: Path) -> None:
    """Group score over steps and over CPU seconds, a row of panels a difficulty."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    levels = sorted({line.difficulty for line in made})
    names = sorted({line.name for line in made})
    figure, panels = plt.subplots(len(levels), 2, figsize=(11, 4 * len(levels)), sharey="row", squeeze=False)
    colours = plt.get_cmap("tab10" if len(names) <= 10 else "tab20")
    for level, pair in zip(levels, panels, strict=True):
        for line in (line for line in made if line.difficulty == level):
            steps, seconds, heights = zip(*line.curve, strict=True)
            colour = colours(names.index(line.name) % colours.N)
            for panel, where in zip(pair, (steps, seconds), strict=True):
                panel.plot(where, heights, color=colour, marker="o", markersize=3, label=line.name)
                panel.fill_between(where, line.least, line.most, color=colour, alpha=0.15, linewidth=0)
        for panel, axis in zip(pair, ("steps", "CPU seconds"), strict=True):
            panel.axhline(1 / 6, color="grey", linestyle=":", linewidth=1)
            panel.axhline(made[0].goal, color="grey", linestyle="--", linewidth=1)
            panel.set(xlabel=axis, ylim=(0, 1), title=f"difficulty {level}" if len(levels) > 1 else "")
            panel.spines[["top", "right"]].set_visible(False)
        pair[0].set_ylabel("2x2 group score, held-out scenes")
        pair[1].legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    plt.close(figure)
