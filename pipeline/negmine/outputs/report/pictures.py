"""Thumbnails of many pictures in a bounded number of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any, Final

from negmine.base.console import progress
from negmine.base.html import data_url, thumbnail
from negmine.images.decode import BadImageError, decode
from negmine.images.locate import ImageRoot
from negmine.outputs.report.read import Picture

LADDER: Final = ((224, 70), (192, 62), (160, 58), (128, 52), (112, 48), (96, 42), (80, 36), (64, 30))
"""Side in pixels and quality, the best first."""


@dataclass(frozen=True)
class Album:
    """Pictures as data URLs.

    Attributes:
        urls: those that could be read.
        sizes: width and height of each, in some unit.
        missing: number of others by reason.
        side: pixels of the longer side.
    """

    urls: Mapping[Picture, str] = field(default_factory=dict)
    sizes: Mapping[Picture, tuple[int, int]] = field(default_factory=dict)
    missing: Mapping[str, int] = field(default_factory=dict)
    side: int = 0


def make_album(pictures: Iterable[Picture], roots: Mapping[str, str | None], budget: int) -> Album:
    """Thumbnails as large as the budget allows, all by the same measure; the first ones if not even small ones fit.

    Args:
        roots: folder or URL of the pictures of each stage; None where it is not known.
        budget: characters that all data URLs together may have.
    """
    wanted = list(dict.fromkeys(pictures))
    readers = {stage: ImageRoot(root) for stage, root in roots.items() if root is not None}
    missing: Counter[str] = Counter()
    held: dict[Picture, Any] = {}
    with progress("thumbnails", len(wanted), "pictures") as bar:
        for picture in wanted:
            small = _read(picture, readers, missing)
            if small is not None:
                held[picture] = small
            bar.advance(1)
    for side, quality in LADDER:
        urls = {picture: data_url(thumbnail(small, side, quality)) for picture, small in held.items()}
        if sum(map(len, urls.values())) <= budget:
            break
    ends = accumulate(map(len, urls.values()))
    shown = {picture: url for (picture, url), end in zip(urls.items(), ends, strict=True) if end <= budget}
    if len(shown) < len(urls):
        missing["no_room"] += len(urls) - len(shown)
    return Album(shown, {picture: small.size for picture, small in held.items()}, dict(missing), side)


def _read(picture: Picture, readers: Mapping[str, ImageRoot], missing: Counter[str]) -> Any:
    """A decoded picture of the first rung's size, or None, counted."""
    reader = readers.get(picture.stage)
    if reader is None:
        missing["no_image_root"] += 1
        return None
    side = LADDER[0][0]
    try:
        content = reader.read(picture.image, picture.offset, picture.size, picture.content)
        small = decode(content, None, least=side).rgb
    except BadImageError as error:
        missing[error.reason] += 1
        return None
    small.thumbnail((side, side))
    return small
