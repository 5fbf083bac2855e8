"""From an encoded image to its pixels: the one way, for every place that looks at an image.

What a person sees on a white page: upright as EXIF says, transparent parts white, 16 bits scaled to 8, CMYK and
palettes in RGB, of an animation the first image.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from negmine.base import lfs

if TYPE_CHECKING:
    from PIL.Image import Image

MAX_PIXELS: Final = 25_000_000
"""Largest image that is decoded, in pixels, unless the user says otherwise; open_clip draws the line there too."""

MAX_RATIO: Final = 200
"""Times that one side may be as long as the other. What models see is the middle of an image whose short side was
scaled to theirs: of 1 x 20,000 pixels, a file of 163 bytes, that would take 4 GB."""

MAX_SCANS: Final = 500
"""Passes over all pixels that a JPEG may ask for; real ones have ten or so. A pass takes seventeen bytes to ask for, so
that a small file could take very long."""

_BAND: Final = 1 << 20
"""Pixels that are laid on white at once: the steps of 25 megapixels are not in memory together."""

_EXTENSIONS: Final = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
_NO_IMAGE: Final = "not a JPEG, PNG or WebP image"
_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: "FLIP_LEFT_RIGHT",
    3: "ROTATE_180",
    4: "FLIP_TOP_BOTTOM",
    5: "TRANSPOSE",
    6: "ROTATE_270",
    7: "TRANSVERSE",
    8: "ROTATE_90",
}
"""EXIF's orientation to the `PIL.Image.Transpose` that undoes it."""


class BadImageError(Exception):
    """An image that cannot be used; `reason` is one word for the count, `detail` is for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail

    def __str__(self) -> str:
        return f"{self.reason}: {self.detail}"


@dataclass(frozen=True, slots=True)
class Decoded:
    """An image as it is seen.

    Attributes:
        rgb: upright, on white; smaller than the image where that was asked for.
        extension: ``jpg``, ``png`` or ``webp``, from the content and not from the name.
        width: pixels of the upright image at full size.
        height: likewise.
        plain: whether readers that only call ``convert("RGB")`` see the same.
    """

    rgb: Image
    extension: str
    width: int
    height: int
    plain: bool


def decode(content: bytes, max_pixels: int | None = MAX_PIXELS, least: int | None = None) -> Decoded:
    """Check the header, then decode everything.

    Args:
        max_pixels: None where the number of pixels was checked before.
        least: a JPEG may be decoded at the smallest scale (1/2, 1/4, 1/8) at which both sides have so many pixels.

    Raises:
        BadImageError: ``image_format``, ``too_many_pixels``, ``too_thin`` or ``damaged_image``.
    """
    image = _open(content, max_pixels)
    extension, (width, height) = _EXTENSIONS[image.format or ""], image.size
    with _bad("damaged_image"):
        if least is not None:
            image.draft(image.mode, (least, least))
        image.load()
        turn = _orientation(image)
        plain = turn == 1 and image.mode in ("1", "L", "P", "RGB") and not image.has_transparency_data
        page = _on_white(image, content)
        del image  # and what its decoder keeps, of WebP two more images
        rgb = upright(page, turn)
    if turn >= 5:
        width, height = height, width
    return Decoded(rgb, extension, width, height, plain)


def orientation(jpeg: bytes) -> int:
    """How a JPEG lies, 1 to 8 as EXIF counts; 1 is upright. No pixel is decoded.

    Raises:
        BadImageError: ``image_format`` or ``too_thin``.
    """
    return _orientation(_open(jpeg, None)) if _may_have_metadata(jpeg) else 1


def _may_have_metadata(jpeg: bytes) -> bool:
    """False if no segment before the pixels is of the kind (APP1) that holds EXIF and XMP: Pillow need not look."""
    at = 2
    while jpeg[at : at + 1] == b"\xff" and jpeg[at + 1 : at + 2] not in (b"\xe1", b"\xff"):
        if jpeg[at + 1 : at + 2] == b"\xda":
            return False
        at += 2 + int.from_bytes(jpeg[at + 2 : at + 4], "big")
    return True


def upright(image: Image, turn: int) -> Image:
    """The image turned, and mirrored, as its EXIF orientation (1 to 8) asks."""
    from PIL import Image

    return image if turn == 1 else image.transpose(Image.Transpose[_TURNS[turn]])


def _open(content: bytes, max_pixels: int | None) -> Image:
    """A Pillow image whose header was read and found acceptable. Other formats' decoders are never reached, whatever a
    file is called: of some of them, programs outside are part."""
    from PIL import Image

    with _bad("image_format", _NO_IMAGE):
        try:
            image = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
        except Image.DecompressionBombError as error:
            raise BadImageError("too_many_pixels", str(error)) from None
        except OSError:
            raise _unidentified(content) from None
    width, height = image.size
    if max_pixels is not None and width * height > max_pixels:
        raise BadImageError("too_many_pixels", f"{width} x {height}, more than {max_pixels:,} pixels")
    if is_thin(width, height):
        raise BadImageError("too_thin", f"{width} x {height}, one side more than {MAX_RATIO} times the other")
    if has_many_scans(content):
        raise BadImageError("damaged_image", f"more than {MAX_SCANS} scans")
    return image


def has_many_scans(content: bytes) -> bool:
    """Whether a JPEG has more than `MAX_SCANS`. In what is packed their marker does not occur; images inside of the
    metadata are counted with it."""
    return content.startswith(b"\xff\xd8") and content.count(b"\xff\xda") > MAX_SCANS


def is_thin(width: int, height: int) -> bool:
    """Whether one side is more than `MAX_RATIO` times the other."""
    return max(width, height) > MAX_RATIO * min(width, height)


def _unidentified(content: bytes) -> BadImageError:
    """What is wrong with bytes in which no image is found; of a cut WebP not even the header is read."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        whole = int.from_bytes(content[4:8], "little") + 8
        cut = f"truncated: {len(content):,} of {whole:,} bytes are there" if len(content) < whole else "damaged WebP"
        return BadImageError("damaged_image", cut)
    return BadImageError("image_format", f"{lfs.POINTER} ({lfs.PULL})" if lfs.is_pointer(content) else _NO_IMAGE)


@contextmanager
def _bad(reason: str, detail: str | None = None) -> Iterator[None]:
    """Whatever Pillow raises is the image's fault: its decoders raise what they happen to meet. Only memory that runs
    out says nothing of an image whose size was checked."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of large images and odd EXIF, for which there are rules here
            yield
    except (BadImageError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001
        raise BadImageError(reason, detail or str(error) or type(error).__name__) from None


def _orientation(image: Image) -> int:
    try:
        turn = image.getexif().get(_ORIENTATION, 1)
        return turn if turn in _TURNS else 1
    except Exception:  # noqa: BLE001  metadata that cannot be read say nothing, and take no image away
        return 1


def _on_white(image: Image, content: bytes) -> Image:
    """The image in RGB, laid on white."""
    from PIL import Image

    if image.mode != "I;16":
        if "transparency" in image.info:
            image.info["transparency"] = _scaled(image, content)
        if not image.has_transparency_data:
            return image.convert("RGB")
    page = Image.new("RGB", image.size)
    rows = max(1, _BAND // image.width)
    for top in range(0, image.height, rows):
        band = image.crop((0, top, image.width, min(top + rows, image.height)))
        page.paste(_band_on_white(band), (0, top))
    return page


def _band_on_white(band: Image) -> Image:
    from PIL import Image

    if band.mode == "I;16":
        band = _eight_bits(band)
    if not band.has_transparency_data:
        return band.convert("RGB")
    white = Image.new("RGBA", band.size, "white")
    white.alpha_composite(band.convert("RGBA"))
    return white.convert("RGB")


def _eight_bits(image: Image) -> Image:
    """16-bit grey in 8 bits, as Pillow itself scales 16-bit colours, with the one transparent shade as alpha."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image)
    grey = Image.fromarray((values >> 8).astype(np.uint8))
    shade = image.info.get("transparency")
    if shade is None:
        return grey
    return Image.merge("LA", (grey, Image.fromarray(np.where(values == shade, 0, 255).astype(np.uint8))))


def _scaled(image: Image, png: bytes) -> object:
    """The transparent colour of a PNG on the scale of the pixels; Pillow leaves it as the file has it."""
    colour, bits = image.info["transparency"], png[24]
    if image.mode == "L" and bits < 8:
        return colour * (255 // (2**bits - 1))
    if image.mode == "RGB" and bits == 16:
        return tuple(value >> 8 for value in colour)
    return colour
