"""One shard: the rows of its pairs, their negatives and neighbours, and the bytes of their pictures, as samples."""

from __future__ import annotations

import io
import struct
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from negmine.hashing import hash64
from negmine.images import BadImageError, ImageRoot, inspect_image, open_image
from negmine.records import ImageNegative, Rejected, Sample, TextNegative
from negmine.split import Split
from negmine.store import read_part

JPEG_QUALITY: Final = 95
RETRIEVED: Final = "retrieved"
_PICTURES: Final = 512  # encoded pictures kept at hand, because the captions of one image lie scattered in a shard


@dataclass(frozen=True)
class Slice:
    """Which rows make a shard: those of one split in these parts, in order, from `skip` on, `count` of them."""

    parts: tuple[int, ...]
    skip: int
    count: int


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
    """Where the rows of the stages lie; `negatives` and `neighbours` are None where the stage was not run.

    Attributes:
        plan: of the batches whose order the samples take; None for an order by chance.
        parts: number of parts of the pairs.
    """

    pairs: Path
    negatives: Path | None
    neighbours: Path | None
    plan: Path | None
    parts: int


@dataclass(frozen=True)
class Chosen:
    """The rows of a shard.

    Attributes:
        pairs: in the order of the samples.
        batches: of each pair; None where there is no plan.
        captions: of each image, all of them.
        negatives: rows by key; `neighbours` mined keys by key.
    """

    pairs: list[dict[str, Any]]
    batches: list[int] | None
    captions: dict[str, list[str]]
    negatives: dict[str, list[dict[str, Any]]]
    neighbours: dict[str, list[Mined]]

    def together(self) -> Iterator[list[dict[str, Any]]]:
        """The pairs of each batch, or each pair by itself."""
        if self.batches is None:
            yield from ([pair] for pair in self.pairs)
            return
        for _, members in groupby(zip(self.batches, self.pairs, strict=True), key=lambda both: both[0]):
            yield [pair for _, pair in members]


class Mined(NamedTuple):
    """A neighbour that was selected for a pair."""

    key: str
    direction: str
    score: float


Other = tuple[dict[str, Any], list[dict[str, Any]]]
"""A pair whose picture is a negative, and its text negatives."""


class ShardSource:
    """Makes the samples of a shard; counts them, and keeps the rows it had to refuse.

    Args:
        slots: K, the most text negatives of a sample, and of an image negative.
        image_slots: the most image negatives of a sample.
    """

    def __init__(self, tables: Tables, split: Split, slots: int, image_slots: int, pictures: Pictures) -> None:
        self._tables, self._split, self._pictures = tables, split, pictures
        self._slots, self._image_slots = slots, image_slots
        self.counts: Counter[str] = Counter()
        self.rejected: list[Rejected] = []

    def samples(self, rows: Slice) -> Iterator[Sample]:
        """Samples in the order of the plan; without one in an order that scatters the captions of one image and
        depends on keys only. Of a planned batch all samples are usable, or none is taken."""
        chosen = self._planned(rows) if self._tables.plan else self._scattered(rows)
        others = self._others(chosen) if self._image_slots else {}
        for members in chosen.together():
            pictures = [self._picture(pair) for pair in members]
            broken = any(isinstance(picture, BadImageError) for picture in pictures)
            for pair, picture in zip(members, pictures, strict=True):
                if isinstance(picture, BadImageError):
                    self._reject(pair, picture)
                elif broken:
                    self._reject(pair, BadImageError("broken_batch", "another picture of its planned batch is bad"))
                else:
                    yield self._sample(pair, picture, chosen, others)

    def _sample(
        self, pair: Mapping[str, Any], picture: tuple[str, bytes], chosen: Chosen, others: Mapping[str, Other]
    ) -> Sample:
        key, extension, content = pair["key"], *picture
        texts = _text_negatives(chosen.negatives.get(key, []), self._slots)
        mined = chosen.neighbours.get(key, [])
        images = list(self._image_negatives(mined, others))
        self._count(texts, images)
        return Sample(
            key, pair["image_id"], pair["caption"], content, extension, tuple(chosen.captions[pair["image_id"]]),
            texts, tuple(negative for negative, _ in images), tuple(content for _, content in images),
            tuple(other.key for other in mined),
        )  # fmt: skip

    def _scattered(self, rows: Slice) -> Chosen:
        """Rows that follow each other in the pairs."""
        chosen = Chosen([], None, {}, {}, {})
        for part in rows.parts:
            self._read(part, chosen, lambda pair: self._split.holds(pair["image_id"]))
        pairs = chosen.pairs[rows.skip : rows.skip + rows.count]
        pairs.sort(key=lambda row: (hash64(row["key"]), row["key"]))
        return replace(chosen, pairs=pairs)

    def _planned(self, rows: Slice) -> Chosen:
        """Rows that follow each other in the plan, out of any parts."""
        assert self._tables.plan is not None
        planned = [row for part in rows.parts for row in read_batches(self._tables.plan, part)]
        planned = planned[rows.skip : rows.skip + rows.count]
        wanted = {row["key"] for row in planned}
        chosen = Chosen([], None, {}, {}, {})
        for part in sorted({row["part"] for row in planned}):
            self._read(part, chosen, lambda pair: pair["key"] in wanted)
        by_key = {pair["key"]: pair for pair in chosen.pairs}
        pairs = [by_key[row["key"]] for row in planned]
        return replace(chosen, pairs=pairs, batches=[row["batch"] for row in planned])

    def _read(self, part: int, chosen: Chosen, wanted: Callable[[dict[str, Any]], bool]) -> None:
        for pair in read_part(self._tables.pairs, part).to_pylist():
            chosen.captions.setdefault(pair["image_id"], []).append(pair["caption"])
            if wanted(pair):
                chosen.pairs.append(pair)
        chosen.negatives.update(_by_key(self._tables.negatives, part))
        chosen.neighbours.update(_selected(self._tables.neighbours, part))

    # --- image negatives ---

    def _others(self, chosen: Chosen) -> dict[str, Other]:
        """The pairs whose pictures are wanted as negatives, with their text negatives; all parts are looked through."""
        wanted = {other.key for pair in chosen.pairs for other in chosen.neighbours.get(pair["key"], [])}
        found: dict[str, Other] = {}
        names = pa.array(sorted(wanted), pa.string())
        for part in range(self._tables.parts if wanted else 0):
            table = read_part(self._tables.pairs, part)
            table = table.filter(pc.is_in(table["key"], names))
            if table.num_rows:
                negatives = _by_key(self._tables.negatives, part)
                found |= {pair["key"]: (pair, negatives.get(pair["key"], [])) for pair in table.to_pylist()}
        return found

    def _image_negatives(
        self, mined: Sequence[Mined], others: Mapping[str, Other]
    ) -> Iterator[tuple[ImageNegative, bytes]]:
        """Pictures of the selected neighbours, each once, of images on the same side of the split."""
        seen: set[str] = set()
        for other in mined if others else ():
            pair, negatives = others[other.key]
            if len(seen) == self._image_slots or pair["image_id"] in seen:
                continue
            if not self._split.holds(pair["image_id"]):
                self.counts["image_refused:other_split"] += 1
                continue
            picture = self._picture(pair)
            if isinstance(picture, BadImageError):
                self.counts[f"image_refused:{picture.reason}"] += 1
                continue
            member = f"neg{len(seen)}.{picture[0]}"
            seen.add(pair["image_id"])
            texts = _text_negatives(negatives, self._slots)
            yield ImageNegative(member, pair["caption"], RETRIEVED, other.direction, other.score, texts), picture[1]

    def _picture(self, pair: Mapping[str, Any]) -> tuple[str, bytes] | BadImageError:
        if pair["image"] is None:
            return BadImageError("no_image", "the row names no picture")
        return self._pictures.get(pair["image"], pair["image_offset"], pair["image_bytes"])

    def _reject(self, pair: Mapping[str, Any], error: BadImageError) -> None:
        self.rejected.append(Rejected(None, pair["source"], pair["key"], error.reason, error.detail))
        self.counts[f"rejected:{error.reason}"] += 1
        self.counts["rows"] += 1

    def _count(self, negatives: Iterable[TextNegative], images: Iterable[tuple[ImageNegative, bytes]]) -> None:
        self.counts.update(f"kind:{negative.kind}" for negative in negatives)
        self.counts.update(f"image_kind:{negative.kind}" for negative, _ in images)
        self.counts["samples"] += 1
        self.counts["rows"] += 1


def read_batches(plan: Path, part: int) -> list[dict[str, Any]]:
    """The rows of a part of the plan that are in a batch, batch by batch."""
    table = read_part(plan, part)
    rows: list[dict[str, Any]] = table.filter(pc.is_valid(table["batch"])).to_pylist()
    return rows


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


def _selected(folder: Path | None, part: int) -> dict[str, list[Mined]]:
    mined: dict[str, list[Mined]] = {}
    if folder is not None:
        table = read_part(folder, part, ["key", "neighbour_key", "direction", "rank", "score", "selected"])
        table = table.filter(pc.field("selected")).sort_by([("key", "ascending"), ("rank", "ascending")])
        for row in table.to_pylist():
            mined.setdefault(row["key"], []).append(Mined(row["neighbour_key"], row["direction"], row["score"]))
    return mined
