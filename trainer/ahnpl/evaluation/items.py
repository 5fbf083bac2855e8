"""What every benchmark is turned into: an image, a true caption, and what is false of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from ahnpl.data.read import read_through
from ahnpl.data.shards import ShardSet

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels of the image."""


@dataclass(frozen=True)
class Foil:
    """A false caption and how it differs from the truth."""

    text: str
    kind: str


@dataclass(frozen=True)
class Rewording:
    """The caption said otherwise, true as well, and how."""

    text: str
    kind: str


@dataclass(frozen=True)
class Twin:
    """An image that the true caption is false of, and its own caption, which is false of the true image.

    Attributes:
        image: encoded bytes; None where the file is missing.
    """

    image: bytes | None
    caption: str
    kind: str


@dataclass(frozen=True)
class Claim:
    """Whether the caption is true of the image, where that is the question.

    Attributes:
        fit: the threshold between true and false is chosen on this one; it is not scored.
    """

    true: bool
    kind: str
    fit: bool = False


@dataclass(frozen=True)
class Item:
    """One caption, and what it is to be told from.

    Attributes:
        image_id: shared by the items of one image.
        image: encoded bytes; None where the file is missing.
        foils: captions that are false of the image.
        where: the file or shard, for messages.
        twins: images to be told from the true one, as pairs of two images and two captions.
        paraphrase: the caption in other words, true as well.
        claim: set where the caption itself may be false.
        box: the part of the image that is meant; None is all of it.
        also_true: other captions that are true of the image.
        rewordings: texts that are true since the caption is.
    """

    image_id: str
    image: bytes | None
    caption: str
    foils: tuple[Foil, ...]
    where: str
    twins: tuple[Twin, ...] = ()
    paraphrase: str | None = None
    claim: Claim | None = None
    box: Box | None = None
    also_true: tuple[str, ...] = ()
    rewordings: tuple[Rewording, ...] = ()


def shard_items(shards: ShardSet) -> Iterator[Item]:
    """The samples of held-out shards with all their text and image negatives."""
    for located in read_through(shards.shards):
        sample = located.sample
        foils = tuple(Foil(negative.text, negative.kind) for negative in sample.negatives)
        twins = tuple(
            Twin(content, negative.caption, negative.kind)
            for negative, content in zip(sample.image_negatives, sample.image_negative_bytes, strict=True)
        )
        others = tuple(caption for caption in sample.captions if caption != sample.caption)
        image = None if located.lacks else sample.image
        rewordings = tuple(Rewording(positive.text, positive.kind) for positive in sample.positives)
        yield Item(
            sample.image_id,
            image,
            sample.caption,
            foils,
            located.shard,
            twins,
            also_true=others,
            rewordings=rewordings,
        )
