"""What every benchmark is turned into: a picture, its true caption, and captions that are false of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ahnpl.shards import ShardSet, read_through


@dataclass(frozen=True)
class Foil:
    """A false caption and how it differs from the truth."""

    text: str
    kind: str


@dataclass(frozen=True)
class Twin:
    """A picture that the true caption is false of, and its own caption, which is false of the true picture."""

    image: bytes
    caption: str
    kind: str


@dataclass(frozen=True)
class Item:
    """One true caption and its foils.

    Attributes:
        twins: pictures to be told from the true one, as pairs of two pictures and two captions.
        image_id: shared by the items of one picture.
        image: encoded bytes; None where the file is missing.
        where: the file or shard, for messages.
    """

    image_id: str
    image: bytes | None
    caption: str
    foils: tuple[Foil, ...]
    where: str
    twins: tuple[Twin, ...] = ()


def shard_items(shards: ShardSet) -> Iterator[Item]:
    """The samples of held-out shards with all their text and image negatives."""
    for located in read_through(shards.shards):
        sample = located.sample
        foils = tuple(Foil(negative.text, negative.kind) for negative in sample.negatives)
        twins = tuple(
            Twin(content, negative.caption, negative.kind)
            for negative, content in zip(sample.image_negatives, sample.image_negative_bytes, strict=True)
        )
        yield Item(sample.image_id, sample.image, sample.caption, foils, located.shard, twins)
