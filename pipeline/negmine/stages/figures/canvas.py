"""Drawings as data: strokes, areas, discs and texts in a unit square, and the style they are drawn in.

Points are complex numbers, x to the right and y downwards, both 0 to 1. Lengths are shares of the side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

INK: Final = "#1a1a1a"
INKS: Final = (INK, "#16325c", "#5c1a1a", "#1d4a2a", "#3d2459")
PAPERS: Final = ("#ffffff", "#faf7ef", "#f2f4f7")


@dataclass(frozen=True, slots=True)
class Stroke:
    """A line through points; `width` in multiples of the style's line width; in ink if it has no colour."""

    points: tuple[complex, ...]
    dashed: bool = False
    width: float = 1.0
    colour: str | None = None


@dataclass(frozen=True, slots=True)
class Area:
    """A filled polygon without an outline."""

    points: tuple[complex, ...]
    fill: str


@dataclass(frozen=True, slots=True)
class Disc:
    """A circle, filled or not, outlined in ink or not."""

    centre: complex
    radius: float
    fill: str | None = None
    outlined: bool = True


@dataclass(frozen=True, slots=True)
class Text:
    """Text around its centre; `size` in multiples of the style's font size."""

    at: complex
    text: str
    size: float = 1.0


Mark = Stroke | Area | Disc | Text


def dashes(points: Sequence[complex], dash: float) -> list[tuple[complex, complex]]:
    """Dashes of about this length along a line, with gaps as long; the first and the last dash are whole."""
    pieces = []
    for start, end in pairwise(points):
        number = max(1, round((abs(end - start) / dash + 1) / 2))
        step = (end - start) / (2 * number - 1)
        pieces += [(start + 2 * n * step, start + (2 * n + 1) * step) for n in range(number)]
    return pieces


@dataclass(frozen=True)
class Drawing:
    """Marks from the first drawn to the last.

    Attributes:
        clear: False where a text lies on a stroke or on another text: letters could not be read.
        inside: False where something leaves the frame.
    """

    marks: tuple[Mark, ...]
    clear: bool = True
    inside: bool = True


@dataclass(frozen=True)
class Style:
    """How a whole group is drawn, so that nothing but the edit shows.

    Attributes:
        line: width of lines, share of the side.
        font: height of letters, share of the side.
        dash: length of a dash and of the gap after it, share of the side.
        wobble: how far points are moved off their place, share of the side; a smooth field, equal for the group.
        phase: of that field.
        ink: of lines and letters.
        paper: the background.
    """

    line: float = 0.012
    font: float = 0.075
    dash: float = 0.03
    wobble: float = 0.0
    phase: float = 0.0
    ink: str = INK
    paper: str = "#ffffff"

    @property
    def coloured(self) -> bool:
        return self.ink != INK or self.paper != "#ffffff"

    def moved(self, point: complex) -> complex:
        """A point where this style's wobble puts it."""
        if not self.wobble:
            return point
        across, down = 9 * point.imag + self.phase, 9 * point.real + 2 * self.phase
        return point + self.wobble * complex(math.sin(across), math.sin(down))


def drawn_style(rng: Random) -> Style:
    """A style for figures of lines: half of them black on white."""
    colour = rng.random() < 0.5
    return Style(
        line=round(rng.uniform(0.010, 0.016), 4),
        font=round(rng.uniform(0.080, 0.095), 4),
        dash=round(rng.uniform(0.024, 0.034), 4),
        wobble=round(rng.choice((0.0, rng.uniform(0.001, 0.003))), 4),
        phase=round(rng.uniform(0, 6.28), 2),
        ink=rng.choice(INKS) if colour else INK,
        paper=rng.choice(PAPERS) if colour else "#ffffff",
    )
