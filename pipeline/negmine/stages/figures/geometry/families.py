"""Programs of geometry at random: a shape, and things that hang on it; how many, and of what sort, is the level."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.geometry.claims import claims
from negmine.stages.figures.geometry.figure import Figure, foot, realise
from negmine.stages.figures.geometry.shapes import (
    CIRCLE_PAIRS,
    QUADRILATERALS,
    TRIANGLES,
    literal,
    quadrilateral,
    second_circle,
    triangle,
)
from negmine.stages.figures.program import Program, Statement, letters, rounded

LETTERS: Final = "BCDEFGHKMNPRSTVX"
"""Capitals that are no words to a tokenizer without case, and that do not look like each other or like marks."""

LEVELS: Final = (
    "one or two claims, no letters",
    "and marks",
    "with letters, two or three claims",
    "with letters and numbers, three claims",
    "with letters and numbers, four or five claims",
)
LETTERED_FROM: Final = 3

FILL: Final = 0.70
"""Share of the frame that a figure fills; the rest is for letters, and for edits that need more room."""

LENGTHS: Final = tuple(range(2, 20))
DEGREES: Final = tuple(range(20, 165, 5))
COUNTS: Final = (1, 2, 3)
RATIOS: Final = (0.2, 0.5, 0.8)
RADII: Final = (0.55, 1.0, 1.4)
INCLINED: Final = ("parallel", "perpendicular", "oblique")
DRAWN: Final = ("none", "first", "second", "both")


class Letters:
    """Point letters at random, each once."""

    def __init__(self, rng: Random, taken: Program = ()) -> None:
        used = set(letters(taken))
        self._left = [letter for letter in LETTERS if letter not in used]
        rng.shuffle(self._left)

    def take(self, count: int) -> str:
        return "".join(self._left.pop() for _ in range(count))


def sample(rng: Random, level: int) -> Program:
    """A program of a level, 1 to 5; whether it can be drawn and read is for others to see."""
    for _ in range(_ATTEMPTS):
        program = _sample_once(rng, level)
        if len(claims(program)) >= _LEAST_CLAIMS[level]:
            break
    return program


def _sample_once(rng: Random, level: int) -> Program:
    family = rng.choice([name for name in _FAMILIES if level < LETTERED_FROM or name != "regular"])
    shape, allowed = _FAMILIES[family]
    names = Letters(rng)
    program = shape(rng, names)
    extras = [extra for extra in allowed if extra in _EXTRAS_OF_LEVEL[level]]
    if level < LETTERED_FROM:  # two of a sort could not be told apart
        extras = [extra for extra in extras if not any(isinstance(one, _SORTS.get(extra, ())) for one in program)]
        extras = [] if family == "circles" else extras
    wanted = rng.choice(_EXTRAS_COUNT[level])
    for extra in rng.sample(extras, min(wanted, len(extras))):
        program += tuple(_EXTRAS[extra](program, rng, names))
    turn, flip = literal(rng.uniform(0, 360)), rng.random() < 0.5
    return laid_out(program, turn, flip, level >= LETTERED_FROM)


def laid_out(program: Program, turn: float, flip: bool, lettered: bool) -> Program:
    """The program with a layout that lets it, and what circles may become, fill `FILL` of the frame."""
    raw = s.Layout(turn, flip, 1.0, (0.0, 0.0), lettered)
    low, high = extent(realise((*map(_largest, program), raw)))
    scale = FILL / max((high - low).real, (high - low).imag, 0.5)
    shift = complex(0.5, 0.5) - scale * (low + high) / 2
    return (*program, replace(raw, scale=literal(scale), shift=rounded(shift)))


def _largest(one: Statement) -> Statement:
    """Of what an edit may put in place of a circle, that which needs the most room."""
    if isinstance(one, s.Incircle):
        return s.Circumcircle(one.centre, one.triangle)
    if isinstance(one, s.Second):
        return replace(one, relation="separate", distance=2.0, radius=0.75)
    return one


def extent(figure: Figure) -> tuple[complex, complex]:
    """Upper left and lower right corner of what is drawn."""
    low = list(figure.points.values())
    high = list(low)
    for centre, radius in figure.circles.values():
        low.append(centre - complex(radius, radius))
        high.append(centre + complex(radius, radius))
    return (
        complex(min(p.real for p in low), min(p.imag for p in low)),
        complex(max(p.real for p in high), max(p.imag for p in high)),
    )


# --- where marks may be ----------------------------------------------------------------------------------------------


def drawing(program: Program) -> Figure:
    """The figure of a program, with its layout or still without."""
    if program and isinstance(program[-1], s.Layout):
        return realise(program)
    return realise(laid_out(program, 0, False, True))


def free_sides(figure: Figure) -> list[str]:
    """Drawn lines whose middle is clear of every other line, point and circle, and long enough for a mark."""
    return ["".join(sorted(side)) for side in figure.segments if _is_free(figure, side)]


def _is_free(figure: Figure, side: frozenset[str]) -> bool:
    start, end = (figure.points[name] for name in sorted(side))
    middle = (start + end) / 2
    if abs(end - start) < 0.2 or any(abs(figure.points[name] - middle) < 0.07 for name in figure.points):
        return False
    for centre, radius in figure.circles.values():
        if abs(abs(middle - centre) - radius) < 0.06:
            return False
    return all(_distance(middle, figure, other) > 0.06 for other in figure.segments if other != side)


def _distance(point: complex, figure: Figure, side: frozenset[str]) -> float:
    start, end = (figure.points[name] for name in sorted(side))
    share = ((point - start) / (end - start)).real
    nearest = foot(point, start, end) if 0 <= share <= 1 else start if share < 0 else end
    return abs(point - nearest)


def free_corners(figure: Figure) -> list[tuple[str, str]]:
    """Corners of polygons, 22 to 158 degrees wide, with no line inside them: vertex and the ends of the two sides."""
    found = []
    for outline in figure.outlines:
        for n, vertex in enumerate(outline):
            sides = outline[n - 1] + outline[(n + 1) % len(outline)]
            if _is_open(figure, vertex, sides):
                found.append((vertex, "".join(sorted(sides))))
    return found


def _is_open(figure: Figure, vertex: str, sides: str) -> bool:
    at = figure.points[vertex]
    one, other = (figure.points[name] - at for name in sides)
    width = abs(math.degrees(cmath.phase(one / other)))
    inside = [side for side in figure.segments if vertex in side and not side & set(sides)]
    return 22 <= width <= 158 and not inside


# --- shapes ----------------------------------------------------------------------------------------------------------


def _a_triangle(rng: Random, names: Letters) -> Program:
    return (triangle(names.take(3), rng.choice(TRIANGLES), rng),)


def _a_quadrilateral(rng: Random, names: Letters) -> Program:
    kind = rng.choice(QUADRILATERALS)
    return (s.Quadrilateral(names.take(4), kind, quadrilateral(kind, rng)),)


def _a_regular(rng: Random, names: Letters) -> Program:
    return (
        s.Regular(rng.choice((5, 6, 8)), 1.0, literal(rng.uniform(0, 360))),
        s.Shade("", rng.random() < 0.5),
    )


def _a_circle(rng: Random, names: Letters) -> Program:
    circle = s.Circle(names.take(1), (0.0, 0.0), 1.0)
    return (circle, _EXTRAS_OF_CIRCLE[rng.choice(("chord", "touch", "place"))]((circle,), rng, names))


def _circle_pair(rng: Random, names: Letters) -> Program:
    first, other = names.take(1), names.take(1)
    circle = s.Circle(first, (0.0, 0.0), 1.0)
    return (circle, second_circle(other, first, 1.0, rng.choice(CIRCLE_PAIRS), rng))


def _around(rng: Random, names: Letters) -> Program:
    points = names.take(3)
    kind = rng.choice(("equilateral", "isosceles", "right", "acute"))
    circle = rng.choice((s.Incircle, s.Circumcircle))
    return (triangle(points, kind, rng), circle(names.take(1), points))


def _line_pair(rng: Random, names: Letters) -> Program:
    line = s.Line(names.take(2), (0.0, 0.0), 0.0, 2.0)
    return (line, inclined(names.take(2), line.ends, rng.choice(INCLINED), rng))


def inclined(ends: str, to: str, relation: str, rng: Random) -> s.Inclined:
    """A line in this relation to another one that lies on the x axis; they never touch."""
    oblique = rng.choice((1, -1)) * literal(rng.uniform(25, 60))
    angle = {"parallel": 0.0, "perpendicular": 90.0, "oblique": oblique}[relation]
    at = (literal(rng.uniform(-0.2, 0.2)), literal(rng.uniform(0.85, 0.95)))
    return s.Inclined(ends, to, angle, at, literal(rng.uniform(1.3, 1.5)))


# --- extras ----------------------------------------------------------------------------------------------------------

_Extra = Callable[[Program, Random, Letters], Iterator[Statement]]


def _polygon(program: Program) -> s.Triangle | s.Quadrilateral:
    """The shape that a family of polygons begins with."""
    shape = program[0]
    assert isinstance(shape, s.Triangle | s.Quadrilateral)
    return shape


def _circle(program: Program) -> s.Circle:
    """The circle that a family of circles begins with."""
    circle = program[0]
    assert isinstance(circle, s.Circle)
    return circle


def _cevian(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    points = _polygon(program).points
    n = rng.randrange(3)
    ends = points[:n] + points[n + 1 :]
    yield rng.choice((s.Median, s.Altitude, s.Bisector))(names.take(1), points[n], ends)


def _cut(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    first, second = rng.choice(((0.5, 0.5), (0.35, 0.75), (0.75, 0.35), (0.6, 0.6)))
    points = _polygon(program).points
    n = rng.randrange(3)
    yield s.Cut(names.take(2), points[n:] + points[:n], first, second)


def _divide(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    sides = free_sides(drawing(program))
    if sides:
        yield s.Divide(names.take(1), rng.choice(sides), rng.choice(RATIOS))


def _around_extra(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    triangle = _polygon(program)
    if triangle.kind != "obtuse":
        yield rng.choice((s.Incircle, s.Circumcircle))(names.take(1), triangle.points)


def _diagonals(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield s.Diagonals(_polygon(program).points, rng.choice(DRAWN))


def _place(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield _a_place(program, rng, names)


def _a_place(program: Program, rng: Random, names: Letters) -> Statement:
    return s.Polar(names.take(1), _circle(program).centre, rng.choice(RADII), literal(rng.uniform(0, 360)))


def _a_chord(program: Program, rng: Random, names: Letters) -> Statement:
    span = 180.0 if rng.random() < 0.5 else literal(rng.uniform(80, 125))
    return s.Chord(names.take(2), _circle(program).centre, literal(rng.uniform(0, 360)), span)


def _a_touch(program: Program, rng: Random, names: Letters) -> Statement:
    lean = 0.0 if rng.random() < 0.5 else literal(rng.uniform(32, 50))
    touch, ends = names.take(1), names.take(2)
    return s.Touch(ends, touch, _circle(program).centre, literal(rng.uniform(0, 360)), lean, 1.5)


def _chord(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield _a_chord(program, rng, names)


def _touch(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield _a_touch(program, rng, names)


def _tick(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield from _on_a_side(program, rng, lambda side: s.Tick(side, rng.choice(COUNTS)))


def _arrow(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield from _on_a_side(program, rng, lambda side: s.Arrow(side, rng.choice(COUNTS)))


def _length(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield from _on_a_side(program, rng, lambda side: s.Length(side, rng.choice(LENGTHS)))


def _on_a_side(program: Program, rng: Random, make: Callable[[str], Statement]) -> Iterator[Statement]:
    taken = {frozenset(one.ends) for one in program if isinstance(one, s.Tick | s.Arrow | s.Length)}
    sides = [side for side in free_sides(drawing(program)) if frozenset(side) not in taken]
    if sides:
        yield make(rng.choice(sides))


def _look(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    sides = ["".join(sorted(side)) for side in drawing(program).segments]
    if sides:
        yield s.Look(rng.choice(sides), rng.random() < 0.5)


def _arc(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield from _in_a_corner(program, rng, lambda corner: s.Arc(*corner, rng.choice(COUNTS)))


def _angle(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield from _in_a_corner(program, rng, lambda corner: s.Angle(*corner, rng.choice(DEGREES)))


def _in_a_corner(program: Program, rng: Random, make: Callable[[tuple[str, str]], Statement]) -> Iterator[Statement]:
    taken = {one.vertex for one in program if isinstance(one, s.Arc | s.Angle | s.RightMark)}
    corners = [corner for corner in free_corners(drawing(program)) if corner[0] not in taken]
    if corners:
        yield make(rng.choice(corners))


def right_corners(program: Program) -> list[tuple[str, str]]:
    """Free corners of 90 degrees."""
    figure = drawing(program)
    return [corner for corner in free_corners(figure) if _is_right(figure, *corner)]


def _is_right(figure: Figure, vertex: str, sides: str) -> bool:
    one, other = (figure.points[name] - figure.points[vertex] for name in sides)
    return abs(abs(math.degrees(cmath.phase(one / other))) - 90) < 1


def _right_mark(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    taken = {one.vertex for one in program if isinstance(one, s.Arc | s.Angle)}
    corners = [corner for corner in right_corners(program) if corner[0] not in taken]
    if corners:
        yield s.RightMark(*rng.choice(corners))


def _shade(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    yield s.Shade(_polygon(program).points, rng.random() < 0.5)


def _meet(program: Program, rng: Random, names: Letters) -> Iterator[Statement]:
    """The point where both diagonals cross."""
    a, b, c, d = list(_polygon(program).points)
    if any(isinstance(one, s.Diagonals) and one.drawn == "both" for one in program):
        yield s.Meet(names.take(1), a + c, b + d)


_EXTRAS_OF_CIRCLE: Final[Mapping[str, Callable[[Program, Random, Letters], Statement]]] = {
    "chord": _a_chord,
    "touch": _a_touch,
    "place": _a_place,
}

_EXTRAS: Final[Mapping[str, _Extra]] = {
    "cevian": _cevian,
    "cut": _cut,
    "divide": _divide,
    "around": _around_extra,
    "diagonals": _diagonals,
    "place": _place,
    "chord": _chord,
    "touch": _touch,
    "tick": _tick,
    "arrow": _arrow,
    "length": _length,
    "look": _look,
    "arc": _arc,
    "angle": _angle,
    "right": _right_mark,
    "shade": _shade,
    "meet": _meet,
}

_SORTS: Final[Mapping[str, type]] = {"chord": s.Chord, "touch": s.Touch, "place": s.Polar}

_PLAIN: Final = ("cevian", "around", "diagonals", "place", "chord", "touch", "shade")
_MARKS: Final = ("tick", "arrow", "arc")
_NAMED: Final = ("cut", "divide", "look", "right", "meet")
_VALUES: Final = ("length", "angle")

_EXTRAS_OF_LEVEL: Final[Mapping[int, frozenset[str]]] = {
    1: frozenset(_PLAIN),
    2: frozenset(_PLAIN + _MARKS),
    3: frozenset(_PLAIN + _MARKS + _NAMED),
    4: frozenset(_PLAIN + _MARKS + _NAMED + _VALUES),
    5: frozenset(_PLAIN + _MARKS + _NAMED + _VALUES),
}
_ATTEMPTS: Final = 50
_LEAST_CLAIMS: Final[Mapping[int, int]] = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4}
_EXTRAS_COUNT: Final[Mapping[int, tuple[int, ...]]] = {1: (1,), 2: (1, 2), 3: (1, 2), 4: (2,), 5: (3, 3, 4)}

_FAMILIES: Final[Mapping[str, tuple[Callable[[Random, Letters], Program], tuple[str, ...]]]] = {
    "triangle": (
        _a_triangle,
        ("cevian", "cut", "divide", "tick", "length", "look", "arc", "angle", "shade", "arrow"),
    ),
    "quadrilateral": (
        _a_quadrilateral,
        ("diagonals", "divide", "tick", "length", "look", "arc", "angle", "right", "shade", "arrow", "meet"),
    ),
    "regular": (_a_regular, ()),
    "circle": (_a_circle, ("place", "chord", "touch", "length", "look")),
    "circles": (_circle_pair, ("place", "chord", "touch")),
    "around": (_around, ("tick", "length", "look", "arc", "angle", "shade")),
    "lines": (_line_pair, ("tick", "arrow", "length", "look", "divide")),
}
"""A shape, and the extras that suit it."""
