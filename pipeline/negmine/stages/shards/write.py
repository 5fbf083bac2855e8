"""One shard: the rows of its pairs, their negatives and neighbours, and the bytes of their images, as samples."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import chain, groupby, islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.compute as pc

from negmine.base.counts import Counts
from negmine.base.hashing import hash64
from negmine.contract.records import BatchRow, ImageNegative, PairRow, Rejected, Sample, TextNegative, TextPositive
from negmine.contract.split import Split
from negmine.images.decode import MAX_PIXELS, BadImageError, Decoded, decode
from negmine.images.locate import ImageRoot, check_same, place_of
from negmine.stages.shards.negatives import (
    FoundPair,
    Neighbour,
    OtherImage,
    figure_negatives,
    find_pairs,
    picture_negatives,
    selected_neighbours,
    text_negatives,
    text_positives,
)
from negmine.store import read_part

if TYPE_CHECKING:
    from PIL.Image import Image

JPEG_QUALITY: Final = 95
_JPEG_SIDE: Final = 65_500  # libjpeg's limit, in pixels
_AT_HAND: Final = 512  # encoded images kept at hand, because the captions of one image lie scattered in a shard

Encoded = tuple[str, bytes]
"""Extension and content of an image."""


@dataclass(frozen=True)
class Slice:
    """Which rows make a shard: those of one split in these parts, in order, from `skip` on, `count` of them."""

    parts: tuple[int, ...]
    skip: int
    count: int


class EncodedImages:
    """Encoded images ready for a shard, each checked, and written anew where its bytes would not do.

    Args:
        root: where the image paths begin.
        image_size: length of the short side in pixels; None keeps the size.
    """

    def __init__(self, root: str, image_size: int | None, max_pixels: int) -> None:
        self._root, self._size, self._max_pixels = root, image_size, max_pixels
        self._roots: dict[str, ImageRoot] = {}
        self.get = lru_cache(_AT_HAND)(self._get)

    def _get(
        self, image: str, offset: int | None, size: int | None, content: int | None, root: str | None = None
    ) -> Encoded | BadImageError:
        """Errors are values here, so that they are cached too."""
        root = root or self._root
        if root not in self._roots:
            self._roots[root] = ImageRoot(root)
        try:
            found = self._roots[root].read(image, offset, size)
            made = encoded(found, self._size, self._max_pixels)  # first: of a file that was cut, damage says more
            check_same(image, found, content)
            return made
        except BadImageError as error:
            return error


def encoded(content: bytes, short_side: int | None, max_pixels: int = MAX_PIXELS) -> Encoded:
    """The image for a shard: its own bytes, or shrunk, or written anew so that every reader sees it upright and on
    white, also one that knows nothing of EXIF and transparency.

    Args:
        short_side: pixels to which a larger image is shrunk; None keeps the size.

    Raises:
        BadImageError: it cannot be decoded.
    """
    seen = decode(content, max_pixels, least=2 * short_side if short_side else 64)
    if short_side is not None and min(seen.width, seen.height) > short_side:
        return _written(_shrunk(seen, short_side), "jpg")
    if seen.plain:
        return seen.extension, content
    if seen.rgb.size == (seen.width, seen.height):
        return _written(seen.rgb, seen.extension)
    return _written(decode(content, max_pixels).rgb, seen.extension)


def _shrunk(seen: Decoded, short_side: int) -> Image:
    from PIL import Image

    scale = short_side / min(seen.width, seen.height)
    size = (max(1, round(seen.width * scale)), max(1, round(seen.height * scale)))
    return seen.rgb.resize(size, Image.Resampling.BICUBIC)


def _written(image: Image, extension: str) -> Encoded:
    """As JPEG what was one; else, or where JPEG has no room for a side, without loss."""
    out = io.BytesIO()
    if extension == "jpg" and max(image.size) <= _JPEG_SIDE:
        image.save(out, "JPEG", quality=JPEG_QUALITY)
        return "jpg", out.getvalue()
    image.save(out, "PNG")
    return "png", out.getvalue()


@dataclass(frozen=True)
class Tables:
    """Where the rows of the stages lie; None where a stage was not run.

    Attributes:
        plan: of the batches whose order the samples take; None for an order by chance.
        parts: number of parts of the pairs.
        pictures: folders of texts, each with the root of its pictures.
    """

    pairs: Path
    negatives: Path | None
    neighbours: Path | None
    figures: Path | None
    positives: Path | None
    plan: Path | None
    parts: int
    pictures: tuple[tuple[Path, str], ...] = ()

    def figure_slots(self, slots: int) -> int:
        """Image negatives that a group of figures may bring: one for each of `slots` text negatives."""
        return slots if self.figures else 0


@dataclass(frozen=True)
class Chosen:
    """The rows of a shard.

    Attributes:
        pairs: in the order of the samples.
        batches: of each pair; None where there is no plan.
        captions: of each image, all of them.
        negatives: by key, as are `neighbours`, `figures`, `positives` and `pictures`.
    """

    pairs: list[PairRow]
    batches: list[int] | None
    captions: dict[str, list[str]]
    negatives: dict[str, tuple[TextNegative, ...]]
    neighbours: dict[str, list[Neighbour]]
    figures: dict[str, list[OtherImage]]
    positives: dict[str, tuple[TextPositive, ...]]
    pictures: dict[str, list[OtherImage]]

    def together(self) -> Iterator[list[PairRow]]:
        """The pairs of each batch, or each pair by itself."""
        if self.batches is None:
            yield from ([pair] for pair in self.pairs)
            return
        for _, members in groupby(zip(self.batches, self.pairs, strict=True), key=lambda both: both[0]):
            yield [pair for _, pair in members]


class ShardSource:
    """Makes the samples of a shard; counts them, and keeps the rows it had to refuse.

    Args:
        slots: K, the most text negatives of a sample and of an image negative, and the most figures of its group.
        image_slots: the most images of neighbours of a sample.
    """

    def __init__(self, tables: Tables, split: Split, slots: int, image_slots: int, encoded: EncodedImages) -> None:
        self._tables, self._split, self._encoded_images = tables, split, encoded
        self._slots, self._image_slots = slots, image_slots
        self.counts = Counts()
        self.rejected: list[Rejected] = []

    def samples(self, rows: Slice) -> Iterator[Sample]:
        """Samples in the order of the plan; without one in an order that scatters the captions of one image and
        depends on keys only. Of a planned batch all samples are usable, or none is taken."""
        chosen = self._planned(rows) if self._tables.plan else self._scattered(rows)
        others = self._others(chosen) if self._image_slots else {}
        for members in chosen.together():
            encoded = [self._encoded(*place_of(pair)) for pair in members]
            broken = any(isinstance(image, BadImageError) for image in encoded)
            for pair, image in zip(members, encoded, strict=True):
                if isinstance(image, BadImageError):
                    self._reject(pair, image)
                elif broken:
                    self._reject(pair, BadImageError("broken_batch", "another image of its planned batch is bad"))
                else:
                    yield self._sample(pair, image, chosen, others)

    def _sample(self, pair: PairRow, image: Encoded, chosen: Chosen, others: Mapping[str, FoundPair]) -> Sample:
        key, extension, content = pair["key"], *image
        texts, neighbours = chosen.negatives.get(key, ()), chosen.neighbours.get(key, [])
        images = list(self._image_negatives(chosen, key, others))
        positives = chosen.positives.get(key, ())
        self._count(texts, [negative for negative, _ in images], positives)
        return Sample(
            key,
            pair["image_id"],
            pair["caption"],
            content,
            extension,
            tuple(chosen.captions[pair["image_id"]]),
            texts,
            tuple(negative for negative, _ in images),
            tuple(content for _, content in images),
            tuple(neighbour.key for neighbour in neighbours),
            positives,
        )

    # --- rows ---

    def _scattered(self, rows: Slice) -> Chosen:
        """Rows that follow each other in the pairs."""
        chosen = self._read(rows.parts, lambda pair: self._split.holds(pair["image_id"]))
        pairs = chosen.pairs[rows.skip : rows.skip + rows.count]
        pairs.sort(key=lambda row: (hash64(row["key"]), row["key"]))
        return replace(chosen, pairs=pairs)

    def _planned(self, rows: Slice) -> Chosen:
        """Rows that follow each other in the plan, out of any parts."""
        assert self._tables.plan is not None
        planned = [row for part in rows.parts for row in read_batches(self._tables.plan, part)]
        planned = planned[rows.skip : rows.skip + rows.count]
        wanted = {row["key"] for row in planned}
        chosen = self._read(sorted({row["part"] for row in planned}), lambda pair: pair["key"] in wanted)
        by_key = {pair["key"]: pair for pair in chosen.pairs}
        pairs = [by_key[row["key"]] for row in planned]
        return replace(chosen, pairs=pairs, batches=[row["batch"] for row in planned])

    def _read(self, parts: Iterable[int], wanted: Callable[[PairRow], bool]) -> Chosen:
        return read_chosen(self._tables, parts, self._slots, wanted)

    def _others(self, chosen: Chosen) -> dict[str, FoundPair]:
        """The pairs whose images are wanted as negatives."""
        wanted = {other.key for pair in chosen.pairs for other in chosen.neighbours.get(pair["key"], [])}
        tables = self._tables
        return find_pairs(tables.pairs, tables.negatives, range(tables.parts), self._slots, wanted)

    # --- image negatives ---

    def _image_negatives(
        self, chosen: Chosen, key: str, others: Mapping[str, FoundPair]
    ) -> Iterator[tuple[ImageNegative, bytes]]:
        """Figures of the group, each in the slot of its caption among the text negatives, then pictures by others, then
        images of neighbours. A figure that cannot be used leaves its slot empty, in place of another comes the next."""
        figures, pictures = chosen.figures.get(key, []), chosen.pictures.get(key, [])
        neighbours = chosen.neighbours.get(key, [])
        placed = [(slot, self._usable(figure)) for slot, figure in enumerate(figures[: self._slots])]
        retrieved = filter(None, map(self._usable, chain(pictures, self._retrieved(neighbours, others))))
        placed += enumerate(islice(retrieved, self._image_slots), self._tables.figure_slots(self._slots))
        for slot, usable in placed:
            if usable is not None:
                other, (extension, content) = usable
                yield (
                    ImageNegative(
                        f"neg{slot}.{extension}", other.caption, other.kind, other.rule, other.score, other.negatives
                    ),
                    content,
                )

    def _retrieved(self, neighbours: Sequence[Neighbour], others: Mapping[str, FoundPair]) -> Iterator[OtherImage]:
        """Images of the neighbours, each image once, of images on the same side of the split."""
        seen: set[str] = set()
        for neighbour in neighbours:
            other = others[neighbour.key]
            image_id = other.row["image_id"]
            if image_id in seen:
                continue
            seen.add(image_id)
            if self._split.holds(image_id):
                yield other.as_negative(neighbour)
            else:
                self.counts.add("image_refused", "other_split")

    def _usable(self, other: OtherImage) -> tuple[OtherImage, Encoded] | None:
        """The image with its bytes; None, and counted, if there is something wrong with it."""
        image = self._encoded(other.image, other.offset, other.bytes, other.content, other.root)
        if isinstance(image, BadImageError):
            self.counts.add("image_refused", image.reason)
            return None
        return other, image

    # --- images, counts ---

    def _encoded(
        self,
        image: str | None,
        offset: int | None,
        size: int | None,
        content: int | None,
        root: str | None = None,
    ) -> Encoded | BadImageError:
        if image is None:
            return BadImageError("no_image", "the row names no image")
        return self._encoded_images.get(image, offset, size, content, root)

    def _reject(self, pair: PairRow, error: BadImageError) -> None:
        self.rejected.append(Rejected(None, pair["source"], pair["key"], error.reason, error.detail))
        self.counts.add("rejected", error.reason)
        self.counts["rows"] += 1

    def _count(
        self, texts: Iterable[TextNegative], images: Iterable[ImageNegative], positives: Sequence[TextPositive]
    ) -> None:
        self.counts.add_each("kind", (negative.kind for negative in texts))
        self.counts.add_each("positive_kind", (positive.kind for positive in positives))
        self.counts.add_each("image_kind", (negative.kind for negative in images))
        self.counts["samples"] += 1
        self.counts["rows"] += 1


def read_chosen(tables: Tables, parts: Iterable[int], slots: int, wanted: Callable[[PairRow], bool]) -> Chosen:
    """The wanted pairs of these parts, and what belongs to the parts."""
    chosen = Chosen([], None, {}, {}, {}, {}, {}, {})
    for part in parts:
        for pair in read_part(tables.pairs, part).to_pylist():
            chosen.captions.setdefault(pair["image_id"], []).append(pair["caption"])
            if wanted(pair):
                chosen.pairs.append(pair)
        chosen.negatives.update(text_negatives(tables.negatives, part, slots))
        chosen.neighbours.update(selected_neighbours(tables.neighbours, part))
        chosen.figures.update(figure_negatives(tables.figures, part))
        chosen.positives.update(text_positives(tables.positives, part))
        for folder, root in tables.pictures:
            for key, several in picture_negatives(folder, root, part).items():
                chosen.pictures.setdefault(key, []).extend(several)
    return chosen


def read_batches(plan: Path, part: int) -> list[BatchRow]:
    """The rows of a part of the plan that are in a batch, batch by batch."""
    table = read_part(plan, part)
    rows: list[BatchRow] = table.filter(pc.is_valid(table["batch"])).to_pylist()
    return rows
