"""Which cells a table is made of. A row is one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from cells import Cell, Recipe, seeds


def _clip_and(**terms: dict[str, Any]) -> Recipe:
    """CLIP's two rows and others."""
    rows = {name: {"direction": name, "columns": ["inbatch"], "weight": 0.5} for name in ("i2t", "t2i")}
    return {"terms": {**rows, **terms}}


OWN_ROW: Final = {"direction": "i2t", "columns": ["own"], "weight": 1.0}
"""Each picture against its own false captions."""

OWN_BOTH: Final = _clip_and(
    own={"direction": "i2t", "columns": ["own"], "weight": 0.5},
    own_images={"direction": "t2i", "columns": ["own"], "weight": 0.5},
)
"""CLIP, that row, and each caption against its own false pictures."""

ESSENTIAL: Final[dict[str, Recipe]] = {
    "clip": "clip", "negclip": "negclip", "ce_clip": "ce_clip", "ahnpl": "ahnpl", "mmclip": "mmclip",
    "mmclip_both": "mmclip_both", "clip_own": "clip_own", "own_both": OWN_BOTH, "degla": "degla",
    "ahnpl_own": {"extends": "ahnpl", "terms": {"own": OWN_ROW}},
}  # fmt: skip
"""The rows with three seeds."""

OTHERS: Final[dict[str, Recipe]] = {
    **{name: name for name in ("mmclip_group", "mmclip_block", "ahnpl_released", "ahnpl_bytecode", "ahnpl_followup")},
    **{name: name for name in ("dcl", "hcl", "mochi", "kalm_mix", "unime", "focal", "sample4geo")},
}
"""The rows with one seed. `mmclip_block` is CLIP with all members of all groups in the batch."""

ABLATIONS: Final[dict[str, Recipe]] = {
    "ahnpl": "ahnpl",
    "no image side": {"extends": "ahnpl", "image_weight": 0.0},
    "row weight 0.2": {"extends": "ahnpl", "negative_weight": 0.2},
    "image side at 0.001": {"extends": "ahnpl", "image_weight": 0.001},
    "unit length": {"extends": "ahnpl", "normalise_shift": True},
    "arbitrary target": {"extends": "ahnpl", "form": "released"},
    "fixed margins": {"extends": "ahnpl", "margin_rule": "fixed"},
    "no margins": {"extends": "ahnpl", "margin_weight": 0.0},
    "margins by kind": {"extends": "ahnpl", "margin_by": "kind"},
}
"""Open questions about `ahnpl`, each one change of the default."""

TWO: Final = Cell(row="", recipe="clip", difficulty=1, steps=600)
"""Two objects, colour and shape, one relation."""

THREE: Final = replace(TWO, difficulty=2, steps=900, groups=20000)
"""Two or three objects with sizes, one or two claims."""

FIGURES: Final = replace(TWO, domain="geometry", difficulty=2)
"""Geometry without letters: one or two claims, and marks."""


def _rows(base: Cell, recipes: dict[str, Recipe], count: int) -> list[Cell]:
    """Every row with its first seed, then every row with the next: a table that is stopped is still a table."""
    cells = [replace(base, row=name, recipe=recipe) for name, recipe in recipes.items()]
    return [one for number in range(count) for cell in cells for one in seeds(cell, [number])]


def _sweep(recipes: tuple[str, ...], what: str, setting: str, numbers: tuple[int, ...]) -> list[Cell]:
    """One seed of each row with each value of a setting; `what` tells the value in the row's name."""
    few = {name: ESSENTIAL[name] for name in recipes}
    return [
        replace(cell, row=f"{cell.row}, {number:,} {what}", **{setting: number})
        for number in numbers
        for cell in _rows(TWO, few, 1)
    ]


def _quick() -> list[Cell]:
    """The first cells of `essential`, which has them then."""
    return _rows(TWO, {name: ESSENTIAL[name] for name in ("clip", "negclip", "ce_clip", "ahnpl")}, 1)


GRIDS: Final[dict[str, Callable[[], list[Cell]]]] = {
    "quick": _quick,
    "essential": lambda: _rows(TWO, ESSENTIAL, 3),
    "others": lambda: _rows(TWO, OTHERS, 1),
    "three": lambda: _rows(THREE, ESSENTIAL, 3),
    "geometry": lambda: _rows(FIGURES, ESSENTIAL, 3),
    "ablations": lambda: _rows(TWO, ABLATIONS, 3),
    "negatives": lambda: _sweep(("negclip", "ahnpl", "clip_own"), "negatives", "negatives", (1, 2, 3)),
    "scenes": lambda: _sweep(("clip", "ahnpl", "clip_own"), "scenes", "groups", (1500, 3000, 6000)),
}
"""Name to cells."""
