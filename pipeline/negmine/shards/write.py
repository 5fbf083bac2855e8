"""One shard: the rows of its pairs, their negatives and neighbours, and the bytes of their pictures, as samples."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import pyarrow.compute as pc

from negmine.hashing import hash64
from negmine.images import BadImageError, ImageRoot, inspect_image, open_image
from negmine.records import SPLIT_MARK, ImageNegative, Rejected, Sample, TextNegative
from negmine.shards.figures import FigureNegative, figure_negatives
from negmine.store import read_part

JPEG_QUALITY: Final = 95
_PICTURES: Final = 512  # encoded pictures kept at hand, because the captions of one image lie scattered in a shard


@dataclass(frozen=True)
class Slice:
    """Which rows make a shard: those of one split in these parts, in order, from `skip` on, `count` of them."""

    parts: tuple[int, ...]
    skip: int
    count: int


@dataclass(frozen=True)
class Split:
    """Training or held-out images, told apart by the hash of their id, or of its part before `SPLIT_MARK`.

    Attributes:
        train_fraction: share of the images that are trained on, 0 to 1.
        heldout: which of the two this is.
    """

    train_fraction: float
    seed: int
    heldout: bool

    def holds(self, image_id: str) -> bool:
        unit = image_id.partition(SPLIT_MARK)[0]
        training = hash64(f"split {self.seed} {unit}") < self.train_fraction * 2.0**64
        return training != self.heldout


class Pictures:
    """Encoded pictures ready for a shard, each checked, and resized if asked.

    Args:
        root: where the picture paths begin.
        image_size: length of the short side in pixels; None keeps the bytes as they came.
    """

    def __init__(self, root: str, image_size: int | None, max_pixels: int) -> None:
        self._root, self._size, self._max_pixels = ImageRoot(root), image_size, max_pixels
        self.get = lru_cache(_PICTURES)(self._get)

    def _get(self, image: str, offset: int | None, size: int | None) -> tuple[str, bytes] | BadImageError:
        """Extension and bytes. Errors are values here, so that they are cached too."""
        try:
            content = self._root.read(image, offset, size)
            facts = inspect_image(content, self._max_pixels)
            if self._size is not None and min(facts.width, facts.height) > self._size:
                return "jpg", shrink(content, self._size, self._max_pixels)
            return facts.extension, content
        except BadImageError as error:
            return error


def shrink(content: bytes, short_side: int, max_pixels: int) -> bytes:
    """The picture upright, in RGB, its short side `short_side` pixels, as JPEG.

    Raises:
        BadImageError: it cannot be decoded.
    """
    from PIL import Image, ImageOps

    picture = open_image(content, max_pixels)
    width, height = picture.size
    scale = short_side / min(width, height)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    try:
        picture.draft("RGB", (2 * size[0], 2 * size[1]))
        upright = ImageOps.exif_transpose(picture)
        if (upright.width > upright.height) != (size[0] > size[1]):
            size = size[::-1]
        small = upright.convert("RGB").resize(size, Image.Resampling.BICUBIC)
    except (OSError, ValueError, SyntaxError, EOFError, struct.error) as error:  # the last one: EXIF out of range
        raise BadImageError("damaged_image", str(error)) from None
    out = io.BytesIO()
    small.save(out, "JPEG", quality=JPEG_QUALITY)
    return out.getvalue()


@dataclass(frozen=True)
class Tables:
    """Where the rows of the stages lie; None where a stage was not run."""

    pairs: Path
    negatives: Path | None
    neighbours: Path | None
    figures: Path | None = None


class ShardSource:
    """Makes the samples of a shard; counts them, and keeps the rows it had to refuse."""

    def __init__(self, tables: Tables, split: Split, slots: int, pictures: Pictures) -> None:
        self._tables, self._split, self._slots, self._pictures = tables, split, slots, pictures
        self.counts: Counter[str] = Counter()
        self.rejected: list[Rejected] = []

    def samples(self, rows: Slice) -> Iterator[Sample]:
        """Samples in an order that scatters the captions of one image and depends on keys only."""
        chosen: list[dict[str, Any]] = []
        negatives: dict[str, list[dict[str, Any]]] = {}
        neighbours: dict[str, list[str]] = {}
        siblings: dict[str, list[str]] = {}
        figures: dict[str, list[FigureNegative]] = {}
        for part in rows.parts:
            pairs = read_part(self._tables.pairs, part).to_pylist()
            for pair in pairs:
                siblings.setdefault(pair["image_id"], []).append(pair["caption"])
            chosen += [pair for pair in pairs if self._split.holds(pair["image_id"])]
            negatives |= _by_key(self._tables.negatives, part)
            neighbours |= _selected(self._tables.neighbours, part)
            figures |= figure_negatives(self._tables.figures, part)
        chosen = chosen[rows.skip : rows.skip + rows.count]
        for pair in sorted(chosen, key=lambda row: (hash64(row["key"]), row["key"])):
            picture = self._picture(pair)
            if isinstance(picture, BadImageError):
                self._reject(pair, picture)
                continue
            key = pair["key"]
            texts = _text_negatives(negatives.get(key, []), self._slots)
            images = list(self._image_negatives(figures.get(key, [])))
            self._count(texts, [negative for negative, _ in images])
            yield Sample(
                key, pair["image_id"], pair["caption"], picture[1], picture[0], tuple(siblings[pair["image_id"]]),
                texts, tuple(negative for negative, _ in images), tuple(content for _, content in images),
                neighbours=tuple(neighbours.get(key, [])),
            )  # fmt: skip

    def _image_negatives(self, rows: list[FigureNegative]) -> Iterator[tuple[ImageNegative, bytes]]:
        """The first K pictures that differ from the sample's; one that cannot be used is counted and left out."""
        for slot, row in enumerate(rows[: self._slots]):
            picture = self._pictures.get(row.image, row.offset, row.bytes)
            if isinstance(picture, BadImageError):
                self.counts[f"image_negative_lost:{picture.reason}"] += 1
                continue
            yield ImageNegative(f"neg{slot}.{picture[0]}", row.caption, row.kind, row.rule), picture[1]

    def _picture(self, pair: Mapping[str, Any]) -> tuple[str, bytes] | BadImageError:
        if pair["image"] is None:
            return BadImageError("no_image", "the row names no picture")
        return self._pictures.get(pair["image"], pair["image_offset"], pair["image_bytes"])

    def _reject(self, pair: Mapping[str, Any], error: BadImageError) -> None:
        self.rejected.append(Rejected(None, pair["source"], pair["key"], error.reason, error.detail))
        self.counts[f"rejected:{error.reason}"] += 1
        self.counts["rows"] += 1

    def _count(self, texts: Iterable[TextNegative], images: Iterable[ImageNegative]) -> None:
        self.counts.update(f"kind:{negative.kind}" for negative in texts)
        self.counts.update(f"image_kind:{negative.kind}" for negative in images)
        self.counts["samples"] += 1
        self.counts["rows"] += 1


def _by_key(folder: Path | None, part: int) -> dict[str, list[dict[str, Any]]]:
    rows: dict[str, list[dict[str, Any]]] = {}
    if folder is not None:
        columns = ["key", "slot", "negative", "kind", "rule", "score"]
        for row in read_part(folder, part, columns).to_pylist():
            rows.setdefault(row["key"], []).append(row)
    return rows


def _text_negatives(rows: list[dict[str, Any]], slots: int) -> tuple[TextNegative, ...]:
    return tuple(
        TextNegative(row["slot"], row["negative"], row["kind"], row["rule"], row["score"])
        for row in sorted(rows, key=lambda row: int(row["slot"]))
        if row["slot"] < slots
    )


def _selected(folder: Path | None, part: int) -> dict[str, list[str]]:
    keys: dict[str, list[str]] = {}
    if folder is not None:
        table = read_part(folder, part, ["key", "neighbour_key", "rank", "selected"])
        for row in (
            table.filter(pc.field("selected")).sort_by([("key", "ascending"), ("rank", "ascending")]).to_pylist()
        ):
            keys.setdefault(row["key"], []).append(row["neighbour_key"])
    return keys
