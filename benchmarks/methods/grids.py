"""Which cells a table is made of. A row is one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from cells import Cell, Recipe, seeds

OWN: Final[dict[str, Recipe]] = {
    "ahnpl": "ahnpl",
    "ahnpl, no image side": {"extends": "ahnpl", "image_weight": 0.0},
    "ahnpl at 0.3": {"extends": "ahnpl", "negative_weight": 0.3},
}
"""The default, and what it is compared with. The second is `ce_clip` with its intra-modal row at 1.0."""

ESSENTIAL: Final[dict[str, Recipe]] = {
    "clip": "clip",
    "negclip": "negclip",
    "ce_clip": "ce_clip",
    **OWN,
    "clip_own": "clip_own",
    "mmclip": "mmclip",
    "mmclip_both": "mmclip_both",
    "degla": "degla",
}
"""The rows with three seeds."""

QUICK: Final = {name: ESSENTIAL[name] for name in ("clip", "negclip", "ce_clip", "ahnpl")}

LARGER: Final = {**QUICK, **OWN}
"""The rows of more objects."""

SWEPT: Final = ("negclip", "ce_clip", "ahnpl")
"""The rows of the sweeps over numbers."""

OTHERS: Final[dict[str, Recipe]] = {
    **{name: name for name in ("mmclip_group", "mmclip_block", "ahnpl_released", "ahnpl_bytecode", "ahnpl_followup")},
    **{name: name for name in ("dcl", "hcl", "mochi", "kalm_mix", "unime", "focal", "sample4geo")},
}
"""The rows with one seed. `mmclip_block` is CLIP with all members of all groups in the batch."""

OWN_ROW: Final = {"direction": "i2t", "columns": ["own"], "weight": 0.5}
"""Each image against its own false captions."""

LIGHT: Final = {"extends": "ahnpl", "negative_weight": 0.3}
"""The default until November 2026, which most ablations change in one thing."""

ABLATIONS: Final[dict[str, Recipe]] = {
    "ce_clip": "ce_clip",  # ahnpl at 0.3 without its image side
    **OWN,
    "ahnpl at 0.5": {**LIGHT, "negative_weight": 0.5},
    "no intra-modal rows": {**LIGHT, "negative_weight": 0.0},
    "image side at 0.001": {**LIGHT, "image_weight": 0.001},
    "unit length": {**LIGHT, "normalise_shift": True},
    "arbitrary target": {**LIGHT, "negative_columns": "all", "negative_positive": "diagonal_column"},
    "all columns": {**LIGHT, "negative_columns": "all"},
    "all columns at 1.0": {"extends": "ahnpl", "negative_columns": "all"},
    "own row": {**LIGHT, "terms": {"own": OWN_ROW}},
    "no margins": {**LIGHT, "margin_weight": 0.0},
    "fixed margins": {**LIGHT, "margin_rule": "fixed"},
    "margins by kind": {**LIGHT, "margin_by": "kind"},
}
"""Open questions about `ahnpl`, most of them one change of `ahnpl at 0.3`; a number is `negative_weight`."""

TWO: Final = Cell(row="", recipe="clip", difficulty=1, steps=600)
"""Two objects, colour and shape, one relation."""

THREE: Final = replace(TWO, difficulty=2, groups=20000, steps=1800, lr=1e-3)
"""Two or three objects with sizes, one or two claims. At the rate of `TWO` all recipes but one learn less."""

LONG: Final = replace(THREE, steps=7200, points=12)
"""Four times as long: beyond what a cell of the table may cost."""

FOUR: Final = replace(THREE, difficulty=3)
"""Three or four objects with sizes and patterns, counts, two claims."""

BOXES: Final = replace(THREE, difficulty=4)
"""Four or five objects, boxes, stacks, quantifiers, three claims: what NLVR's sentences are about."""

FIGURES: Final = replace(TWO, domain="geometry", difficulty=2)
"""Geometry without letters: one or two claims, and marks."""

LETTERS: Final = replace(FIGURES, difficulty=4, groups=20000, steps=1800, lr=1e-3)
"""Geometry with letters and numbers, which is all that Geometry3K's negatives differ in."""


def _rows(base: Cell, recipes: dict[str, Recipe], count: int) -> list[Cell]:
    """Every row with its first seed, then every row with the next: a table that is stopped is still a table."""
    cells = [replace(base, row=name, recipe=recipe) for name, recipe in recipes.items()]
    return [one for number in range(count) for cell in cells for one in seeds(cell, [number])]


def _sweep(
    base: Cell, recipes: tuple[str, ...], what: str, setting: str, numbers: tuple[float, ...], count: int = 1
) -> list[Cell]:
    """`count` seeds of each row with each value of a setting; `what` tells the value in the row's name."""
    few = {name: ESSENTIAL[name] for name in recipes}
    values: list[dict[str, Any]] = [{setting: number} for number in numbers]
    return [
        replace(cell, row=f"{cell.row}, {value[setting]:,} {what}", **value)
        for value in values
        for cell in _rows(base, few, count)
    ]


GRIDS: Final[dict[str, Callable[[], list[Cell]]]] = {
    "quick": lambda: _rows(TWO, QUICK, 1),
    "essential": lambda: _rows(TWO, ESSENTIAL, 3),
    "others": lambda: _rows(TWO, OTHERS, 1),
    "three": lambda: _rows(THREE, LARGER, 3),
    "long": lambda: _sweep(LONG, tuple(QUICK), "scenes", "groups", (20_000, 60_000), count=3),
    "four": lambda: _rows(FOUR, LARGER, 1),
    "boxes": lambda: _rows(BOXES, QUICK, 1),
    "objects": lambda: [cell for base in (TWO, THREE, FOUR) for cell in _rows(base, LARGER, 3)],
    "geometry": lambda: _rows(FIGURES, ESSENTIAL, 3),
    "letters": lambda: _rows(LETTERS, QUICK, 1),
    "ablations": lambda: _rows(TWO, ABLATIONS, 3),
    "negatives": lambda: _sweep(replace(TWO, rendered=10), SWEPT, "negatives", "negatives", (1, 2, 5, 10)),
    "rates": lambda: _sweep(THREE, tuple(LARGER), "rate", "lr", (1e-3, 2e-3)),
    "scenes": lambda: _sweep(TWO, SWEPT, "scenes", "groups", (1500, 3000, 6000)),
}
"""Name to cells. `objects` is for its image: a row of panels for each number of objects."""
