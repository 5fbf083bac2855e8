"""The statements of scenes: things with a place, and what the caption speaks of.

A caption's plan is part of the program: `Tell` says which things it names and by which attributes, never what is true
of them. What is true is read off the things, so that a changed thing changes the caption.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

Point = tuple[float, float]

COLOURS: Final = {
    "red": "#d62728",
    "green": "#2ca02c",
    "blue": "#1f4fd8",
    "yellow": "#f5d000",
    "purple": "#8e3bb5",
    "orange": "#ff7f0e",
    "black": "#202020",
    "pink": "#f5a3c7",
}
SHAPES: Final = ("circle", "square", "triangle", "diamond", "star", "cross")
PATTERNS: Final = ("plain", "striped", "dotted", "hollow")
SIZES: Final = {"small": 0.075, "large": 0.125}
"""Half the side of the box that a thing fills, share of the drawing's side."""

ATTRIBUTES: Final = ("size", "pattern", "colour", "shape")
"""In the order in which English says them."""


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing, its middle at `at`: x to the right, y downwards, both 0 to 1; `id` is what `Tell` calls it by."""

    id: int
    shape: str
    colour: str
    pattern: str
    size: str
    at: Point


@dataclass(frozen=True, slots=True)
class Box:
    """A grey box with things in it or beside it."""

    at: Point
    half: float


@dataclass(frozen=True, slots=True)
class Tell:
    """One sentence of the caption.

    Attributes:
        what: a predicate of `negmine.stages.figures.scenes.claims`.
        things: ids of the things it is about.
        by: the attributes they are named by.
        about: an attribute that is told of them (for ``all``), or "".
    """

    what: str
    things: tuple[int, ...]
    by: tuple[str, ...]
    about: str = ""


@dataclass(frozen=True, slots=True)
class Absent:
    """A thing that the caption says is not there, or is: by its attributes."""

    colour: str
    shape: str


STATEMENTS: dict[str, type] = {kind.__name__: kind for kind in (Thing, Box, Tell, Absent)}
