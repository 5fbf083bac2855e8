"""Places of samples to a batch: bytes, crops, negatives and tokens, in a worker process."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import cycle
from typing import TypeVar

import numpy as np
import torch
from negmine.base.errors import NegmineError
from negmine.base.hashing import generator, hash64
from negmine.contract.records import KINDS, Sample, TextNegative
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ahnpl.data.batch import BadSample, Batch, Legible
from ahnpl.data.draw import Draw
from ahnpl.data.images import BadImage, training_pixels
from ahnpl.data.read import Located, Place

CACHED_TEXTS = 50_000
"""Texts whose tokens a worker remembers: 30 MB at most."""

T = TypeVar("T")


@dataclass(frozen=True)
class Task:
    """What a worker turns into one canonical rank's part of a batch.

    Attributes:
        spares: the first of the rank's next part, for samples that turn out to be bad.
    """

    samples: list[Place]
    epoch: int
    spares: list[Place] = field(default_factory=list)


@dataclass(frozen=True)
class Decoded:
    """A sample ready for a batch.

    Attributes:
        negatives: slot to text negative.
        image_negatives: their images; `captions` are their own.
        legible: of the sample's negatives.
    """

    sample: Sample
    pixels: Tensor
    negatives: dict[int, TextNegative]
    image_negatives: list[Tensor]
    captions: list[str]
    legible: Legible


class Decoder(Dataset[Batch | NegmineError]):
    """Reads samples and turns them into a `Batch`, in a worker process.

    Args:
        tokenizer: makes the tokenizer; called once in each worker.
        image_size: pixels.
        negatives: K slots.
        available: K of the shards; where it is no more than `negatives`, a negative keeps its own slot.
        seed: of crops and of the choice of negatives, together with epoch and key.
        image_negatives: J slots; 0 decodes none.
        draw: how K negatives are drawn where a sample has more.
        positives: P slots of true texts beside the caption.
        finish: what is done with a batch at last.
    """

    def __init__(
        self,
        tokenizer: Callable[[], Callable[[list[str]], Tensor]],
        image_size: int,
        negatives: int,
        available: int,
        seed: int,
        image_negatives: int = 0,
        draw: Draw = Draw(),
        positives: int = 0,
        finish: Callable[[Batch], Batch] | None = None,
    ) -> None:
        self._make_tokenizer = tokenizer
        self._tokenizer: Callable[[list[str]], Tensor] | None = None
        self._tokens: dict[str, NDArray[np.int32]] = {}
        self.image_size, self.negatives, self.available, self.seed = image_size, negatives, available, seed
        self.image_negatives, self.draw, self.positives = image_negatives, draw, positives
        self.finish = finish

    def __getitems__(self, tasks: list[Task]) -> Batch | NegmineError:
        """The hook that `DataLoader` calls with what the batch sampler gave. An error for the user is a value here, or
        its traceback would be the message."""
        try:
            return self.batch(tasks)
        except NegmineError as error:
            return error

    def batch(self, tasks: list[Task]) -> Batch:
        """The batch of these parts.

        Raises:
            DamagedError: a sample is not what the shard format says.
        """
        bad: list[BadSample] = []
        parts = [self._decode(task, bad) for task in tasks]
        anywhere = [one for part in parts for one in part if one is not None]
        return self._collate(anywhere and [one for part in parts for one in _full(part, anywhere)], bad)

    def _decode(self, task: Task, bad: list[BadSample]) -> list[Decoded | None]:
        """Decode the samples; for one that cannot be decoded the next spare stands in, None where there is none."""
        good: list[Decoded | None] = []
        spares = (placed.load() for placed in task.spares)
        samples = [placed.load() for placed in task.samples]
        self._remember([text for located in samples for text in self._texts(located.sample)])
        for located in samples:
            decoded = self._try(located, task.epoch, bad)
            while decoded is None and (spare := next(spares, None)) is not None:
                decoded = self._try(spare, task.epoch, [])  # is counted in its own batch
            good.append(decoded)
        return good

    def _try(self, located: Located, epoch: int, bad: list[BadSample]) -> Decoded | None:
        """The sample; None if it is bad, which is then noted in `bad`."""
        if located.lacks is not None:
            bad.append(BadSample(located.sample.key, located.shard, located.lacks.detail, located.lacks.kind))
            return None
        try:
            return self._decode_one(located.sample, epoch)
        except BadImage as error:
            bad.append(BadSample(located.sample.key, located.shard, str(error)))
            return None

    def _decode_one(self, sample: Sample, epoch: int) -> Decoded:
        """Images of a sample, all cropped alike, and its chosen negatives.

        Raises:
            BadImage: one of the images cannot be decoded.
        """
        sample, legible = self.legible(sample)
        pixels = self._crop(sample.image, sample.key, epoch)
        texts = self.choose(sample, generator(self.seed, "negatives", epoch, sample.key), epoch)
        chosen = list(range(len(sample.image_negatives)))
        if len(chosen) > self.image_negatives:
            chance = generator(self.seed, "image negatives", epoch, sample.key)
            chosen = sorted(chance.sample(chosen, self.image_negatives))
        images = [self._crop(sample.image_negative_bytes[place], sample.key, epoch) for place in chosen]
        captions = [sample.image_negatives[place].caption for place in chosen]
        return Decoded(sample, pixels, texts, images, captions, legible)

    def _crop(self, content: bytes, key: str, epoch: int) -> Tensor:
        """The same part of each image of a sample."""
        return training_pixels(content, self.image_size, generator(self.seed, "crop", epoch, key))

    def legible(self, sample: Sample) -> tuple[Sample, Legible]:
        """The sample without the negatives that read as a true caption: their text, or that of a false image."""
        texts, images = sample.negatives if self.negatives else (), sample.image_negatives
        images = images if self.image_negatives else ()
        if not texts and not images:
            return sample, Legible()
        true = {self._read(text) for text in (sample.caption, *sample.captions, *self._positives(sample))}
        kept = tuple(negative for negative in texts if self._read(negative.text) not in true)
        places = [place for place, negative in enumerate(images) if self._read(negative.caption) not in true]
        total = len(texts) + len(images)
        found = replace(
            sample,
            negatives=kept,
            image_negatives=tuple(images[place] for place in places),
            image_negative_bytes=tuple(sample.image_negative_bytes[place] for place in places),
        )
        return found, Legible(total, total - len(kept) - len(places))

    def choose(self, sample: Sample, chance: random.Random, epoch: int) -> dict[int, TextNegative]:
        """Slot to negative. All that are allowed, each in its slot, if they fit; else K drawn, in slot order."""
        if self.available <= self.negatives:
            allowed = (n for n in sample.negatives if self.draw.kinds.get(n.kind, 1.0) > 0)
            return {negative.slot: negative for negative in allowed if negative.slot < self.negatives}
        drawn = self.draw.pick(sample.negatives, self.negatives, epoch, chance)
        return dict(enumerate(sorted(drawn, key=lambda negative: negative.slot)))

    def _collate(self, good: list[Decoded], bad: list[BadSample]) -> Batch:
        size, slots = len(good), self.negatives
        rows = [[one.negatives.get(slot) for slot in range(slots)] for one in good]
        texts = [one.sample.caption for one in good] + [n.text if n else "" for row in rows for n in row]
        texts += [caption for one in good for caption in _filled(one.captions, self.image_negatives, "")]
        tokens = self.tokenize(texts) if texts else torch.zeros(0, 1, dtype=torch.long)
        kinds = [[KINDS.index(n.kind) if n and n.kind in KINDS else -1 for n in row] for row in rows]
        length, own = tokens.shape[1], size * (1 + slots)
        batch = Batch(
            images=self._stacked([one.pixels for one in good]),
            texts=tokens[:size],
            negatives=tokens[size:own].view(size, slots, length),
            valid=torch.tensor([[n is not None for n in row] for row in rows], dtype=torch.bool).view(size, slots),
            kinds=torch.tensor(kinds, dtype=torch.int8).view(size, slots),
            image_ids=torch.tensor([_number(one.sample.image_id) for one in good], dtype=torch.long),
            keys=[one.sample.key for one in good],
            bad=bad,
            legible=sum((one.legible for one in good), Legible()),
        )
        batch = self._with_positives(batch, good) if self.positives else batch
        whole = self._with_image_negatives(batch, good, tokens[own:]) if self.image_negatives else batch
        return whole if self.finish is None else self.finish(whole)

    def _with_positives(self, batch: Batch, good: list[Decoded]) -> Batch:
        size, slots = len(good), self.positives
        texts = [self._positives(one.sample) for one in good]
        tokens = self.tokenize([text for several in texts for text in _filled(several, slots, "")]) if good else None
        valid = [[slot < len(several) for slot in range(slots)] for several in texts]
        return replace(
            batch,
            positives=batch.texts.new_zeros(0, slots, 1) if tokens is None else tokens.view(size, slots, -1),
            positive_valid=torch.tensor(valid, dtype=torch.bool).view(size, slots),
        )

    def _positives(self, sample: Sample) -> list[str]:
        """The first P true texts beside the caption."""
        return [positive.text for positive in sample.positives[: self.positives]]

    def _with_image_negatives(self, batch: Batch, good: list[Decoded], tokens: Tensor) -> Batch:
        size, slots = len(good), self.image_negatives
        blank = torch.zeros(3, self.image_size, self.image_size, dtype=torch.uint8)
        images = self._stacked([image for one in good for image in _filled(one.image_negatives, slots, blank)])
        valid = [[slot < len(one.image_negatives) for slot in range(slots)] for one in good]
        return replace(
            batch,
            image_negatives=images.view(size, slots, *images.shape[1:]),
            image_negative_texts=tokens.view(size, slots, batch.texts.shape[1]),
            image_valid=torch.tensor(valid, dtype=torch.bool).view(size, slots),
        )

    def _stacked(self, pixels: list[Tensor]) -> Tensor:
        """``[N, 3, S, S]`` bytes."""
        return torch.stack(pixels) if pixels else torch.zeros(0, 3, self.image_size, self.image_size, dtype=torch.uint8)

    def tokenize(self, texts: list[str]) -> Tensor:
        """``[N, L]`` tokens; a text seen before is not tokenised again."""
        self._remember(texts)
        return torch.from_numpy(np.stack([self._tokens[text] for text in texts])).long()

    def _texts(self, sample: Sample) -> list[str]:
        """All texts of a sample that may be needed."""
        negatives = [negative.text for negative in sample.negatives] if self.negatives else []
        images = [negative.caption for negative in sample.image_negatives] if self.image_negatives else []
        captions = sample.captions if negatives or images else ()
        return [sample.caption, *captions, *negatives, *images, *self._positives(sample)]

    def _read(self, text: str) -> bytes:
        """A text as the model reads it."""
        self._remember([text])
        return self._tokens[text].tobytes()

    def _remember(self, texts: list[str]) -> None:
        unseen = [text for text in dict.fromkeys(texts) if text not in self._tokens]
        if len(self._tokens) + len(unseen) > CACHED_TEXTS:
            self._tokens.clear()
            unseen = list(dict.fromkeys(texts))
        if unseen:
            self._tokenizer = self._tokenizer or self._make_tokenizer()
            self._tokens |= zip(unseen, self._tokenizer(unseen).int().numpy(), strict=True)


def _full(part: list[Decoded | None], anywhere: list[Decoded]) -> Iterator[Decoded]:
    """The part with its own samples, or else those of the batch, again in the empty places."""
    again = cycle([one for one in part if one is not None] or anywhere)
    return (one or next(again) for one in part)


def _filled(items: list[T], length: int, blank: T) -> list[T]:
    """The items and as many blanks as make `length`."""
    return [*items, *[blank] * (length - len(items))]


def _number(name: str) -> int:
    """A name as a 63-bit number."""
    return hash64(name) >> 1
