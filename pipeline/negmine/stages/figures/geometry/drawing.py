"""Figures of geometry to drawings: strokes and marks where they are, letters and numbers where they can be read."""

from __future__ import annotations

import cmath
import math
from collections.abc import Sequence
from itertools import combinations, pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.stages.figures.canvas import Area, Disc, Drawing, Mark, Stroke, Style, Text
from negmine.stages.figures.draw import arc_points
from negmine.stages.figures.geometry.figure import Corner, Figure, Side

SHADE: Final = "#a6a6a6"
EDGE: Final = 0.015
"""Nothing comes nearer to the frame than this, share of the side."""

APART: Final = 0.06
"""Distance between two points, at least."""

_DOT: Final = 0.013
_ARC: Final = 0.075
_ARC_STEP: Final = 0.022
_TICK: Final = 0.026
_MARK_GAP: Final = 0.024
_HEAD_GAP: Final = 0.034
_HEAD: Final = 0.032
_RING: Final = 16
_CIRCLE_SIDES: Final = 24

Points = NDArray[np.complex128]
Room = NDArray[np.float64]
"""How far each of some places is from what is nearest; below 0 it is covered."""


def draw_figure(figure: Figure, style: Style) -> Drawing:
    """A drawing of a figure; the same figure and style give the same drawing."""
    areas: list[Mark] = [
        Area(tuple(figure.points[name] for name in outline), SHADE)
        for outline in figure.outlines
        if frozenset(outline) in figure.shaded
    ]
    rings: list[Mark] = [Disc(centre, radius) for centre, radius in figure.circles.values()]
    lines: list[Mark] = [Stroke(_between(figure, side), dashed) for side, dashed in figure.segments.items()]
    dots: list[Mark] = [
        Disc(figure.points[name], _DOT, style.ink, False) for name in figure.points if _has_dot(figure, name)
    ]
    marks = _marks(figure)
    placing = _Placing(figure, [mark for mark in marks if isinstance(mark, Stroke)], style)
    texts = [*placing.values(), *(placing.letters() if figure.lettered else ())]
    every = [*areas, *rings, *lines, *dots, *marks, *texts]
    return Drawing(tuple(every), placing.clear and _apart(figure), all(map(_inside, every)))


def _apart(figure: Figure) -> bool:
    """Whether points are far enough from each other to be told apart; the centres of circles may coincide."""
    if not figure.lettered:
        return True
    return all(
        abs(figure.points[one] - figure.points[other]) >= APART
        for one, other in combinations(figure.points, 2)
        if not (one in figure.circles and other in figure.circles)
    )


def _has_dot(figure: Figure, name: str) -> bool:
    return name in figure.dots and (figure.lettered or name not in figure.circles)


def _between(figure: Figure, side: Side) -> tuple[complex, complex]:
    one, other = sorted(side)
    return figure.points[one], figure.points[other]


def _inside(mark: Mark) -> bool:
    points = mark.points if isinstance(mark, Stroke | Area) else (mark.at if isinstance(mark, Text) else mark.centre,)
    reach = 0.04 if isinstance(mark, Text) else mark.radius if isinstance(mark, Disc) else 0.0
    low, high = EDGE + reach, 1 - EDGE - reach
    return all(low <= point.real <= high and low <= point.imag <= high for point in points)


# --- marks -----------------------------------------------------------------------------------------------------------


def _marks(figure: Figure) -> list[Mark]:
    marks: list[Mark] = []
    for side, count in figure.ticks.items():
        marks += _across(*_between(figure, side), count)
    for side, count in figure.arrows.items():
        marks += _heads(*_between(figure, side), count)
    for corner, count in figure.arcs.items():
        vertex, start, end = _angle(figure, corner)
        marks += [Stroke(arc_points(vertex, _ARC + n * _ARC_STEP, start, end), width=0.7) for n in range(count)]
    for corner in figure.angles:
        if corner not in figure.arcs:
            vertex, start, end = _angle(figure, corner)
            marks.append(Stroke(arc_points(vertex, _ARC, start, end), width=0.7))
    for corner in sorted(figure.rights, key=lambda c: (c[0], sorted(c[1]))):
        vertex, start, end = _angle(figure, corner)
        one, other = cmath.rect(0.045, start), cmath.rect(0.045, end)
        marks.append(Stroke((vertex + one, vertex + one + other, vertex + other), width=0.7))
    return marks


def _across(start: complex, end: complex, count: int) -> list[Mark]:
    along = (end - start) / abs(end - start)
    middles = [(start + end) / 2 + along * _MARK_GAP * (n - (count - 1) / 2) for n in range(count)]
    return [Stroke((m - _TICK * along * 1j, m + _TICK * along * 1j)) for m in middles]


def _heads(start: complex, end: complex, count: int) -> list[Mark]:
    along = (end - start) / abs(end - start)
    if (along.real, along.imag) < (0, 0):  # which end is first does not show
        along = -along
    tips = [(start + end) / 2 + along * (_HEAD_GAP * (n - (count - 1) / 2) + _HEAD / 3) for n in range(count)]
    return [Stroke((t - _HEAD * along * cmath.rect(1, 0.6), t, t - _HEAD * along * cmath.rect(1, -0.6))) for t in tips]


def _angle(figure: Figure, corner: Corner) -> tuple[complex, float, float]:
    """Vertex, and the directions of the two sides, radians, the smaller turn between them."""
    vertex, sides = figure.points[corner[0]], sorted(corner[1])
    start, end = (cmath.phase(figure.points[name] - vertex) for name in sides)
    turn = (end - start + math.pi) % math.tau - math.pi
    return vertex, start, start + turn


# --- texts -----------------------------------------------------------------------------------------------------------


class _Placing:
    """Puts texts one after the other where they are farthest from strokes and from each other."""

    def __init__(self, figure: Figure, marks: Sequence[Stroke], style: Style) -> None:
        self._figure, self._style = figure, style
        self._starts, self._ends = _obstacles(figure, marks)
        self._taken = np.empty((0, 3))  # centre x, centre y, half width
        self._dots = np.array([figure.points[n] for n in figure.points if _has_dot(figure, n)], dtype=complex)
        self.clear = True

    def letters(self) -> list[Mark]:
        """Each capital beside its point."""
        texts: list[Mark] = []
        font = self._style.font
        for name, point in self._figure.points.items():
            if not name.isupper():
                continue
            ring = [cmath.rect(1, math.tau * n / _RING) for n in range(_RING)]
            places = [point + font * distance * way for distance in (0.72, 0.95) for way in ring]
            others = [at for at in self._figure.points.values() if abs(at - point) > 0.01]
            texts.append(Text(self._best(places, 0.34 * font, 0.40 * font, point, others), name))
        return texts

    def values(self) -> list[Mark]:
        """Lengths beside their lines, angles inside their arcs."""
        figure, font = self._figure, self._style.font
        texts: list[Mark] = []
        for side, value in figure.lengths.items():
            start, end = _between(figure, side)
            normal = (end - start) / abs(end - start) * 1j
            places = [
                start + share * (end - start) + sign * font * distance * normal
                for share in (0.5, 0.38, 0.62)
                for distance in (0.75, 0.95)
                for sign in (1, -1)
            ]
            text = f"{value:g}"
            texts.append(Text(self._best(places, 0.26 * font * len(text), 0.34 * font), text, 0.85))
        for corner, value in figure.angles.items():
            vertex, start, end = _angle(figure, corner)
            places = [
                vertex + cmath.rect(_ARC + font * distance, start + (end - start) * share)
                for distance in (0.75, 1.0, 1.3, 1.6)
                for share in (0.5, 0.4, 0.6)
            ]
            text = f"{value:g}°"
            texts.append(Text(self._best(places, 0.21 * font * len(text), 0.30 * font), text, 0.75))
        return texts

    def _best(
        self,
        places: Sequence[complex],
        half: float,
        height: float,
        own: complex | None = None,
        others: Sequence[complex] = (),
    ) -> complex:
        """The first of the places with the most room; takes it.

        Args:
            own: the point that is named, which must be nearer than any of the `others`.
        """
        centres = np.array(places, dtype=complex)
        room = np.minimum(self._room_of_strokes(centres, half, height), self._room_of_texts(centres, half, height))
        if own is not None and len(others):
            rivals = np.abs(centres[:, None] - np.array(others)[None]).min(axis=1)
            room = np.minimum(room, rivals - 1.25 * np.abs(centres - own))
        inside = _room_in_frame(centres, half)
        score = np.minimum(np.minimum(room, inside), 0.02)  # more room than this is not better
        best = int(score.argmax())
        self.clear &= bool(room[best] > -0.003)
        place = complex(centres[best])
        self._taken = np.vstack([self._taken, [place.real, place.imag, half]])
        return place

    def _room_of_strokes(self, centres: Points, half: float, height: float) -> Room:
        """Distance of a text's oval from the nearest stroke or dot, [places]; below 0 they overlap."""
        squeeze = half / height  # a text is a disc in a plane that is stretched across it
        flat = centres.real / squeeze + 1j * centres.imag
        room = np.full(len(centres), np.inf)
        if len(self._starts):
            starts = self._starts.real / squeeze + 1j * self._starts.imag
            along = self._ends.real / squeeze + 1j * self._ends.imag - starts
            gap = flat[:, None] - starts[None]
            share = np.clip((gap * along.conj()).real / np.maximum(np.abs(along) ** 2, 1e-12), 0, 1)
            room = np.abs(gap - share * along).min(axis=1) - height - self._style.line / 2
        if len(self._dots):
            dots = self._dots.real / squeeze + 1j * self._dots.imag
            room = np.minimum(room, np.abs(flat[:, None] - dots[None]).min(axis=1) - height - _DOT)
        return room

    def _room_of_texts(self, centres: Points, half: float, height: float) -> Room:
        if not len(self._taken):
            return np.full(len(centres), np.inf)
        across = np.abs(centres.real[:, None] - self._taken[None, :, 0]) - half - self._taken[None, :, 2]
        down = np.abs(centres.imag[:, None] - self._taken[None, :, 1]) - 2 * height
        return np.asarray(np.maximum(across, down).min(axis=1))


def _room_in_frame(centres: Points, half: float) -> Room:
    nearest = np.minimum(np.minimum(centres.real, 1 - centres.real), np.minimum(centres.imag, 1 - centres.imag))
    return nearest - half - EDGE


def _obstacles(figure: Figure, marks: Sequence[Stroke]) -> tuple[Points, Points]:
    """Everything that letters should not lie on, as straight pieces: starts and ends, [pieces] each."""
    pieces = [_between(figure, side) for side in figure.segments]
    ring = [cmath.rect(1, math.tau * n / _CIRCLE_SIDES) for n in range(_CIRCLE_SIDES + 1)]
    for centre, radius in figure.circles.values():
        pieces += [(centre + radius * a, centre + radius * b) for a, b in pairwise(ring)]
    for mark in marks:
        pieces += list(pairwise(mark.points))
    array = np.array(pieces, dtype=complex).reshape(-1, 2)
    return array[:, 0], array[:, 1]
