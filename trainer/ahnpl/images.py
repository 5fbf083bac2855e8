"""Encoded pictures to square arrays of bytes, with a limit on what a picture may unfold to."""

from __future__ import annotations

import io
import random
import warnings
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import simplejpeg
import torch
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from torch import Tensor
from torch.nn.functional import interpolate

MAX_PIXELS: Final = 25_000_000
"""A picture that claims more is refused before it is decoded (a decompression bomb)."""

CROP_AREA: Final = (0.9, 1.0)
"""Share of the picture that a training crop keeps, as in CLIP's fine-tuning; small crops would remove what the
caption names."""

Pixels = NDArray[np.uint8]


class BadImage(Exception):
    """A picture that cannot or must not be decoded; the message says why."""


def open_image(content: bytes) -> Image.Image:
    """A picture at full size in RGB.

    Raises:
        BadImage: not a picture, cut, or larger than `MAX_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit below is lower
            picture = Image.open(io.BytesIO(content))
        _check_size(*picture.size)
        return picture.convert("RGB")
    except (UnidentifiedImageError, Image.DecompressionBombError, OSError, SyntaxError, ValueError) as error:
        raise BadImage(str(error) or type(error).__name__) from None


def training_pixels(content: bytes, size: int, chance: random.Random) -> Tensor:
    """A random crop, resized to ``[3, size, size]`` bytes.

    A JPEG is decoded at the smallest scale (1/2, 1/4, 1/8) that still has twice the pixels. Resized by torch, whose
    antialiased bicubic filter on bytes takes a fifth of Pillow's time.

    Raises:
        BadImage: see `open_image`.
    """
    pixels = _draft(content, 2 * size)
    height, width, _ = pixels.shape
    left, top, right, bottom = crop_box(width, height, chance)
    crop = torch.from_numpy(pixels[top:bottom, left:right]).permute(2, 0, 1)
    return interpolate(crop[None], (size, size), mode="bicubic", antialias=True)[0]


def crop_box(width: int, height: int, chance: random.Random) -> tuple[int, int, int, int]:
    """Left, top, right, bottom of a random crop: `CROP_AREA` of the picture, side ratio within 3:4 to 4:3 of square
    where the picture allows. At another scale the same draws give the same part of the picture."""
    area = width * height * chance.uniform(*CROP_AREA)
    ratio = min(max(width / height, 3 / 4), 4 / 3)
    crop_width = max(1, min(width, round((area * ratio) ** 0.5)))
    crop_height = max(1, min(height, round((area / ratio) ** 0.5)))
    left, top = round(chance.random() * (width - crop_width)), round(chance.random() * (height - crop_height))
    return left, top, left + crop_width, top + crop_height


def evaluation_pixels(
    content: bytes, transform: Callable[[Image.Image], Any], box: tuple[int, int, int, int] | None = None
) -> Pixels:
    """The picture as the model's own evaluation transform sees it, always from a full decode.

    Args:
        box: left, top, right, bottom of the part to look at; None is all of it.

    Raises:
        BadImage: see `open_image`; or the box is empty or lies outside.
    """
    picture = open_image(content)
    if box is not None:
        inside = (max(box[0], 0), max(box[1], 0), min(box[2], picture.width), min(box[3], picture.height))
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise BadImage(f"the box {box} is not in this picture of {picture.width} x {picture.height}")
        picture = picture.crop(inside)
    return np.asarray(transform(picture))


def _draft(content: bytes, least: int) -> Pixels:
    """``[H, W, 3]``; a JPEG with both sides at least `least`, where it has them."""
    if not content.startswith(b"\xff\xd8"):
        return np.array(open_image(content))
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(content)
        _check_size(width, height)
        pixels: Pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=least, min_width=least)
        return pixels
    except ValueError:
        return np.array(open_image(content))  # CMYK, or something that Pillow forgives


def _check_size(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise BadImage(f"{width} x {height} pixels, the limit is {MAX_PIXELS:,}")
    if min(width, height) < 1:
        raise BadImage("the picture is empty")
