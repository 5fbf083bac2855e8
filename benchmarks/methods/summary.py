"""Cells to a table: means over seeds, intervals, ranks, steps and CPU time to a score."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

GOAL = 0.9
DRAWS = 2000

Result = Mapping[str, Any]


@dataclass(frozen=True)
class Row:
    """One recipe, all its seeds.

    Attributes:
        metrics: of the last point, by name the mean over seeds.
        intervals: of ``group`` and ``recall``, 95 %, bootstrapped over seeds and held-out scenes together.
        spread: of the seeds' group scores, the standard deviation; 0 with one seed.
        rank: by group score, 1 the best.
        to_goal: for each seed the step at which the curve crosses `GOAL`, None where it does not.
        equal_cpu: group score when the quickest row of the table was done.
    """

    name: str
    seeds: int
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]]
    spread: float
    rank: int
    steps: int
    to_goal: list[float | None]
    cpu_seconds: float
    equal_cpu: float
    kinds: dict[str, float]


def summarise(results: Sequence[Result]) -> list[Row]:
    """One row a recipe, in the order in which they come."""
    by_row: dict[str, list[Result]] = defaultdict(list)
    for result in results:
        by_row[result["cell"]["row"]].append(result)
    least = min(np.mean([one["cpu_seconds"] for one in many]) for many in by_row.values())
    means = {name: np.mean([_last(one)["group"] for one in many]) for name, many in by_row.items()}
    order = sorted(means, key=lambda name: -means[name])
    return [_row(name, many, order.index(name) + 1, float(least)) for name, many in by_row.items()]


def _row(name: str, many: Sequence[Result], rank: int, least: float) -> Row:
    finals = [_last(one) for one in many]
    numbers = ("group", "i2t", "t2i", "text", "recall")
    kinds = finals[0]["kinds"]
    return Row(
        name, len(many), {key: float(np.mean([final[key] for final in finals])) for key in numbers},
        {key: interval(np.array([one["items"][key] for one in many])) for key in ("group", "recall")},
        float(np.std([final["group"] for final in finals], ddof=1)) if len(many) > 1 else 0.0,
        rank, many[0]["cell"]["steps"], [crossing(one["curve"]) for one in many],
        float(np.mean([one["cpu_seconds"] for one in many])),
        float(np.mean([_at(one["curve"], "cpu_seconds", least) for one in many])),
        {kind: float(np.mean([final["kinds"][kind][0] for final in finals])) for kind in kinds},
    )  # fmt: skip


def _last(result: Result) -> Mapping[str, Any]:
    last: Mapping[str, Any] = result["curve"][-1]
    return last


def interval(values: NDArray[np.float64], draws: int = DRAWS) -> tuple[float, float]:
    """95 % percentile interval of the mean of ``[seeds, items]``, both drawn with replacement."""
    rng = np.random.default_rng(0)
    seeds, items = values.shape
    found = np.empty(draws)
    for draw in range(draws):
        chosen = values[rng.integers(seeds, size=seeds)].mean(0)
        found[draw] = chosen[rng.integers(items, size=items)].mean()
    low, high = np.quantile(found, (0.025, 0.975))
    return float(low), float(high)


def crossing(curve: Sequence[Mapping[str, Any]], goal: float = GOAL) -> float | None:
    """The step at which the group score reaches the goal, interpolated between two points; None if it does not."""
    before = {"step": 0, "group": 0.0}
    for point in curve:
        if point["group"] >= goal:
            share = (goal - before["group"]) / (point["group"] - before["group"])
            return float(before["step"] + share * (point["step"] - before["step"]))
        before = dict(point)
    return None


def _at(curve: Sequence[Mapping[str, Any]], axis: str, where: float) -> float:
    """Group score there, interpolated; the last one beyond the end."""
    return float(np.interp(where, [0.0, *(p[axis] for p in curve)], [0.0, *(p["group"] for p in curve)]))


# --- Markdown --------------------------------------------------------------------------------------------------------


def table(rows: Sequence[Row]) -> str:
    """The rows, the best first."""
    head = (
        "recipe", "seeds", "2x2 group (95 %)", "sd", "i2t", "t2i", "text", "R@1 of 500 (95 %)", f"steps to {GOAL}",
        "CPU s", "group at equal CPU",
    )  # fmt: skip
    lines = [
        (
            row.name, str(row.seeds), _with(row, "group"), f"{row.spread:.3f}" if row.seeds > 1 else "",
            *(f"{row.metrics[key]:.3f}" for key in ("i2t", "t2i", "text")), _with(row, "recall"),
            _goal(row), f"{row.cpu_seconds:.0f}", f"{row.equal_cpu:.3f}",
        )
        for row in sorted(rows, key=lambda row: row.rank)
    ]  # fmt: skip
    return _markdown(head, lines)


def kinds_table(rows: Sequence[Row]) -> str:
    """2x2 group score by kind of edit."""
    kinds = list(rows[0].kinds)
    return _markdown(
        ("recipe", *kinds),
        [(row.name, *(f"{row.kinds[kind]:.3f}" for kind in kinds)) for row in sorted(rows, key=lambda row: row.rank)],
    )


def _with(row: Row, key: str) -> str:
    low, high = row.intervals[key]
    return f"{row.metrics[key]:.3f} [{low:.3f}, {high:.3f}]"


def _goal(row: Row) -> str:
    there = [step for step in row.to_goal if step is not None]
    if not there:
        return f"> {row.steps}"
    some = "" if len(there) == len(row.to_goal) else f" ({len(there)} of {len(row.to_goal)})"
    return f"{np.mean(there):.0f}{some}"


def _markdown(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    marks = ["---", *("---:" for _ in head[1:])]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, marks, *lines))
