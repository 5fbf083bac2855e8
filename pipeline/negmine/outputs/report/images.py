"""Thumbnails of many images in a bounded number of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from negmine.base.console import progress
from negmine.base.html import data_url, thumbnail
from negmine.images.decode import BadImageError, decode
from negmine.images.locate import ImageRoot
from negmine.outputs.report.read import ImagePlace

if TYPE_CHECKING:
    from PIL.Image import Image

LADDER: Final = ((224, 70), (192, 62), (160, 58), (128, 52), (112, 48), (96, 42), (80, 36), (64, 30))
"""Side in pixels and quality, the best first."""


@dataclass(frozen=True)
class Album:
    """Images as data URLs.

    Attributes:
        urls: those that could be read.
        sizes: width and height of each, in some unit.
        missing: number of others by reason.
        side: pixels of the longer side.
    """

    urls: Mapping[ImagePlace, str] = field(default_factory=dict)
    sizes: Mapping[ImagePlace, tuple[int, int]] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    side: int = 0


def make_album(images: Iterable[ImagePlace], roots: Mapping[str, str | None], budget: int) -> Album:
    """Thumbnails as large as the budget allows, all by the same measure; the first ones if not even small ones fit.

    Args:
        roots: folder or URL of the images of each stage; None where it is not known.
        budget: characters that all data URLs together may have.
    """
    wanted = list(dict.fromkeys(images))
    readers = {stage: ImageRoot(root) for stage, root in roots.items() if root is not None}
    missing: Counter[str] = Counter()
    held: dict[ImagePlace, Image] = {}
    with progress("thumbnails", len(wanted), "images") as bar:
        for image in wanted:
            small = _read(image, readers, missing)
            if small is not None:
                held[image] = small
            bar.advance(1)
    for side, quality in LADDER:
        urls = {image: data_url(thumbnail(small, side, quality)) for image, small in held.items()}
        if sum(map(len, urls.values())) <= budget:
            break
    ends = accumulate(map(len, urls.values()))
    shown = {image: url for (image, url), end in zip(urls.items(), ends, strict=True) if end <= budget}
    if len(shown) < len(urls):
        missing["no_room"] += len(urls) - len(shown)
    return Album(shown, {image: small.size for image, small in held.items()}, dict(missing), side)


def _read(image: ImagePlace, readers: Mapping[str, ImageRoot], missing: Counter[str]) -> Image | None:
    """A decoded image of the first rung's size, or None, counted."""
    reader = readers.get(image.stage)
    if reader is None:
        missing["no_image_root"] += 1
        return None
    side = LADDER[0][0]
    try:
        content = reader.read(image.image, image.offset, image.size, image.content)
        small = decode(content, None, least=side).rgb
    except BadImageError as error:
        missing[error.reason] += 1
        return None
    small.thumbnail((side, side))
    return small
