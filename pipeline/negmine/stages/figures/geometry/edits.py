"""Edits of geometry by type: each changes one slot of a program, or exchanges two letters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from random import Random
from typing import Any, Final, TypeVar

from negmine.stages.figures.domain import Edit, Editor, Proposal
from negmine.stages.figures.geometry import families as f
from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.geometry.shapes import (
    CIRCLE_PAIRS,
    LOPSIDED,
    QUADRILATERALS,
    TRIANGLES,
    literal,
    quadrilateral,
    second_circle,
    triangle,
)
from negmine.stages.figures.program import Program, Statement, letters, renamed

Of = Any
"""A statement of the types that stand beside it in the table of edits."""

T = TypeVar("T")

Cevian = s.Median | s.Altitude | s.Bisector

_Change = Callable[[Of, Program, Random], "Statement | None"]
"""A statement with one slot changed, or None."""


def _editor(
    name: str, kind: str, tier: int, of: type | tuple[type, ...], slot: Callable[[Of], object], change: _Change
) -> Editor:
    """An editor that changes one statement of these types.

    Args:
        slot: what is changed, for the record.
    """

    def edit(program: Program, rng: Random) -> Proposal | None:
        places = [n for n, one in enumerate(program) if isinstance(one, of)]
        if not places:
            return None
        place = rng.choice(places)
        old = program[place]
        new = change(old, program, rng)
        if new is None or new == old:
            return None
        edited = (*program[:place], new, *program[place + 1 :])
        return Edit(name, kind, tier, f"{place}:{type(old).__name__}", str(slot(old)), str(slot(new))), edited

    return edit


def _other(rng: Random, options: Sequence[T], present: object) -> T:
    return rng.choice([option for option in options if option != present])


# --- shapes ----------------------------------------------------------------------------------------------------------


def _triangle_kind(one: s.Triangle, program: Program, rng: Random) -> Statement:
    return triangle(one.points, _other(rng, TRIANGLES, one.kind), rng)


def _triangle_corner(one: s.Triangle, program: Program, rng: Random) -> Statement | None:
    if one.kind not in LOPSIDED:
        return None
    by = rng.choice((1, 2))
    a, b, c = one.at[-by:] + one.at[:-by]
    return replace(one, apex=(one.apex + by) % 3, at=(a, b, c))


def _quadrilateral_kind(one: s.Quadrilateral, program: Program, rng: Random) -> Statement:
    kind = _other(rng, QUADRILATERALS, one.kind)
    return replace(one, kind=kind, at=quadrilateral(kind, rng))


def _sides(one: s.Regular, program: Program, rng: Random) -> Statement:
    return replace(one, sides=_other(rng, (5, 6, 8), one.sides))


# --- relations -------------------------------------------------------------------------------------------------------


def _cevian(one: Cevian, program: Program, rng: Random) -> Statement:
    kind: type[Cevian] = _other(rng, _CEVIANS, type(one))
    return kind(one.point, one.vertex, one.ends)


def _cevian_origin(one: Cevian, program: Program, rng: Random) -> Statement:
    vertex = rng.choice(one.ends)
    ends = "".join(one.vertex if name == vertex else name for name in one.ends)
    return replace(one, vertex=vertex, ends=ends)


def _inclined(one: s.Inclined, program: Program, rng: Random) -> Statement:
    present = {0.0: "parallel", 90.0: "perpendicular"}.get(one.angle, "oblique")
    fresh = f.inclined(one.ends, one.to, _other(rng, f.INCLINED, present), rng)
    return replace(one, angle=fresh.angle)


def _cut(one: s.Cut, program: Program, rng: Random) -> Statement:
    if one.first == one.second:
        first, second = rng.choice(((0.35, 0.75), (0.75, 0.35)))
    else:
        first = second = rng.choice((0.5, 0.6))
    return replace(one, first=first, second=second)


def _divide(one: s.Divide, program: Program, rng: Random) -> Statement:
    return replace(one, ratio=_other(rng, f.RATIOS, one.ratio))


def _place(one: s.Polar, program: Program, rng: Random) -> Statement:
    return replace(one, ratio=_other(rng, f.RADII, one.ratio))


def _chord(one: s.Chord, program: Program, rng: Random) -> Statement:
    return replace(one, span=literal(rng.uniform(80, 125)) if one.span == 180 else 180.0)


def _touch(one: s.Touch, program: Program, rng: Random) -> Statement:
    return replace(one, lean=0.0 if one.lean else literal(rng.uniform(32, 50)))


def _circles(one: s.Second, program: Program, rng: Random) -> Statement:
    radius = next(c.radius for c in program if isinstance(c, s.Circle) and c.centre == one.first)
    fresh = second_circle(one.centre, one.first, radius, _other(rng, CIRCLE_PAIRS, one.relation), rng)
    return replace(fresh, angle=one.angle)


def _around(one: s.Incircle | s.Circumcircle, program: Program, rng: Random) -> Statement:
    kind = s.Circumcircle if isinstance(one, s.Incircle) else s.Incircle
    return kind(one.centre, one.triangle)


def _diagonals(one: s.Diagonals, program: Program, rng: Random) -> Statement:
    return replace(one, drawn=_other(rng, f.DRAWN, one.drawn))


# --- marks -----------------------------------------------------------------------------------------------------------


def _another(field: str, options: Sequence[object]) -> _Change:
    """Another value of a field."""
    return lambda one, program, rng: replace(one, **{field: _other(rng, options, getattr(one, field))})


def _another_side(one: s.Tick | s.Arrow | s.Length, program: Program, rng: Random) -> Statement | None:
    taken = {frozenset(mark.ends) for mark in program if isinstance(mark, s.Tick | s.Arrow | s.Length)}
    sides = [side for side in f.free_sides(f.drawing(program)) if frozenset(side) not in taken]
    return replace(one, ends=rng.choice(sides)) if sides else None


def _look_side(one: s.Look, program: Program, rng: Random) -> Statement:
    sides = ["".join(sorted(side)) for side in f.drawing(program).segments]
    return replace(one, ends=rng.choice(sides))


def _another_corner(one: s.Arc | s.Angle | s.RightMark, program: Program, rng: Random) -> Statement | None:
    taken = {mark.vertex for mark in program if isinstance(mark, s.Arc | s.Angle | s.RightMark)}
    right = isinstance(one, s.RightMark)
    corners = f.right_corners(program) if right else f.free_corners(f.drawing(program))
    free = [corner for corner in corners if corner[0] not in taken]
    if not free:
        return None
    vertex, sides = rng.choice(free)
    return replace(one, vertex=vertex, sides=sides)


# --- letters ---------------------------------------------------------------------------------------------------------


def _letters(program: Program, rng: Random) -> Proposal | None:
    """Two letters exchanged: the same strokes, other names."""
    known = letters(program)
    if len(known) < 2:
        return None
    one, other = sorted(rng.sample(known, 2))
    exchange = {one: other, other: one}
    edit = Edit("letters", "geometry_name", 3, "letters", one + other, other + one)
    return edit, renamed(program, lambda letter: exchange.get(letter, letter))


_CEVIANS: Final[tuple[type[Cevian], ...]] = (s.Median, s.Altitude, s.Bisector)
_CIRCLES_OF_TRIANGLES: Final = (s.Incircle, s.Circumcircle)

_RELATION, _SHAPE, _MARK, _STYLE, _NAME, _VALUE = (
    f"geometry_{kind}" for kind in ("relation", "shape", "mark", "style", "name", "value")
)

_SPECS: Final[tuple[tuple[str, str, int, type | tuple[type, ...], Callable[[Of], object], _Change], ...]] = (
    ("circle_pair", _RELATION, 0, s.Second, lambda one: one.relation, _circles),
    ("around", _RELATION, 0, _CIRCLES_OF_TRIANGLES, lambda one: type(one).__name__, _around),
    ("place", _RELATION, 0, s.Polar, lambda one: one.ratio, _place),
    ("triangle_kind", _SHAPE, 1, s.Triangle, lambda one: one.kind, _triangle_kind),
    ("quadrilateral_kind", _SHAPE, 1, s.Quadrilateral, lambda one: one.kind, _quadrilateral_kind),
    ("sides", _SHAPE, 1, s.Regular, lambda one: one.sides, _sides),
    ("cevian", _RELATION, 1, _CEVIANS, lambda one: type(one).__name__, _cevian),
    ("lines", _RELATION, 1, s.Inclined, lambda one: one.angle, _inclined),
    ("cut", _RELATION, 1, s.Cut, lambda one: (one.first, one.second), _cut),
    ("divide", _RELATION, 1, s.Divide, lambda one: one.ratio, _divide),
    ("chord", _RELATION, 1, s.Chord, lambda one: one.span, _chord),
    ("touch", _RELATION, 1, s.Touch, lambda one: one.lean, _touch),
    ("diagonals", _RELATION, 1, s.Diagonals, lambda one: one.drawn, _diagonals),
    ("shade", _STYLE, 2, s.Shade, lambda one: one.filled, _another("filled", (True, False))),
    ("tick_count", _MARK, 2, s.Tick, lambda one: one.count, _another("count", f.COUNTS)),
    ("arrow_count", _MARK, 2, s.Arrow, lambda one: one.count, _another("count", f.COUNTS)),
    ("arc_count", _MARK, 2, s.Arc, lambda one: one.count, _another("count", f.COUNTS)),
    ("look", _STYLE, 2, s.Look, lambda one: one.dashed, _another("dashed", (True, False))),
    ("tick_side", _MARK, 2, s.Tick, lambda one: one.ends, _another_side),
    ("arrow_side", _MARK, 2, s.Arrow, lambda one: one.ends, _another_side),
    ("arc_corner", _MARK, 2, s.Arc, lambda one: one.vertex, _another_corner),
    ("right_corner", _MARK, 2, s.RightMark, lambda one: one.vertex, _another_corner),
    ("look_side", _STYLE, 2, s.Look, lambda one: one.ends, _look_side),
    ("triangle_corner", _NAME, 3, s.Triangle, lambda one: one.points[one.apex], _triangle_corner),
    ("cevian_origin", _NAME, 3, _CEVIANS, lambda one: one.vertex, _cevian_origin),
    ("length_value", _VALUE, 4, s.Length, lambda one: one.value, _another("value", f.LENGTHS)),
    ("length_side", _VALUE, 4, s.Length, lambda one: one.ends, _another_side),
    ("angle_value", _VALUE, 4, s.Angle, lambda one: one.value, _another("value", f.DEGREES)),
    ("angle_corner", _VALUE, 4, s.Angle, lambda one: one.vertex, _another_corner),
)
"""Type, kind, tier, statements, slot, change."""

_NEED_LETTERS: Final = frozenset(
    {"tick_side", "arrow_side", "arc_corner", "right_corner", "look", "look_side", "triangle_corner", "cevian_origin"}
)

EDITORS: Final[Mapping[str, Editor]] = {spec[0]: _editor(*spec) for spec in _SPECS} | {"letters": _letters}


def editors(level: int) -> Mapping[str, Editor]:
    """The editors that can change what a caption of this level says."""
    if level >= f.LETTERED_FROM:
        return EDITORS
    return {name: edit for name, edit in EDITORS.items() if name not in _NEED_LETTERS and name != "letters"}
