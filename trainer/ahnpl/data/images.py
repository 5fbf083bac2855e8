"""Encoded images to square arrays of bytes, with a limit on what an image may unfold to."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Final

import numpy as np
import simplejpeg
import torch
from negmine.images.decode import (
    MAX_PIXELS,
    MAX_RATIO,
    BadImageError,
    decode,
    has_many_scans,
    is_thin,
    orientation,
    upright,
)
from numpy.typing import ArrayLike, NDArray
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

CROP_AREA: Final = (0.9, 1.0)
"""Share of the image that a training crop keeps, as in CLIP's fine-tuning; small crops would remove what the
caption names."""

Pixels = NDArray[np.uint8]


class BadImage(Exception):
    """An image that cannot or must not be decoded; the message says why."""


def open_image(content: bytes) -> Image.Image:
    """An image at full size as it is seen: see `negmine.images.decode.decode`.

    Raises:
        BadImage: not an image, cut, larger than `MAX_PIXELS`, or thinner than `MAX_RATIO` allows.
    """
    return _decoded(content, None)


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
    """Left, top, right, bottom of a random crop: `CROP_AREA` of the image, side ratio within 3:4 to 4:3 of square
    where the image allows. At another scale the same draws give the same part of the image."""
    area = width * height * chance.uniform(*CROP_AREA)
    ratio = min(max(width / height, 3 / 4), 4 / 3)
    crop_width = max(1, min(width, round((area * ratio) ** 0.5)))
    crop_height = max(1, min(height, round((area / ratio) ** 0.5)))
    left, top = round(chance.random() * (width - crop_width)), round(chance.random() * (height - crop_height))
    return left, top, left + crop_width, top + crop_height


def evaluation_pixels(
    content: bytes, transform: Callable[[Image.Image], ArrayLike], box: tuple[int, int, int, int] | None = None
) -> Pixels:
    """The image as the model's own evaluation transform sees it, always from a full decode.

    Args:
        box: left, top, right, bottom of the part to look at, in pixels of the upright image; None is all of it.

    Raises:
        BadImage: see `open_image`; or the box is empty, thin or lies outside.
    """
    image = open_image(content)
    if box is not None:
        inside = (max(box[0], 0), max(box[1], 0), min(box[2], image.width), min(box[3], image.height))
        if inside[0] >= inside[2] or inside[1] >= inside[3]:
            raise BadImage(f"the box {box} is not in this image of {image.width} x {image.height}")
        image = image.crop(inside)
        if is_thin(*image.size):
            raise BadImage(f"one side of the box {box} is more than {MAX_RATIO} times the other")
    return np.asarray(transform(image))


def _draft(content: bytes, least: int) -> Pixels:
    """``[H, W, 3]``, upright; a JPEG with both sides at least `least`, where it has them."""
    if content.startswith(b"\xff\xd8"):
        try:
            height, width, *_ = simplejpeg.decode_jpeg_header(content)
            if 0 < width * height <= MAX_PIXELS and not is_thin(width, height) and not has_many_scans(content):
                pixels: Pixels = simplejpeg.decode_jpeg(content, "RGB", min_height=least, min_width=least)
                turn = orientation(content)
                return pixels if turn == 1 else np.array(upright(Image.fromarray(pixels), turn))
        except (ValueError, BadImageError):
            pass  # CMYK, or something that Pillow forgives, or has a reason for
    return np.array(_decoded(content, least))


def _decoded(content: bytes, least: int | None) -> Image.Image:
    try:
        return decode(content, MAX_PIXELS, least).rgb
    except BadImageError as error:
        raise BadImage(error.detail) from None
