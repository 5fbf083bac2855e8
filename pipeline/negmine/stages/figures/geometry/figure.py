"""Programs of geometry to figures: the coordinates and marks that are drawn, and nothing of how they came about."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.program import Program

SHORTEST: Final = 0.001
"""Length that every line has, share of the frame's side."""

Side = frozenset[str]
Corner = tuple[str, Side]
"""A vertex and the two points its sides go to."""


@dataclass
class Figure:
    """What is drawn, in frame coordinates (complex, y downwards).

    Attributes:
        points: by letter, in order of construction.
        dots: points that are drawn as dots.
        outlines: closed polygons, as their letters in order.
        segments: drawn lines; True if dashed.
        circles: centre and radius by the centre's letter.
        lettered: whether letters are drawn.
    """

    points: dict[str, complex] = field(default_factory=dict)
    dots: set[str] = field(default_factory=set)
    outlines: list[str] = field(default_factory=list)
    segments: dict[Side, bool] = field(default_factory=dict)
    circles: dict[str, tuple[complex, float]] = field(default_factory=dict)
    ticks: dict[Side, int] = field(default_factory=dict)
    arrows: dict[Side, int] = field(default_factory=dict)
    arcs: dict[Corner, int] = field(default_factory=dict)
    rights: set[Corner] = field(default_factory=set)
    lengths: dict[Side, float] = field(default_factory=dict)
    angles: dict[Corner, float] = field(default_factory=dict)
    shaded: set[frozenset[str]] = field(default_factory=set)
    lettered: bool = True

    def draw(self, ends: str, dashed: bool = False) -> None:
        """Add a line between two known points."""
        self.segments[frozenset(ends)] = dashed

    def polygon(self, points: str, at: tuple[complex, ...]) -> None:
        """Add a closed polygon of new points."""
        self.points.update(zip(points, at, strict=True))
        self.outlines.append(points)
        for one, other in zip(points, points[1:] + points[0], strict=True):
            self.draw(one + other)


def realise(program: Program) -> Figure:
    """Build a figure; the same program gives the same figure.

    Raises:
        ValueError: the program has no figure: a point is used before it is there, parallel lines meet, or it lacks its
            layout.
    """
    figure = Figure()
    if not program or not isinstance(program[-1], s.Layout):
        raise ValueError("a program ends with its Layout")
    try:
        for statement in program:
            _BUILD[type(statement)](statement, figure)
    except (KeyError, ZeroDivisionError) as error:
        raise ValueError(f"the program has no figure: {error!r}") from None
    for side in figure.segments:
        one, other = sorted(side)
        if abs(figure.points[one] - figure.points[other]) < SHORTEST:
            raise ValueError(f"the program has no figure: {one}{other} has no length")
    return figure


# --- building --------------------------------------------------------------------------------------------------------


def _point(at: s.Point) -> complex:
    return complex(*at)


def _unit(degrees: float) -> complex:
    return cmath.rect(1, math.radians(degrees))


def _ends(figure: Figure, ends: str) -> tuple[complex, complex]:
    return figure.points[ends[0]], figure.points[ends[1]]


def _triangle(one: s.Triangle, figure: Figure) -> None:
    figure.polygon(one.points, tuple(map(_point, one.at)))


def _regular(one: s.Regular, figure: Figure) -> None:
    names = "".join(chr(ord("a") + n) for n in range(one.sides))  # small letters are never drawn
    corners = tuple(one.radius * _unit(one.turn + 360 * n / one.sides) for n in range(one.sides))
    figure.polygon(names, corners)


def _circle(one: s.Circle, figure: Figure) -> None:
    _add_circle(figure, one.centre, _point(one.at), one.radius)


def _add_circle(figure: Figure, name: str, centre: complex, radius: float) -> None:
    figure.points[name] = centre
    figure.dots.add(name)
    figure.circles[name] = centre, radius


def _segment(one: s.Segment, figure: Figure) -> None:
    _ends(figure, one.ends)
    figure.draw(one.ends, one.dashed)


def _line(one: s.Line, figure: Figure) -> None:
    _add_line(figure, one.ends, _point(one.at), _unit(one.angle), one.length)


def _inclined(one: s.Inclined, figure: Figure) -> None:
    start, end = _ends(figure, one.to)
    direction = (end - start) / abs(end - start) * _unit(one.angle)
    _add_line(figure, one.ends, _point(one.at), direction, one.length)


def _add_line(figure: Figure, ends: str, middle: complex, direction: complex, length: float) -> None:
    figure.points[ends[0]], figure.points[ends[1]] = middle - direction * length / 2, middle + direction * length / 2
    figure.draw(ends)


def _diagonals(one: s.Diagonals, figure: Figure) -> None:
    a, b, c, d = tuple(one.points)
    if one.drawn in ("first", "both"):
        figure.draw(a + c)
    if one.drawn in ("second", "both"):
        figure.draw(b + d)


def _free(one: s.Free, figure: Figure) -> None:
    figure.points[one.point] = _point(one.at)
    if one.dot:
        figure.dots.add(one.point)


def _divide(one: s.Divide, figure: Figure) -> None:
    start, end = _ends(figure, one.ends)
    figure.points[one.point] = start + one.ratio * (end - start)
    figure.dots.add(one.point)


def _median(one: s.Median, figure: Figure) -> None:
    start, end = _ends(figure, one.ends)
    figure.points[one.point] = (start + end) / 2
    figure.draw(one.vertex + one.point)


def foot(vertex: complex, start: complex, end: complex) -> complex:
    """The point of a line nearest to `vertex`."""
    along = end - start
    return start + along * ((vertex - start) / along).real


def _altitude(one: s.Altitude, figure: Figure) -> None:
    figure.points[one.point] = foot(figure.points[one.vertex], *_ends(figure, one.ends))
    figure.draw(one.vertex + one.point)


def _bisector(one: s.Bisector, figure: Figure) -> None:
    vertex, (start, end) = figure.points[one.vertex], _ends(figure, one.ends)
    one_side, other_side = abs(start - vertex), abs(end - vertex)
    figure.points[one.point] = (start * other_side + end * one_side) / (one_side + other_side)
    figure.draw(one.vertex + one.point)


def _meet(one: s.Meet, figure: Figure) -> None:
    (a, b), (c, d) = _ends(figure, one.one), _ends(figure, one.other)
    figure.points[one.point] = meeting(a, b, c, d)


def meeting(a: complex, b: complex, c: complex, d: complex) -> complex:
    """Where the lines ab and cd meet.

    Raises:
        ZeroDivisionError: nowhere.
    """
    one, other = b - a, d - c
    return a + one * (cross(c - a, other) / cross(one, other))


def cross(one: complex, other: complex) -> float:
    """Twice the signed area between two vectors."""
    return (one.conjugate() * other).imag


def _cut(one: s.Cut, figure: Figure) -> None:
    apex, left, right = (figure.points[name] for name in one.triangle)
    figure.points[one.points[0]] = apex + one.first * (left - apex)
    figure.points[one.points[1]] = apex + one.second * (right - apex)
    figure.draw(one.points)


def _polar(one: s.Polar, figure: Figure) -> None:
    centre, radius = figure.circles[one.circle]
    figure.points[one.point] = centre + one.ratio * radius * _unit(one.angle)
    figure.dots.add(one.point)


def _chord(one: s.Chord, figure: Figure) -> None:
    centre, radius = figure.circles[one.circle]
    for name, degrees in zip(one.ends, (one.angle, one.angle + one.span), strict=True):
        figure.points[name] = centre + radius * _unit(degrees)
    figure.draw(one.ends)


def _touch(one: s.Touch, figure: Figure) -> None:
    centre, radius = figure.circles[one.circle]
    outwards = _unit(one.angle)
    point, along = centre + radius * outwards, outwards * 1j * _unit(one.lean)
    figure.points[one.touch] = point
    figure.points[one.ends[0]], figure.points[one.ends[1]] = point - one.length * along, point + one.length * along
    figure.draw(one.ends)


def _incircle(one: s.Incircle, figure: Figure) -> None:
    a, b, c = (figure.points[name] for name in one.triangle)
    sides = abs(b - c), abs(c - a), abs(a - b)
    centre = (sides[0] * a + sides[1] * b + sides[2] * c) / sum(sides)
    _add_circle(figure, one.centre, centre, abs(cross(b - a, c - a)) / sum(sides))


def _circumcircle(one: s.Circumcircle, figure: Figure) -> None:
    a, b, c = (figure.points[name] for name in one.triangle)
    u, v = b - a, c - a
    centre = a + 1j * (u * abs(v) ** 2 - v * abs(u) ** 2) / (2 * cross(u, v))
    _add_circle(figure, one.centre, centre, abs(centre - a))


def _second(one: s.Second, figure: Figure) -> None:
    centre, _ = figure.circles[one.first]
    _add_circle(figure, one.centre, centre + one.distance * _unit(one.angle), one.radius)


def _corner(one: s.Arc | s.RightMark | s.Angle, figure: Figure) -> Corner:
    _ends(figure, one.sides)
    return one.vertex, frozenset(one.sides)


def _look(one: s.Look, figure: Figure) -> None:
    figure.segments[frozenset(one.ends)]  # must be drawn
    figure.draw(one.ends, one.dashed)


def _shade(one: s.Shade, figure: Figure) -> None:
    if one.filled:
        figure.shaded.add(frozenset(one.points or figure.outlines[0]))


def _side_mark(name: str, value: str) -> Callable[[s.Tick | s.Arrow | s.Length, Figure], None]:
    def build(one: s.Tick | s.Arrow | s.Length, figure: Figure) -> None:
        _ends(figure, one.ends)
        getattr(figure, name)[frozenset(one.ends)] = getattr(one, value)

    return build


def _corner_mark(name: str, value: str) -> Callable[[s.Arc | s.Angle, Figure], None]:
    def build(one: s.Arc | s.Angle, figure: Figure) -> None:
        getattr(figure, name)[_corner(one, figure)] = getattr(one, value)

    return build


def _layout(one: s.Layout, figure: Figure) -> None:
    """Turn, flip, scale and shift everything; y upwards becomes y downwards."""
    factor, shift = one.scale * _unit(one.turn), _point(one.shift)

    def place(point: complex) -> complex:
        flipped = complex(-point.real, point.imag) if one.flip else point
        return (factor * flipped).conjugate() + shift

    figure.points = {name: place(point) for name, point in figure.points.items()}
    figure.circles = {name: (place(at), one.scale * radius) for name, (at, radius) in figure.circles.items()}
    figure.lettered = one.lettered


_BUILD: dict[type, Callable[[Any, Figure], None]] = {  # each takes the type that it stands behind
    s.Triangle: _triangle,
    s.Quadrilateral: _triangle,
    s.Regular: _regular,
    s.Circle: _circle,
    s.Segment: _segment,
    s.Line: _line,
    s.Inclined: _inclined,
    s.Diagonals: _diagonals,
    s.Free: _free,
    s.Divide: _divide,
    s.Median: _median,
    s.Altitude: _altitude,
    s.Bisector: _bisector,
    s.Meet: _meet,
    s.Cut: _cut,
    s.Polar: _polar,
    s.Chord: _chord,
    s.Touch: _touch,
    s.Incircle: _incircle,
    s.Circumcircle: _circumcircle,
    s.Second: _second,
    s.Tick: _side_mark("ticks", "count"),
    s.Arrow: _side_mark("arrows", "count"),
    s.Arc: _corner_mark("arcs", "count"),
    s.RightMark: lambda one, figure: figure.rights.add(_corner(one, figure)),
    s.Length: _side_mark("lengths", "value"),
    s.Angle: _corner_mark("angles", "value"),
    s.Look: _look,
    s.Shade: _shade,
    s.Told: lambda one, figure: None,  # says something, draws nothing
    s.Layout: _layout,
}
