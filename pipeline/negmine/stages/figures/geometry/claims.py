"""What a program of geometry claims, and how claims are said.

Weaker classes always carry their exclusion ("a rectangle that is not a square"), and whatever an edit can change is
mentioned in every state it can have. Letters stand apart, so that no tokenizer fuses them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from negmine.stages.figures.domain import Claim
from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.program import Program, Statement

Say = Callable[[Claim], str]


# --- what is claimed -------------------------------------------------------------------------------------------------


def claims(program: Program) -> tuple[Claim, ...]:
    """The claims of a program's statements, in their order; without letters where the layout has none."""
    layout = program[-1]
    found = [claim for one in program if (claim := _claim(one)) is not None]
    if isinstance(layout, s.Layout) and layout.lettered:
        return tuple(found)
    return tuple(dict.fromkeys(_nameless(claim) for claim in found))


def _nameless(claim: Claim) -> Claim:
    one_diagonal = claim.what == "diagonals" and claim.value in ("first", "second")
    return Claim(claim.what, (), "one" if one_diagonal else claim.value)


def _claim(one: Statement) -> Claim | None:
    make = _CLAIMS.get(type(one))
    return make(one) if make else None


def _triangle(one: s.Triangle) -> Claim:
    return Claim("triangle", (one.points[one.apex :] + one.points[: one.apex],), one.kind)


def _divide(one: s.Divide) -> Claim:
    near, far = tuple(one.ends) if one.ratio <= 0.5 else tuple(reversed(one.ends))
    return Claim("divides", (one.point, near, far), "midpoint" if one.ratio == 0.5 else "nearer")


def _cevian(kind: str) -> Callable[[s.Median | s.Altitude | s.Bisector], Claim]:
    return lambda one: Claim("cevian", (one.vertex, one.point, *one.ends), kind)


def _inclined(one: s.Inclined) -> Claim:
    return Claim("lines", (one.ends, one.to), {0.0: "parallel", 90.0: "perpendicular"}.get(one.angle, "oblique"))


def _cut(one: s.Cut) -> Claim:
    return Claim("lines", (one.points, one.triangle[1:]), "parallel" if one.first == one.second else "oblique")


def _polar(one: s.Polar) -> Claim:
    where = "on" if one.ratio == 1 else "inside" if one.ratio < 1 else "outside"
    return Claim("place", (one.point, one.circle), where)


def _touch(one: s.Touch) -> Claim:
    return Claim("touch", (one.ends, one.circle), "secant" if one.lean else "tangent")


_CLAIMS: Mapping[type, Callable[[Any], Claim]] = {  # each takes the type that it stands behind
    s.Triangle: _triangle,
    s.Quadrilateral: lambda one: Claim("quadrilateral", (one.points,), one.kind),
    s.Regular: lambda one: Claim("regular", (), str(one.sides)),
    s.Inclined: _inclined,
    s.Diagonals: lambda one: Claim("diagonals", (one.points,), one.drawn),
    s.Divide: _divide,
    s.Median: _cevian("median"),
    s.Altitude: _cevian("altitude"),
    s.Bisector: _cevian("bisector"),
    s.Meet: lambda one: Claim("meet", (one.point, one.one, one.other), "meet"),
    s.Cut: _cut,
    s.Polar: _polar,
    s.Chord: lambda one: Claim("chord", (one.ends, one.circle), "diameter" if one.span == 180 else "chord"),
    s.Touch: _touch,
    s.Incircle: lambda one: Claim("around", (one.centre, one.triangle), "inscribed"),
    s.Circumcircle: lambda one: Claim("around", (one.centre, one.triangle), "circumscribed"),
    s.Second: lambda one: Claim("circles", (one.centre, one.first), one.relation),
    s.Tick: lambda one: Claim("tick", (one.ends,), str(one.count)),
    s.Arrow: lambda one: Claim("arrow", (one.ends,), str(one.count)),
    s.Arc: lambda one: Claim("arc", (one.vertex, one.sides), str(one.count)),
    s.RightMark: lambda one: Claim("right", (one.vertex, one.sides), "marked"),
    s.Length: lambda one: Claim("length", (one.ends,), f"{one.value:g}"),
    s.Angle: lambda one: Claim("angle", (one.vertex, one.sides), f"{one.value:g}"),
    s.Look: lambda one: Claim("look", (one.ends,), "dashed" if one.dashed else "solid"),
    s.Told: lambda one: Claim(one.what, (one.one, one.other), one.value),
    s.Shade: lambda one: Claim("shade", (one.points,) if one.points else (), "shaded" if one.filled else "plain"),
}


# --- how it is said --------------------------------------------------------------------------------------------------


def spaced(names: str) -> str:
    """Letters one by one: ``BCD`` as "B C D"."""
    return " ".join(names)


def _corner(claim: Claim) -> str:
    """An angle by three letters, its vertex in the middle."""
    vertex, (one, other) = claim.of[0], tuple(claim.of[1])
    return f"{one} {vertex} {other}"


def _by_value(phrases: Mapping[str, str]) -> Say:
    """A phrase for each value; ``{0}``, ``{1}`` are the claim's letters, ``{c}`` its first letter of them all."""
    return lambda claim: phrases[claim.value].format(*map(spaced, claim.of), c="".join(claim.of)[:1])


def _lettered(named: Say, nameless: Say) -> Say:
    return lambda claim: named(claim) if claim.of else nameless(claim)


_TRIANGLE: Final = {
    "equilateral": "triangle {0} is equilateral",
    "isosceles": "triangle {0} is isosceles with apex {c} but not equilateral",
    "right": "triangle {0} is right-angled at {c}",
    "acute": "triangle {0} is acute with three different sides",
    "obtuse": "triangle {0} has an obtuse angle at {c} and three different sides",
}
_TRIANGLE_2: Final = {
    "equilateral": "{0} is an equilateral triangle",
    "isosceles": "{0} is an isosceles triangle that is not equilateral , with apex {c}",
    "right": "{0} is a triangle with a right angle at {c}",
    "acute": "{0} is an acute triangle with three unequal sides",
    "obtuse": "{0} is a triangle with unequal sides and an obtuse angle at {c}",
}
_A_TRIANGLE: Final = {
    "equilateral": "an equilateral triangle",
    "isosceles": "an isosceles triangle that is not equilateral",
    "right": "a right-angled triangle",
    "acute": "an acute triangle with three different sides",
    "obtuse": "an obtuse triangle with three different sides",
}
_QUADRILATERAL: Final = {
    "square": "a square",
    "rectangle": "a rectangle that is not a square",
    "rhombus": "a rhombus that is not a square",
    "parallelogram": "a parallelogram that is neither a rectangle nor a rhombus",
    "trapezoid": "a trapezoid with exactly one pair of parallel sides , neither isosceles nor right",
    "isosceles trapezoid": "an isosceles trapezoid with exactly one pair of parallel sides",
    "right trapezoid": "a right trapezoid with exactly one pair of parallel sides",
    "kite": "a kite that is not a rhombus",
    "irregular": "an irregular quadrilateral without parallel sides",
}
_POLYGON: Final = {"3": "triangle", "4": "square", "5": "pentagon", "6": "hexagon", "7": "heptagon", "8": "octagon"}
_RELATION: Final = {
    "parallel": "is parallel to",
    "perpendicular": "is perpendicular to",
    "oblique": "is neither parallel nor perpendicular to",
}
_RELATION_2: Final = {
    "parallel": "runs parallel to",
    "perpendicular": "stands at a right angle to",
    "oblique": "is oblique to",
}
_CIRCLES: Final = {
    "separate": "{0} and {1} lie apart without touching",
    "externally tangent": "{0} and {1} touch from outside",
    "crossing": "{0} and {1} cross at two points",
    "internally tangent": "{0} lies inside {1} and touches it",
    "concentric": "{0} lies inside {1} with the same centre",
    "inside": "{0} lies inside {1} , off its centre and without touching",
}


def _two_circles(claim: Claim) -> str:
    named = [f"the circle around {name}" for name in claim.of] or ["one circle", "the other"]
    return _CIRCLES[claim.value].format(*named)


def _two_circles_short(claim: Claim) -> str:
    named = [f"circle {name}" for name in claim.of] or ["a circle", "another circle"]
    return _CIRCLES[claim.value].format(*named)


def _count(claim: Claim, thing: str) -> str:
    return f"{claim.value} {thing}{'s' if claim.value != '1' else ''}"


def _diagonals(claim: Claim) -> str:
    if not claim.of:
        told = {"none": "without its diagonals", "one": "with one diagonal", "both": "with both diagonals"}
        return f"the quadrilateral is drawn {told[claim.value]}"
    a, b, c, d = tuple(claim.of[0])
    told = {
        "none": f"neither diagonal of {a} {b} {c} {d} is drawn",
        "first": f"of the diagonals only {a} {c} is drawn",
        "second": f"of the diagonals only {b} {d} is drawn",
        "both": f"both diagonals {a} {c} and {b} {d} are drawn",
    }
    return told[claim.value]


def _diagonals_2(claim: Claim) -> str:
    if not claim.of:
        told = {
            "none": "no diagonal is drawn",
            "one": "exactly one diagonal is drawn",
            "both": "two diagonals are drawn",
        }
        return told[claim.value]
    a, b, c, d = tuple(claim.of[0])
    told = {
        "none": f"{a} {b} {c} {d} has no diagonal drawn",
        "first": f"diagonal {a} {c} is drawn , {b} {d} is not",
        "second": f"diagonal {b} {d} is drawn , {a} {c} is not",
        "both": f"diagonals {a} {c} and {b} {d} are both drawn",
    }
    return told[claim.value]


def _regular(claim: Claim, article: str = "a regular ") -> str:
    return article + _POLYGON[claim.value]


TEMPLATES: Mapping[str, Sequence[Say]] = {
    "triangle": (
        _lettered(_by_value(_TRIANGLE), _by_value(_A_TRIANGLE)),
        _lettered(_by_value(_TRIANGLE_2), lambda claim: "there is " + _A_TRIANGLE[claim.value]),
    ),
    "quadrilateral": (
        lambda claim: (
            f"{spaced(claim.of[0])} is {_QUADRILATERAL[claim.value]}" if claim.of else _QUADRILATERAL[claim.value]
        ),
        lambda claim: (
            f"figure {spaced(claim.of[0])} is {_QUADRILATERAL[claim.value]}"
            if claim.of
            else "there is " + _QUADRILATERAL[claim.value]
        ),
    ),
    "regular": (_regular, lambda claim: _regular(claim, "there is a regular ")),
    "diagonals": (_diagonals, _diagonals_2),
    "divides": (
        _lettered(
            _by_value(
                {"midpoint": "{0} is the midpoint of {1} {2}", "nearer": "{0} lies on {1} {2} much nearer to {1}"}
            ),
            _by_value({"midpoint": "a point halves a side", "nearer": "a point lies on a side away from its middle"}),
        ),
        _lettered(
            _by_value({"midpoint": "{0} halves {1} {2}", "nearer": "{0} divides {1} {2} close to {1}"}),
            _by_value(
                {"midpoint": "the midpoint of a side is marked", "nearer": "a point on a side is not its midpoint"}
            ),
        ),
    ),
    "cevian": (
        _lettered(
            _by_value(
                {
                    "median": "{0} {1} is the median to {2} {3}",
                    "altitude": "{0} {1} is the altitude on {2} {3}",
                    "bisector": "{0} {1} bisects angle {2} {0} {3}",
                }
            ),
            _by_value(
                {
                    "median": "a median is drawn",
                    "altitude": "an altitude is drawn",
                    "bisector": "an angle bisector is drawn",
                }
            ),
        ),
        _lettered(
            _by_value(
                {
                    "median": "{1} is the midpoint of {2} {3} and {0} {1} is drawn",
                    "altitude": "{0} {1} meets {2} {3} at a right angle in {1}",
                    "bisector": "the bisector of the angle at {0} meets {2} {3} in {1}",
                }
            ),
            _by_value(
                {"median": "with a median", "altitude": "with an altitude", "bisector": "with an angle bisector"}
            ),
        ),
    ),
    "lies": (
        _lettered(_by_value({"on": "point {0} lies on line {1}"}), _by_value({"on": "a point lies on a line"})),
        _lettered(_by_value({"on": "{0} is on {1}"}), _by_value({"on": "there is a point on a line"})),
    ),
    "lines": (
        lambda claim: (
            " ".join([spaced(claim.of[0]), _RELATION[claim.value], spaced(claim.of[1])])
            if claim.of
            else f"one line {_RELATION[claim.value]} another"
        ),
        lambda claim: (
            f"line {spaced(claim.of[0])} {_RELATION_2[claim.value]} line {spaced(claim.of[1])}"
            if claim.of
            else f"a line {_RELATION_2[claim.value]} another line"
        ),
    ),
    "meet": (
        lambda claim: (
            f"{spaced(claim.of[1])} and {spaced(claim.of[2])} meet at {claim.of[0]}" if claim.of else "two lines meet"
        ),
        lambda claim: (
            f"{claim.of[0]} is where {spaced(claim.of[1])} meets {spaced(claim.of[2])}"
            if claim.of
            else "two lines cross"
        ),
    ),
    "place": (
        lambda claim: (
            f"point {claim.of[0]} lies {claim.value} the circle around {claim.of[1]}"
            if claim.of
            else f"a point lies {claim.value} the circle"
        ),
        lambda claim: (
            f"{claim.of[0]} is {claim.value} circle {claim.of[1]}"
            if claim.of
            else f"there is a point {claim.value} the circle"
        ),
    ),
    "chord": (
        _lettered(
            _by_value(
                {
                    "diameter": "{0} is a diameter of the circle around {1}",
                    "chord": "{0} is a chord of the circle around {1} that misses the centre",
                }
            ),
            _by_value(
                {"diameter": "a circle with a diameter", "chord": "a circle with a chord that misses the centre"}
            ),
        ),
        _lettered(
            _by_value(
                {
                    "diameter": "{0} is a chord of circle {1} through the centre",
                    "chord": "{0} is a chord of circle {1} but not a diameter",
                }
            ),
            _by_value({"diameter": "a diameter is drawn", "chord": "a chord is drawn that is not a diameter"}),
        ),
    ),
    "touch": (
        _lettered(
            _by_value(
                {
                    "tangent": "line {0} touches the circle around {1}",
                    "secant": "line {0} cuts the circle around {1} at two points",
                }
            ),
            _by_value({"tangent": "a line touches the circle", "secant": "a line cuts the circle at two points"}),
        ),
        _lettered(
            _by_value({"tangent": "{0} is a tangent of circle {1}", "secant": "{0} is a secant of circle {1}"}),
            _by_value({"tangent": "a tangent of the circle", "secant": "a secant of the circle"}),
        ),
    ),
    "around": (
        _lettered(
            _by_value(
                {
                    "inscribed": "the circle around {0} is inscribed in triangle {1}",
                    "circumscribed": "the circle around {0} passes through the corners of triangle {1}",
                }
            ),
            _by_value(
                {
                    "inscribed": "a circle inscribed in the triangle",
                    "circumscribed": "a circle through the corners of the triangle",
                }
            ),
        ),
        _lettered(
            _by_value(
                {
                    "inscribed": "circle {0} touches the three sides of triangle {1}",
                    "circumscribed": "circle {0} is circumscribed about triangle {1}",
                }
            ),
            _by_value({"inscribed": "with its incircle", "circumscribed": "with its circumcircle"}),
        ),
    ),
    "circles": (_two_circles, _two_circles_short),
    "tick": (
        lambda claim: (
            f"{spaced(claim.of[0])} carries {_count(claim, 'tick mark')}"
            if claim.of
            else f"a side carries {_count(claim, 'tick mark')}"
        ),
        lambda claim: (
            f"there are {claim.value} ticks on {spaced(claim.of[0])}"
            if claim.of
            else f"a side with {_count(claim, 'tick')}"
        ),
    ),
    "arrow": (
        lambda claim: (
            f"{spaced(claim.of[0])} carries {_count(claim, 'arrow head')}"
            if claim.of
            else f"a line carries {_count(claim, 'arrow head')}"
        ),
        lambda claim: (
            f"{_count(claim, 'arrow head')} on {spaced(claim.of[0])}"
            if claim.of
            else f"a line with {_count(claim, 'arrow head')}"
        ),
    ),
    "arc": (
        lambda claim: (
            f"angle {_corner(claim)} has {_count(claim, 'arc')}" if claim.of else f"an angle has {_count(claim, 'arc')}"
        ),
        lambda claim: (
            f"{_count(claim, 'arc')} in angle {_corner(claim)}" if claim.of else f"an angle with {_count(claim, 'arc')}"
        ),
    ),
    "right": (
        lambda claim: (
            f"angle {_corner(claim)} carries the right angle mark"
            if claim.of
            else "an angle carries the right angle mark"
        ),
        lambda claim: f"a right angle mark at {_corner(claim)}" if claim.of else "with a right angle mark",
    ),
    "length": (
        lambda claim: (
            f"{spaced(claim.of[0])} has length {claim.value}" if claim.of else f"a side of length {claim.value}"
        ),
        lambda claim: (
            f"the length of {spaced(claim.of[0])} is {claim.value}" if claim.of else f"one side is {claim.value} long"
        ),
    ),
    "angle": (
        lambda claim: (
            f"angle {_corner(claim)} is {claim.value} degrees" if claim.of else f"an angle of {claim.value} degrees"
        ),
        lambda claim: (
            f"the angle {_corner(claim)} measures {claim.value} degrees"
            if claim.of
            else f"one angle measures {claim.value} degrees"
        ),
    ),
    "look": (
        lambda claim: f"segment {spaced(claim.of[0])} is {claim.value}",
        lambda claim: f"{spaced(claim.of[0])} is drawn {claim.value}",
    ),
    "shade": (
        _lettered(
            _by_value({"shaded": "{0} is shaded", "plain": "{0} is not shaded"}),
            _by_value({"shaded": "it is shaded", "plain": "it is not shaded"}),
        ),
        _lettered(
            _by_value({"shaded": "the inside of {0} is grey", "plain": "the inside of {0} is white"}),
            _by_value({"shaded": "its inside is grey", "plain": "its inside is blank"}),
        ),
    ),
}
"""Two ways to say each predicate."""
