"""The oracle of geometry: is a claim true of what is drawn? It measures; it never sees a program or an edit.

Within the tolerance true, beyond the margin false, between them undecided. Letters that are not there and lines that
are not drawn make a claim false. A claim without letters is true if anything drawn makes it true.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Final

from negmine.stages.figures.domain import Claim, Verdict, every, no, some, within
from negmine.stages.figures.geometry import candidates
from negmine.stages.figures.geometry.figure import Figure, Side, cross, foot

EQUAL: Final = (1.04, 1.22)
"""Ratio of two lengths: equal up to the first, unequal from the second."""
SCALENE: Final = (1.04, 1.12)
FLAT: Final = 0.01
"""Sine of an angle below which three points lie on a line."""

TURN: Final = (2.0, 12.0)
"""Degrees between two directions."""

_Test = Callable[..., Verdict]


def judge(claim: Claim, figure: Figure) -> Verdict:
    """True, false, or None where it is too close to call.

    Raises:
        KeyError: a predicate that the oracle does not know.
    """
    test, find = _PREDICATES[claim.what]
    if claim.of:
        if any(name not in figure.points for names in claim.of for name in names) or not figure.lettered:
            return False
        return _decide(test, figure, claim.value, claim.of)
    return some(_decide(test, figure, claim.value, names) for names in find(figure))


def _decide(test: _Test, figure: Figure, value: str, names: tuple[str, ...]) -> Verdict:
    try:
        return test(figure, value, *names)
    except ZeroDivisionError:  # points that lie on each other: nothing to measure
        return None


# --- measuring -------------------------------------------------------------------------------------------------------


def equal(one: float, other: float, limits: tuple[float, float] = EQUAL) -> Verdict:
    """Whether two lengths look equal."""
    least, most = sorted((one, other))
    return within(most / max(least, 1e-9), *limits)


def degrees_at(vertex: complex, one: complex, other: complex) -> float:
    """The angle at a vertex, 0 to 180."""
    return abs(math.degrees(cmath.phase((one - vertex) / (other - vertex))))


def turn(one: complex, other: complex) -> float:
    """Degrees between two lines, 0 to 90."""
    between = abs(math.degrees(cmath.phase(one / other)))
    return min(between, 180 - between)


def is_angle(value: float, wanted: float) -> Verdict:
    return within(abs(value - wanted), *TURN)


def drawn(figure: Figure, one: str, other: str) -> Verdict:
    """Whether the line between two points is drawn, alone or as a part of a longer one."""
    if frozenset((one, other)) in figure.segments:
        return True
    start, end = figure.points[one], figure.points[other]
    return any(_covers(figure, side, start, end) for side in figure.segments)


def _covers(figure: Figure, side: Side, *points: complex) -> bool:
    a, b = (figure.points[name] for name in sorted(side))
    return all(on_segment(point, a, b) is True for point in points)


def on_segment(point: complex, start: complex, end: complex) -> Verdict:
    """Whether a point lies on the line between two others."""
    length = abs(end - start)
    share = ((point - start) / (end - start)).real
    beyond = max(0.0, -share, share - 1)
    off = abs(point - foot(point, start, end)) / length
    return within(max(beyond, off), 0.02, 0.08)


def circles_around(figure: Figure, name: str) -> list[tuple[complex, float]]:
    """The drawn circles whose centre a letter names; of concentric circles nobody sees which one is whose."""
    at = figure.points[name]
    return [(centre, radius) for centre, radius in figure.circles.values() if abs(centre - at) < 0.05 * radius]


def _of_circle(figure: Figure, name: str, test: Callable[[complex, float], Verdict]) -> Verdict:
    """What holds of the circle around a point; undecided if that may be one of several and they differ."""
    verdicts = {test(*circle) for circle in circles_around(figure, name)}
    return False if not verdicts else verdicts.pop() if len(verdicts) == 1 else None


def _at(figure: Figure, names: str) -> list[complex]:
    return [figure.points[name] for name in names]


# --- shapes ----------------------------------------------------------------------------------------------------------


def _triangle(figure: Figure, kind: str, names: str) -> Verdict:
    """`names`: the apex, the right or the obtuse corner first."""
    a, b, c = _at(figure, names)
    outline = every(drawn(figure, one, other) for one, other in combinations(names, 2))
    if outline is False or abs(cross(b - a, c - a)) < FLAT * abs(b - a) * abs(c - a):
        return False
    legs, base = (abs(b - a), abs(c - a)), abs(c - b)
    sides = (*legs, base)
    apex = degrees_at(a, b, c)
    widest = max(apex, degrees_at(b, c, a), degrees_at(c, a, b))
    unequal = every(no(equal(one, other, SCALENE)) for one, other in combinations(sides, 2))
    kinds: dict[str, Callable[[], Verdict]] = {
        "equilateral": lambda: every(equal(one, other) for one, other in combinations(sides, 2)),
        "isosceles": lambda: every([equal(*legs), no(equal(legs[0], base))]),
        "right": lambda: is_angle(apex, 90),
        "acute": lambda: every([within(widest, 80, 88), unequal]),
        "obtuse": lambda: every([within(-apex, -100, -92), unequal]),
    }
    return every([outline, kinds[kind]()])


def _quadrilateral(figure: Figure, kind: str, names: str) -> Verdict:
    corners = _at(figure, names)
    outline = every(drawn(figure, names[n - 1], names[n]) for n in range(4))
    if outline is False:
        return False
    edges = [corners[(n + 1) % 4] - corners[n] for n in range(4)]
    turns = [cross(edges[n - 1], edges[n]) for n in range(4)]
    if not (all(t > 0 for t in turns) or all(t < 0 for t in turns)):
        return False
    return every([outline, _QUADRILATERALS[kind](_Edges(edges))])


class _Edges:
    """What kinds of quadrilaterals are told apart by; edges in order round it."""

    def __init__(self, edges: Sequence[complex]) -> None:
        lengths = [abs(edge) for edge in edges]
        self.parallel = [within(turn(edges[n], edges[n + 2]), *TURN) for n in (0, 1)]
        self.opposite = [equal(lengths[n], lengths[n + 2]) for n in (0, 1)]
        self.adjacent = [equal(lengths[n], lengths[(n + 1) % 4]) for n in range(4)]
        self.right = [within(90 - turn(edges[n - 1], edges[n]), *TURN) for n in range(4)]

    @property
    def parallelogram(self) -> Verdict:
        return every(self.parallel)

    @property
    def rectangular(self) -> Verdict:
        return every(self.right)

    @property
    def equilateral(self) -> Verdict:
        return every(self.adjacent)

    @property
    def one_pair(self) -> Verdict:
        """Exactly one pair of parallel sides."""
        first, second = self.parallel
        return some([every([first, no(second)]), every([second, no(first)])])

    @property
    def equal_legs(self) -> Verdict:
        """Of a trapezoid: the sides that are not parallel are equal."""
        first, second = self.parallel
        return some([every([first, self.opposite[1]]), every([second, self.opposite[0]])])

    @property
    def kite(self) -> Verdict:
        a, b, c, d = self.adjacent
        return some([every([a, c, no(b), no(d)]), every([b, d, no(a), no(c)])])


_QUADRILATERALS: Mapping[str, Callable[[_Edges], Verdict]] = {
    "square": lambda q: every([q.rectangular, q.equilateral]),
    "rectangle": lambda q: every([q.rectangular, no(q.adjacent[0])]),
    "rhombus": lambda q: every([q.equilateral, no(q.right[0])]),
    "parallelogram": lambda q: every([q.parallelogram, no(q.adjacent[0]), no(q.right[0])]),
    "isosceles trapezoid": lambda q: every([q.one_pair, q.equal_legs]),
    "right trapezoid": lambda q: every([q.one_pair, some(q.right)]),
    "trapezoid": lambda q: every([q.one_pair, no(q.equal_legs), no(some(q.right))]),
    "kite": lambda q: every([q.kite, *(no(pair) for pair in q.parallel)]),
    "irregular": lambda q: every([*(no(pair) for pair in q.parallel), no(q.kite)]),
}


def _regular(figure: Figure, sides: str, names: str) -> Verdict:
    corners = _at(figure, names)
    if len(corners) != int(sides):
        return False
    centre = sum(corners) / len(corners)
    edges = [abs(corners[n] - corners[n - 1]) for n in range(len(corners))]
    radii = [abs(corner - centre) for corner in corners]
    return every([equal(min(edges), max(edges)), equal(min(radii), max(radii))])


def _diagonals(figure: Figure, which: str, names: str) -> Verdict:
    a, b, c, d = tuple(names)
    outline = every(drawn(figure, names[n - 1], names[n]) for n in range(4))
    if outline is False:
        return False
    first, second = drawn(figure, a, c), drawn(figure, b, d)
    wanted = {"both": (True, True), "first": (True, False), "second": (False, True), "none": (False, False)}
    if which == "one":  # said without letters
        return every([some([first, second]), no(every([first, second]))])
    return every(one if want else no(one) for one, want in zip((first, second), wanted[which], strict=True))


# --- points and lines ------------------------------------------------------------------------------------------------


def _divides(figure: Figure, where: str, point: str, near: str, far: str) -> Verdict:
    """The point lies on the drawn line: in its middle, or much nearer to `near`."""
    at, start, end = _at(figure, point + near + far)
    if not drawn(figure, near, far):
        return False
    share = ((at - start) / (end - start)).real
    there = within(abs(share - 0.5), 0.02, 0.12) if where == "midpoint" else within(share, 0.30, 0.45)
    return every([on_segment(at, start, end), there])


def _cevian(figure: Figure, kind: str, vertex: str, point: str, one: str, other: str) -> Verdict:
    top, at, start, end = _at(figure, vertex + point + one + other)
    if not (drawn(figure, vertex, point) and drawn(figure, one, other)):
        return False
    length = abs(end - start)
    share = ((at - start) / (end - start)).real
    kinds: dict[str, Callable[[], Verdict]] = {
        "median": lambda: within(abs(share - 0.5), 0.02, 0.06),
        "altitude": lambda: within(90 - turn(at - top, end - start), 2, 8),
        "bisector": lambda: within(abs(degrees_at(top, start, at) - degrees_at(top, at, end)), 2, 9),
    }
    return every([within(abs(at - foot(at, start, end)) / length, 0.02, 0.08), kinds[kind]()])


def _lines(figure: Figure, relation: str, one: str, other: str) -> Verdict:
    (a, b), (c, d) = _at(figure, one), _at(figure, other)
    if not (drawn(figure, *one) and drawn(figure, *other)):
        return False
    between = turn(b - a, d - c)
    parallel, perpendicular = within(between, *TURN), within(90 - between, *TURN)
    found = {"parallel": parallel, "perpendicular": perpendicular}
    return found[relation] if relation in found else every([no(parallel), no(perpendicular)])


def _lies(figure: Figure, _: str, point: str, ends: str) -> Verdict:
    """The point lies on the drawn line, between its ends."""
    if point in ends or not drawn(figure, *ends):
        return False
    return on_segment(*_at(figure, point + ends))


def _meet(figure: Figure, _: str, point: str, one: str, other: str) -> Verdict:
    at, a, b, c, d = _at(figure, point + one + other)
    if not (drawn(figure, *one) and drawn(figure, *other)):
        return False
    return every([on_segment(at, a, b), on_segment(at, c, d)])


# --- circles ---------------------------------------------------------------------------------------------------------


def _place(figure: Figure, where: str, point: str, circle: str) -> Verdict:
    if point == circle or not _is_dot(figure, point):
        return False

    def test(centre: complex, radius: float) -> Verdict:
        share = abs(figure.points[point] - centre) / radius
        limits = {
            "on": within(abs(share - 1), 0.02, 0.20),
            "inside": within(share, 0.80, 0.98),
            "outside": within(-share, -1.20, -1.02),
        }
        return limits[where]

    return _of_circle(figure, circle, test)


def _is_dot(figure: Figure, point: str) -> bool:
    return figure.lettered or (point in figure.dots and point not in figure.circles)


def _chord(figure: Figure, kind: str, ends: str, circle: str) -> Verdict:
    if circle in ends or not drawn(figure, *ends):
        return False
    a, b = _at(figure, ends)

    def test(centre: complex, radius: float) -> Verdict:
        on = every(within(abs(abs(point - centre) / radius - 1), 0.02, 0.15) for point in (a, b))
        through = within(abs(centre - foot(centre, a, b)) / radius, 0.03, 0.20)
        return every([on, through if kind == "diameter" else no(through)])

    return _of_circle(figure, circle, test)


def _touch(figure: Figure, kind: str, ends: str, circle: str) -> Verdict:
    """The drawn line touches the circle, or comes from outside, cuts it in two points and leaves it."""
    if circle in ends or not drawn(figure, *ends):
        return False
    a, b = _at(figure, ends)

    def test(centre: complex, radius: float) -> Verdict:
        nearest = foot(centre, a, b)
        share = abs(nearest - centre) / radius
        if kind == "tangent":
            return every([within(abs(share - 1), 0.02, 0.10), on_segment(nearest, a, b)])
        outside = every(within(-abs(end - centre) / radius, -1.1, -1.02) for end in (a, b))
        return every([outside, within(share, 0.88, 0.98), on_segment(nearest, a, b)])

    return _of_circle(figure, circle, test)


def _around(figure: Figure, kind: str, circle: str, names: str) -> Verdict:
    a, b, c = _at(figure, names)
    if not all(drawn(figure, one, other) for one, other in combinations(names, 2)):
        return False

    def test(centre: complex, radius: float) -> Verdict:
        if kind == "circumscribed":
            reach = [abs(corner - centre) for corner in (a, b, c)]
        else:
            reach = [abs(centre - foot(centre, *side)) for side in ((a, b), (b, c), (c, a))]
        return within(max(abs(r / radius - 1) for r in reach), 0.03, 0.15)

    return _of_circle(figure, circle, test)


def _circles(figure: Figure, relation: str, one: str, other: str) -> Verdict:
    """`one` is the smaller circle where one lies in the other."""
    pairs = [
        (first, second)
        for first in circles_around(figure, one)
        for second in circles_around(figure, other)
        if first != second
    ]
    return some(_circle_pair(relation, *first, *second) for first, second in pairs)


def _circle_pair(relation: str, small: complex, r: float, large: complex, big: float) -> Verdict:
    apart = abs(small - large)
    outside, inside = apart / (r + big), (apart + r) / big
    crossing = (apart + min(r, big)) / max(r, big)
    smaller = within(-big / r, -1.15, -1.0)
    relations: dict[str, Callable[[], Verdict]] = {
        "separate": lambda: within(-outside, -1.15, -1.02),
        "externally tangent": lambda: within(abs(outside - 1), 0.01, 0.08),
        "crossing": lambda: every([within(outside, 0.90, 0.99), within(-crossing, -1.12, -1.01)]),
        "internally tangent": lambda: every([within(abs(inside - 1), 0.015, 0.10), smaller]),
        "concentric": lambda: every([within(apart / big, 0.01, 0.10), smaller]),
        "inside": lambda: every([within(inside, 0.88, 0.985), no(within(apart / big, 0.01, 0.10)), smaller]),
    }
    return relations[relation]()


# --- marks -----------------------------------------------------------------------------------------------------------


def _tick(figure: Figure, count: str, side: str) -> Verdict:
    return every([drawn(figure, *side), figure.ticks.get(frozenset(side), 0) == int(count)])


def _arrow(figure: Figure, count: str, side: str) -> Verdict:
    return every([drawn(figure, *side), figure.arrows.get(frozenset(side), 0) == int(count)])


def _length(figure: Figure, value: str, side: str) -> Verdict:
    return every([drawn(figure, *side), figure.lengths.get(frozenset(side)) == float(value)])


def _has_sides(figure: Figure, vertex: str, sides: str) -> Verdict:
    return every(drawn(figure, vertex, end) for end in sides)


def _arc(figure: Figure, count: str, vertex: str, sides: str) -> Verdict:
    return every([_has_sides(figure, vertex, sides), figure.arcs.get((vertex, frozenset(sides)), 0) == int(count)])


def _angle(figure: Figure, value: str, vertex: str, sides: str) -> Verdict:
    return every([_has_sides(figure, vertex, sides), figure.angles.get((vertex, frozenset(sides))) == float(value)])


def _right_mark(figure: Figure, _: str, vertex: str, sides: str) -> Verdict:
    """A mark that lies makes no claim false: it is undecided, and so no member of a group."""
    marked = (vertex, frozenset(sides)) in figure.rights
    square = is_angle(degrees_at(*_at(figure, vertex + sides)), 90) or None
    return every([_has_sides(figure, vertex, sides), square if marked else False])


def _look(figure: Figure, look: str, side: str) -> Verdict:
    dashed = figure.segments.get(frozenset(side))
    return False if dashed is None else dashed == (look == "dashed")


def _shade(figure: Figure, look: str, names: str) -> Verdict:
    if not any(set(outline) == set(names) for outline in figure.outlines):
        return False
    return (frozenset(names) in figure.shaded) == (look == "shaded")


_PREDICATES: Mapping[str, tuple[_Test, Callable[[Figure], Iterator[tuple[str, ...]]]]] = {
    "triangle": (_triangle, candidates.triangles),
    "quadrilateral": (_quadrilateral, candidates.quadrilaterals),
    "regular": (_regular, candidates.polygons),
    "diagonals": (_diagonals, candidates.quadrilaterals),
    "divides": (_divides, candidates.dividers),
    "cevian": (_cevian, candidates.cevians),
    "lies": (_lies, candidates.points_and_sides),
    "lines": (_lines, candidates.line_pairs),
    "meet": (_meet, candidates.crossings),
    "place": (_place, candidates.dots_and_circles),
    "chord": (_chord, candidates.sides_and_circles),
    "touch": (_touch, candidates.sides_and_circles),
    "around": (_around, candidates.circles_and_triangles),
    "circles": (_circles, candidates.circle_pairs),
    "tick": (_tick, candidates.sides),
    "arrow": (_arrow, candidates.sides),
    "arc": (_arc, candidates.corners),
    "right": (_right_mark, candidates.corners),
    "length": (_length, candidates.sides),
    "angle": (_angle, candidates.corners),
    "look": (_look, candidates.sides),
    "shade": (_shade, candidates.polygons),
}
