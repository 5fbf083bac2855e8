"""Drawings to pixels, with Pillow: drawn three times as large and averaged, in one font that comes with the package."""

from __future__ import annotations

import cmath
import io
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from negmine.base.errors import ResourceError
from negmine.stages.figures.canvas import Area, Disc, Drawing, Mark, Stroke, Style, Text, dashes

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

FONT: Final = Path(__file__).parent / "fonts" / "DejaVuSans.ttf"
OVERSAMPLING: Final = 3


def raster(drawing: Drawing, style: Style, size: int) -> Image:
    """The drawing with `size` pixels a side: grey where nothing in it is coloured, else RGB."""
    from PIL import Image, ImageDraw

    side = size * OVERSAMPLING
    coloured = style.coloured or any(map(_coloured, drawing.marks))
    image = Image.new("RGB" if coloured else "L", (side, side), style.paper)
    pen = _Pen(ImageDraw.Draw(image), style, side)
    for mark in drawing.marks:
        pen.draw(mark)
    return image.reduce(OVERSAMPLING)


def encode_png(image: Image) -> bytes:
    """The same bytes for the same pixels."""
    stream = io.BytesIO()
    image.save(stream, "PNG", compress_level=6)
    return stream.getvalue()


def _coloured(mark: Mark) -> bool:
    colour = mark.fill if isinstance(mark, Area | Disc) else mark.colour if isinstance(mark, Stroke) else None
    return colour is not None and len({colour[1:3], colour[3:5], colour[5:7]}) > 1


@lru_cache(64)
def load_font(pixels: int) -> FreeTypeFont:
    """The package's font.

    Raises:
        ResourceError: its file is missing or damaged.
    """
    from PIL import ImageFont

    try:
        return ImageFont.truetype(str(FONT), pixels, layout_engine=ImageFont.Layout.BASIC)
    except OSError as error:
        raise ResourceError(
            "the font of figures cannot be read", where=str(FONT), why=str(error), fix="install negmine again"
        ) from None


class _Pen:
    """Draws marks on one image of `side` pixels."""

    def __init__(self, draw: ImageDraw, style: Style, side: int) -> None:
        self._draw, self._style, self._side = draw, style, side
        self._line = max(1, round(style.line * side))

    def draw(self, mark: Mark) -> None:
        if isinstance(mark, Stroke):
            self._stroke(mark)
        elif isinstance(mark, Area):
            self._draw.polygon([self._place(point) for point in mark.points], fill=mark.fill)
        elif isinstance(mark, Disc):
            self._disc(mark)
        else:
            self._text(mark)

    def _stroke(self, mark: Stroke) -> None:
        style, colour = self._style, mark.colour or self._style.ink
        width = max(1, round(style.line * self._side * mark.width))
        pieces = dashes(mark.points, style.dash) if mark.dashed else [mark.points]
        for piece in pieces:
            points = [self._place(point) for point in piece]
            self._draw.line(points, fill=colour, width=width, joint="curve")
        if not mark.dashed:
            for x, y in (points[0], points[-1]):  # round ends
                r = width / 2 - 0.5
                self._draw.ellipse((x - r, y - r, x + r, y + r), fill=colour)

    def _disc(self, mark: Disc) -> None:
        x, y = self._place(mark.centre)
        r = mark.radius * self._side + (self._line / 2 if mark.outlined else 0)
        outline = self._style.ink if mark.outlined else None
        self._draw.ellipse((x - r, y - r, x + r, y + r), fill=mark.fill, outline=outline, width=self._line)

    def _text(self, mark: Text) -> None:
        font = load_font(max(6, round(self._style.font * mark.size * self._side)))
        self._draw.text(self._place(mark.at), mark.text, fill=self._style.ink, font=font, anchor="mm")

    def _place(self, point: complex) -> tuple[float, float]:
        moved = self._style.moved(point) * self._side
        return moved.real, moved.imag


def arc_points(centre: complex, radius: float, start: float, end: float, steps: int = 12) -> tuple[complex, ...]:
    """Points on a circle from angle `start` to `end`, radians, for a `Stroke`."""
    return tuple(centre + cmath.rect(radius, start + (end - start) * n / steps) for n in range(steps + 1))
