"""Programs of scenes to what is drawn: things with their outlines, and a box."""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from random import Random
from typing import Final

from negmine.stages.figures.canvas import PAPERS, Area, Disc, Drawing, Mark, Stroke, Style
from negmine.stages.figures.program import Program
from negmine.stages.figures.scenes.statements import COLOURS, PATTERNS, SHAPES, SIZES, Box, Thing

EDGE: Final = 0.03
BOX: Final = "#b9b9b9"
_STRIPE: Final = 0.05
_DOTS: Final = 0.047
_DOT: Final = 0.0135


@dataclass(frozen=True, slots=True)
class Item:
    """A thing as it is drawn; `half` is half the side of the box it fills."""

    shape: str
    colour: str
    pattern: str
    half: float
    at: complex


@dataclass(frozen=True, slots=True)
class Scene:
    """What is drawn, in frame coordinates (complex, y downwards); boxes are centre and half a side."""

    items: tuple[Item, ...]
    boxes: tuple[tuple[complex, float], ...]


def realise(program: Program) -> Scene:
    """The scene of a program.

    Raises:
        ValueError: an attribute that is unknown, or two things that overlap.
    """
    items = tuple(_item(one) for one in program if isinstance(one, Thing))
    boxes = tuple((complex(*one.at), one.half) for one in program if isinstance(one, Box))
    for n, item in enumerate(items):
        if any(_gap(item, other) < -0.001 for other in items[:n]):
            raise ValueError("two things overlap")
    return Scene(items, boxes)


def _item(one: Thing) -> Item:
    for name, options in (("shape", SHAPES), ("colour", COLOURS), ("pattern", PATTERNS), ("size", SIZES)):
        if getattr(one, name) not in options:
            raise ValueError(f"no {name} {getattr(one, name)!r}")
    return Item(one.shape, one.colour, one.pattern, SIZES[one.size], complex(*one.at))


def _gap(one: Item, other: Item) -> float:
    """Distance between the boxes of two things; below 0 they overlap."""
    apart = one.at - other.at
    return max(abs(apart.real), abs(apart.imag)) - one.half - other.half


# --- drawing ---------------------------------------------------------------------------------------------------------


@lru_cache(64)
def outline(shape: str) -> tuple[complex, ...]:
    """A shape's outline in the square from -1 to 1, y downwards."""
    third = 1 / 3
    outlines: Mapping[str, tuple[complex, ...]] = {
        "circle": tuple(cmath.rect(1, math.tau * n / 40) for n in range(40)),
        "square": (-1 - 1j, 1 - 1j, 1 + 1j, -1 + 1j),
        "triangle": (-1j, 1 + 1j, -1 + 1j),
        "diamond": (-1j, 0.8, 1j, -0.8),
        "star": tuple(cmath.rect(1 if n % 2 == 0 else 0.42, math.pi * (n / 5 - 0.5)) for n in range(10)),
        "cross": (
            complex(-third, -1),
            complex(third, -1),
            complex(third, -third),
            complex(1, -third),
            complex(1, third),
            complex(third, third),
            complex(third, 1),
            complex(-third, 1),
            complex(-third, third),
            complex(-1, third),
            complex(-1, -third),
            complex(-third, -third),
        ),
    }
    return outlines[shape]


def draw_scene(scene: Scene, style: Style) -> Drawing:
    """A drawing of a scene."""
    marks: list[Mark] = []
    for centre, half in scene.boxes:
        corners = tuple(centre + half * corner for corner in outline("square"))
        marks.append(Area(corners, BOX))
    for item in scene.items:
        marks += _draw_item(item, style)
    return Drawing(tuple(marks), True, all(map(_inside, scene.items)))


def _inside(item: Item) -> bool:
    low, high = EDGE + item.half, 1 - EDGE - item.half
    return low <= item.at.real <= high and low <= item.at.imag <= high


def _draw_item(item: Item, style: Style) -> Iterator[Mark]:
    corners = tuple(item.at + item.half * corner for corner in outline(item.shape))
    colour, closed = COLOURS[item.colour], (*corners, corners[0])
    if item.pattern == "hollow":
        inner = tuple(item.at + 0.84 * (corner - item.at) for corner in corners)
        yield Area(inner, style.paper)
        yield Stroke((*inner, inner[0]), width=2.2, colour=colour)
        return
    yield Area(corners, colour)
    if item.pattern == "striped":
        for start, end in hatching(corners, _STRIPE):
            yield Stroke((start, end), width=1.3, colour="#ffffff")
    elif item.pattern == "dotted":
        yield from (Disc(at, _DOT, "#ffffff", False) for at in dotting(corners, item.at, _DOTS))
    yield Stroke(closed, width=0.6)


def hatching(corners: tuple[complex, ...], step: float) -> list[tuple[complex, complex]]:
    """Rising parallel lines inside a polygon, convex or not."""
    way = cmath.rect(1, -math.pi / 4)
    turned = [corner / way for corner in corners]
    low, high = min(c.imag for c in turned), max(c.imag for c in turned)
    lines = []
    for n in range(1, int((high - low) / step) + 2):
        y = low + (n - 0.5) * step
        cuts = sorted(
            a.real + (y - a.imag) / (b.imag - a.imag) * (b.real - a.real)
            for a, b in zip(turned, turned[1:] + turned[:1], strict=True)
            if (a.imag <= y) != (b.imag <= y)
        )
        lines += [(complex(x, y) * way, complex(z, y) * way) for x, z in zip(cuts[::2], cuts[1::2], strict=True)]
    return lines


def dotting(corners: tuple[complex, ...], middle: complex, step: float) -> list[complex]:
    """Points of a grid round `middle` that lie inside a polygon, a dot's width from its edges."""
    reach = range(-4, 5)
    grid = [middle + step * complex(x + 0.5 * (y % 2), y) for y in reach for x in reach]
    return [at for at in grid if all(_holds(corners, at + 1.2 * _DOT * side) for side in (1, -1, 1j, -1j))]


def _holds(corners: tuple[complex, ...], point: complex) -> bool:
    """Even-odd rule."""
    inside = False
    for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
        if (a.imag <= point.imag) != (b.imag <= point.imag):
            cut = a.real + (point.imag - a.imag) / (b.imag - a.imag) * (b.real - a.real)
            inside ^= cut > point.real
    return inside


def scene_style(rng: Random) -> Style:
    """Paper and width of outlines; colours belong to the things."""
    return Style(line=round(rng.uniform(0.011, 0.016), 4), paper=rng.choice(PAPERS))
