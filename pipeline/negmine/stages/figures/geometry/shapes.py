"""Shapes at random, each within a range of parameters that keeps it away from its neighbours' classes.

All of them fit a circle of radius 1 round the origin, so that a changed kind leaves the scale of a figure as it was.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from random import Random
from typing import Final

from negmine.stages.figures.geometry.statements import Point, Second, Triangle
from negmine.stages.figures.program import DECIMALS, rounded

Corners = tuple[complex, ...]

TRIANGLES: Final = ("equilateral", "isosceles", "right", "acute", "obtuse")
LOPSIDED: Final = ("isosceles", "right", "obtuse")
"""Triangles with one corner unlike the others."""

CIRCLE_PAIRS: Final = ("separate", "externally tangent", "crossing", "internally tangent", "concentric", "inside")


def literal(value: float) -> float:
    return round(value, DECIMALS)


def _within(rng: Random, *ranges: tuple[float, float]) -> float:
    return rng.uniform(*rng.choice(ranges))


def normal(corners: Corners) -> tuple[Point, ...]:
    """Corners as literals, their box round the origin and the farthest of them at distance 1."""
    middle = complex(
        (max(c.real for c in corners) + min(c.real for c in corners)) / 2,
        (max(c.imag for c in corners) + min(c.imag for c in corners)) / 2,
    )
    reach = max(abs(corner - middle) for corner in corners)
    return tuple(rounded((corner - middle) / reach) for corner in corners)


# --- triangles -------------------------------------------------------------------------------------------------------


def triangle(points: str, kind: str, rng: Random) -> Triangle:
    """A triangle; which corner is the special one is drawn as well."""
    apex = rng.randrange(3) if kind in LOPSIDED else 0
    special, left, right = normal(_TRIANGLES[kind](rng))
    at = {apex: special, (apex + 1) % 3: left, (apex + 2) % 3: right}
    return Triangle(points, kind, apex, (at[0], at[1], at[2]))


def _isosceles(rng: Random) -> Corners:
    height = _within(rng, (0.34, 0.40), (0.62, 0.65), (1.12, 1.45))  # neither equilateral nor right
    return 1j * height, -0.5, 0.5


def _right(rng: Random) -> Corners:
    return 0, 1, 1j * _within(rng, (0.48, 0.78), (1.28, 2.0))


def _acute(rng: Random) -> Corners:
    """Three sides that differ by an eighth at least, no angle above 78 degrees."""
    while True:
        x, y = rng.uniform(0.12, 0.45), rng.uniform(0.6, 1.3)
        if _is_scalene(corners := (complex(x, y), 0, 1), 0, 78):
            return corners


def _obtuse(rng: Random) -> Corners:
    while True:
        x, y = rng.uniform(0.15, 0.45), rng.uniform(0.25, 0.42)
        if _is_scalene(corners := (complex(x, y), 0, 1), 104, 130):
            return corners


def _is_scalene(corners: Corners, least: float, most: float) -> bool:
    a, b, c = corners
    sides = sorted((abs(b - a), abs(c - b), abs(a - c)))
    angles = [(b - a) / (c - a), (c - b) / (a - b), (a - c) / (b - c)]
    widest = max(abs(math.degrees(cmath.phase(angle))) for angle in angles)
    return sides[1] / sides[0] > 1.13 and sides[2] / sides[1] > 1.13 and least <= widest <= most


_TRIANGLES: Mapping[str, Callable[[Random], Corners]] = {
    "equilateral": lambda rng: (1j * math.sqrt(3) / 2, -0.5, 0.5),
    "isosceles": _isosceles,
    "right": _right,
    "acute": _acute,
    "obtuse": _obtuse,
}


# --- quadrilaterals --------------------------------------------------------------------------------------------------


def quadrilateral(kind: str, rng: Random) -> tuple[Point, Point, Point, Point]:
    """Corners in order round it; which of them is the first, and the sense, are drawn."""
    corners = list(normal(_QUADRILATERALS[kind](rng)))
    first = rng.randrange(4)
    corners = corners[first:] + corners[:first]
    if rng.random() < 0.5:
        corners.reverse()
    a, b, c, d = corners
    return a, b, c, d


def _slanted(side: float, degrees: float) -> Corners:
    up = side * cmath.rect(1, math.radians(degrees))
    return 0, 1, 1 + up, up


def _trapezoid(rng: Random) -> Corners:
    top, height = rng.uniform(0.4, 0.6), rng.uniform(0.45, 0.6)
    left = rng.uniform(-0.12, 0.02)  # beyond the foot of the left leg, so that the legs differ
    return 0, 1, complex(left + top, height), complex(left, height) if left < -0.08 else complex(left - 0.15, height)


def _isosceles_trapezoid(rng: Random) -> Corners:
    inset, height = rng.uniform(0.16, 0.27), rng.uniform(0.45, 0.65)
    return 0, 1, complex(1 - inset, height), complex(inset, height)


def _right_trapezoid(rng: Random) -> Corners:
    top, height = rng.uniform(0.42, 0.62), rng.uniform(0.45, 0.65)
    return 0, 1, complex(top, height), complex(0, height)


def _kite(rng: Random) -> Corners:
    half, up, down = rng.uniform(0.38, 0.46), rng.uniform(0.25, 0.34), rng.uniform(0.75, 1.05)
    return 1j * up, half, -1j * down, -half


def _irregular(rng: Random) -> Corners:
    """No two sides parallel, and no kite."""
    while True:
        at = [cmath.rect(rng.uniform(0.75, 1), math.radians(90 * n + rng.uniform(-28, 28))) for n in range(4)]
        edges = [at[(n + 1) % 4] - at[n] for n in range(4)]
        slants = [abs(math.degrees(cmath.phase(edges[n] / -edges[n + 2]))) for n in (0, 1)]
        lengths = [abs(edge) for edge in edges]
        ratios = [max(a, b) / min(a, b) for a, b in zip(lengths, lengths[1:] + lengths[:1], strict=True)]
        corners = [abs(math.degrees(cmath.phase(edges[n] / edges[n - 1]))) for n in range(4)]
        if min(slants) > 14 and sum(ratio > 1.25 for ratio in ratios) >= 3 and max(corners) < 140 and min(corners) > 35:
            return tuple(at)


_QUADRILATERALS: Mapping[str, Callable[[Random], Corners]] = {
    "square": lambda rng: (0, 1, 1 + 1j, 1j),
    "rectangle": lambda rng: _slanted(rng.uniform(0.42, 0.76), 90),
    "rhombus": lambda rng: _slanted(1, rng.uniform(50, 72)),
    "parallelogram": lambda rng: _slanted(rng.uniform(0.52, 0.76), rng.uniform(50, 72)),
    "trapezoid": _trapezoid,
    "isosceles trapezoid": _isosceles_trapezoid,
    "right trapezoid": _right_trapezoid,
    "kite": _kite,
    "irregular": _irregular,
}

QUADRILATERALS: Final = tuple(_QUADRILATERALS)


# --- circles ---------------------------------------------------------------------------------------------------------


def second_circle(centre: str, first: str, radius: float, relation: str, rng: Random) -> Second:
    """A circle in this relation to the circle `first` of this radius; the smaller of the two where one is inside."""
    small = radius * rng.uniform(0.45, 0.62)
    if relation in ("separate", "externally tangent", "crossing"):
        small = radius * rng.uniform(0.6, 0.85)
    distances = {
        "separate": 1.22 * (radius + small),
        "externally tangent": radius + small,
        "crossing": (radius + small) * 0.68,
        "internally tangent": radius - small,
        "concentric": 0.0,
        "inside": (radius - small) * 0.55,
    }
    return Second(centre, first, relation, literal(distances[relation]), literal(rng.uniform(-35, 35)), literal(small))
