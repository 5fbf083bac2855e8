"""Shards to batches: ordered reading here, decoding and tokenising in worker processes.

The order is made from counts alone (`ahnpl.data.shards.epoch_order`): it is the same for any number of workers, and a
resumed run opens only what it still needs. This process reads the tars, in a thread; each batch of encoded samples
goes to a worker as the "indices" of a torch `DataLoader`, which keeps the order and hands errors on.
"""

from __future__ import annotations

import queue
import random
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import cycle, islice, pairwise
from math import exp, log
from typing import Any

import numpy as np
import torch
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import KINDS, Sample, TextNegative
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from ahnpl.data.images import BadImage, training_pixels
from ahnpl.data.shards import (
    WHOLE,
    Located,
    ShardSet,
    Share,
    epoch_order,
    planned_order,
    read_in_order,
    wanted_of,
    wanted_of_planned,
)  # fmt: skip
from ahnpl.data.workers import Workers

SHUFFLE_WINDOW = 1000
"""Samples in the shuffle buffer, encoded."""

SPARES = 4
"""Samples of the next batch that stand in for bad ones of this."""

CACHED_TEXTS = 50_000
"""Texts whose tokens a worker remembers: 30 MB at most."""


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used."""

    key: str
    shard: str
    reason: str


@dataclass(frozen=True)
class Legible:
    """How many negatives a model can tell from a true caption of the same picture.

    A tokenizer may drop case, and drops what comes after the tower's last position: a negative then reads as the truth.

    Attributes:
        total: negatives looked at.
        alike: of these, such that have the tokens of a true caption.
    """

    total: int = 0
    alike: int = 0

    def __add__(self, other: Legible) -> Legible:
        return Legible(self.total + other.total, self.alike + other.alike)

    @property
    def percent_alike(self) -> float:
        return 100 * self.alike / max(self.total, 1)


@dataclass(frozen=True)
class Batch:
    """One training batch; K slots for negatives, empty ones hold an empty text and are False in `valid`.

    Attributes:
        images: ``[B, 3, S, S]`` bytes.
        texts: ``[B, L]`` tokens.
        negatives: ``[B, K, L]`` tokens.
        valid: ``[B, K]`` bool.
        kinds: ``[B, K]`` positions in ``negmine.contract.records.KINDS``, -1 in empty slots.
        image_ids: ``[B]``, equal for captions of one image.
        keys: of the samples.
        bad: samples of this batch that others stand in for.
        legible: of its samples' negatives, how many the model can tell from the truth; the others are left out.
        image_negatives: ``[B, J, 3, S, S]`` bytes, cropped as the image is; None where no recipe term asks for them.
        image_negative_texts: ``[B, J, L]`` tokens of their own captions.
        image_valid: ``[B, J]`` bool.
    """

    images: Tensor
    texts: Tensor
    negatives: Tensor
    valid: Tensor
    kinds: Tensor
    image_ids: Tensor
    keys: list[str]
    bad: list[BadSample] = field(default_factory=list)
    legible: Legible = Legible()
    image_negatives: Tensor | None = None
    image_negative_texts: Tensor | None = None
    image_valid: Tensor | None = None

    def to(self, device: torch.device) -> Batch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        return self._map(Tensor.pin_memory)

    def split(self, parts: int) -> list[Batch]:
        """The batch in at most `parts` batches of nearly equal size, in order; counts stay with the first."""
        size = len(self.keys)
        bounds = [size * part // parts for part in range(parts + 1)]
        return [self._rows(slice(a, b)) for a, b in pairwise(bounds) if a < b]

    def _rows(self, rows: slice) -> Batch:
        part = self._map(lambda tensor: tensor[rows])
        first = rows.start == 0
        return replace(
            part, keys=self.keys[rows], bad=self.bad if first else [], legible=self.legible if first else Legible()
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: dict[str, Any] = {n: change(value) for n, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors)


@dataclass(frozen=True)
class Work:
    """What a worker turns into a share's part of a batch.

    Attributes:
        spares: the first of the share's next part, for samples that turn out to be bad.
    """

    samples: list[Located]
    epoch: int
    spares: list[Located] = field(default_factory=list)


@dataclass(frozen=True)
class Decoded:
    """A sample ready for a batch.

    Attributes:
        negatives: slot to text negative.
        pictures: image negatives; `captions` are their own.
        legible: of the sample's negatives.
    """

    sample: Sample
    pixels: Tensor
    negatives: dict[int, TextNegative]
    pictures: list[Tensor]
    captions: list[str]
    legible: Legible


@dataclass(frozen=True)
class Draw:
    """How K of a sample's negatives are drawn where it has more.

    Attributes:
        kinds: weight of a kind; 1 where it is not named. A kind of weight 0 is never used.
        difficulty: d in the first and in the last epoch, linear between. Among the sample's negatives that have a
            score, the weight is ``exp(d * r)``, r from -1 for the easiest (lowest score) to 1 for the hardest.
    """

    kinds: Mapping[str, float] = field(default_factory=dict)
    difficulty: tuple[float, float] = (0.0, 0.0)
    epochs: int = 1

    def pick(
        self, negatives: Sequence[TextNegative], number: int, epoch: int, chance: random.Random
    ) -> list[TextNegative]:
        """At most `number` of them, without replacement (Efraimidis and Spirakis 2006)."""
        if not self.kinds and self.difficulty == (0.0, 0.0):
            return chance.sample(negatives, min(number, len(negatives)))
        first, last = self.difficulty
        d = first + (last - first) * min(epoch / max(self.epochs - 1, 1), 1.0)
        ranked = sorted(negative.score for negative in negatives if negative.score is not None)
        keys = {}
        for negative in negatives:
            weight = self.kinds.get(negative.kind, 1.0)
            if negative.score is not None and len(ranked) > 1:
                weight *= exp(d * (2 * ranked.index(negative.score) / (len(ranked) - 1) - 1))
            drawn = chance.random()
            if weight > 0:
                keys[negative] = log(1 - drawn) / weight  # 0 at most; the largest are taken
        return sorted(keys, key=lambda negative: -keys[negative])[:number]


class Decoder(Dataset[Batch]):
    """Turns encoded samples into a `Batch`, in a worker process.

    Args:
        tokenizer: makes the tokenizer; called once in each worker.
        image_size: pixels.
        negatives: K slots.
        available: K of the shards; where it is no more than `negatives`, a negative keeps its own slot.
        seed: of crops and of the choice of negatives, together with epoch and key.
        image_negatives: J slots; 0 decodes none.
        draw: how K negatives are drawn where a sample has more.
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
    ) -> None:
        self._make_tokenizer = tokenizer
        self._tokenizer: Callable[[list[str]], Tensor] | None = None
        self._tokens: dict[str, NDArray[np.int32]] = {}
        self.image_size, self.negatives, self.available, self.seed = image_size, negatives, available, seed
        self.image_negatives, self.draw = image_negatives, draw

    def __getitems__(self, work: list[Work]) -> Batch:
        """The hook that `DataLoader` calls with what the batch sampler gave: the parts of one batch."""
        bad: list[BadSample] = []
        parts = [self._decode(part, bad) for part in work]
        anywhere = [one for part in parts for one in part if one is not None]
        return self._collate(anywhere and [one for part in parts for one in _full(part, anywhere)], bad)

    def _decode(self, work: Work, bad: list[BadSample]) -> list[Decoded | None]:
        """Decode the samples; for one that cannot be decoded the next spare stands in, None where there is none."""
        good: list[Decoded | None] = []
        spares = iter(work.spares)
        self._remember([text for located in work.samples for text in self._texts(located.sample)])
        for located in work.samples:
            decoded = self._try(located, work.epoch, bad)
            while decoded is None and (spare := next(spares, None)) is not None:
                decoded = self._try(spare, work.epoch, [])  # is counted in its own batch
            good.append(decoded)
        return good

    def _try(self, located: Located, epoch: int, bad: list[BadSample]) -> Decoded | None:
        """The sample; None if it is bad, which is then noted in `bad`."""
        try:
            return self._decode_one(located.sample, epoch)
        except BadImage as error:
            bad.append(BadSample(located.sample.key, located.shard, str(error)))
            return None

    def _decode_one(self, sample: Sample, epoch: int) -> Decoded:
        """Pictures of a sample, all cropped alike, and its chosen negatives.

        Raises:
            BadImage: one of the pictures cannot be decoded.
        """
        sample, legible = self.legible(sample)
        name = f"{self.seed}/{epoch}/{sample.key}"
        chance = random.Random(name)
        pixels = training_pixels(sample.image, self.image_size, chance)
        texts = self.choose(sample, chance, epoch)
        places = range(len(sample.image_negatives))
        chosen = sorted(chance.sample(places, self.image_negatives)) if len(places) > self.image_negatives else places
        pictures = [
            training_pixels(sample.image_negative_bytes[place], self.image_size, random.Random(name))
            for place in chosen
        ]
        captions = [sample.image_negatives[place].caption for place in chosen]
        return Decoded(sample, pixels, texts, pictures, captions, legible)

    def legible(self, sample: Sample) -> tuple[Sample, Legible]:
        """The sample without the negatives that read as a true caption: their text, or that of a false picture."""
        texts, pictures = sample.negatives if self.negatives else (), sample.image_negatives
        pictures = pictures if self.image_negatives else ()
        if not texts and not pictures:
            return sample, Legible()
        true = {self._read(text) for text in (sample.caption, *sample.captions)}
        kept = tuple(negative for negative in texts if self._read(negative.text) not in true)
        places = [place for place, negative in enumerate(pictures) if self._read(negative.caption) not in true]
        total = len(texts) + len(pictures)
        found = replace(
            sample,
            negatives=kept,
            image_negatives=tuple(pictures[place] for place in places),
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
        return self._with_pictures(batch, good, tokens[own:]) if self.image_negatives else batch

    def _with_pictures(self, batch: Batch, good: list[Decoded], tokens: Tensor) -> Batch:
        size, slots = len(good), self.image_negatives
        blank = torch.zeros(3, self.image_size, self.image_size, dtype=torch.uint8)
        pictures = self._stacked([picture for one in good for picture in _filled(one.pictures, slots, blank)])
        valid = [[slot < len(one.pictures) for slot in range(slots)] for one in good]
        return replace(
            batch,
            image_negatives=pictures.view(size, slots, *pictures.shape[1:]),
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
        pictures = [negative.caption for negative in sample.image_negatives] if self.image_negatives else []
        return [sample.caption, *(sample.captions if negatives or pictures else ()), *negatives, *pictures]

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


class Stream:
    """The batches of a run, epoch by epoch.

    Args:
        shards: what to read.
        decoder: what turns samples into batches.
        batch_size: B, over all ranks; the last, partial batch of an epoch is left out.
        workers: processes; 0 decodes here.
        max_bad: of the samples that are read here in an epoch, the share that may be bad.
        shares: what is read here of every epoch. A batch is made of equal parts from all shares there are, in their
            order, each through a shuffle window of its own: who reads a share changes nothing.
        pin: page-locked batches, for copies to a GPU.

    Raises:
        UsageError: fewer samples than one batch, a batch that the shares do not divide, or shards planned for batches
            of another size.
    """

    def __init__(
        self,
        shards: ShardSet,
        decoder: Decoder,
        *,
        batch_size: int,
        seed: int,
        workers: int = 0,
        max_bad: float = 0.01,
        window: int = SHUFFLE_WINDOW,
        shares: Sequence[Share] = (WHOLE,),
        pin: bool = False,
    ) -> None:
        count = shares[0].count
        if batch_size % count:
            raise UsageError(
                f"a batch of {batch_size} cannot be cut into {count} equal shares",
                fix=f"use --batch-size {max(batch_size // count, 1) * count}; it counts all processes",
            )
        if shards.samples < batch_size:
            raise UsageError(
                f"{shards.samples} samples do not fill one batch of {batch_size}",
                fix=f"use --batch-size {max(shards.samples, 1)} or less, or more shards",
            )
        if shards.planned is not None and shards.planned % batch_size:
            raise UsageError(
                f"these shards were planned for batches of {shards.planned}, and {batch_size} does not divide that",
                fix=f"use --batch-size {shards.planned}, or write the shards again without --plan",
            )
        self.shards, self.decoder, self.batch_size, self.seed = shards, decoder, batch_size, seed
        self.max_bad, self.window, self.shares = max_bad, window, shares
        self._feed = _Feed()
        self._workers = Workers(decoder, self._feed, workers, pin=pin)

    @property
    def steps_per_epoch(self) -> int:
        return self.shards.samples // self.batch_size

    def batches(self, epoch: int, skip: int = 0) -> Generator[Batch]:
        """The batches of an epoch from step `skip` on.

        Raises:
            DamagedError: a shard is damaged.
            InputError: more than `max_bad` of the samples are bad.
            ResourceError: a worker died or hangs.
        """
        bad = 0
        parts = zip(*(self._work(share, epoch, skip) for share in self.shares), strict=True)
        with _Prefetch(parts, depth=4) as work:
            self._feed.work = work
            for batch in self._workers.batches():
                bad += len(batch.bad)
                self._check_bad(bad, batch)
                yield batch

    def close(self) -> None:
        """End the workers."""
        self._workers.close()

    def _work(self, share: Share, epoch: int, skip: int) -> Iterator[Work]:
        """A share's part of each batch."""
        counts = [shard.samples for shard in self.shards.shards]
        planned, size = self.shards.planned, self.batch_size // share.count
        if planned is None:
            order = epoch_order(counts, self.seed, epoch, self.window, share)
            wanted = wanted_of(counts, self.seed, epoch, share)
        else:
            order = planned_order(counts, planned, self.seed, epoch, self.window, share, self.batch_size)
            wanted = wanted_of_planned(self.batch_size, share)
        located = read_in_order(self.shards.shards, order, skip * size, wanted)
        ahead: list[Located] = []
        for _ in range(self.steps_per_epoch - skip):
            ahead += islice(located, size + SPARES - len(ahead))
            yield Work(ahead[:size], epoch, ahead[size:])
            ahead = ahead[size:]

    def _check_bad(self, bad: int, batch: Batch) -> None:
        total = sum(share.size(self.shards.samples) for share in self.shares)
        if batch.bad and (bad > self.max_bad * total or not batch.keys):
            last = batch.bad[-1]
            raise InputError(
                f"{bad} of {total} samples of this epoch are bad, more than --max-bad {self.max_bad:g}",
                where=f"{last.shard}, key {last.key}",
                why=last.reason,
                fix="mend or remove these images and write the shards again, or allow more with --max-bad",
            )


class _Feed:
    """A batch sampler that passes on whatever work it was given last."""

    def __init__(self) -> None:
        self.work: Iterable[Sequence[Work]] = ()

    def __iter__(self) -> Iterator[list[Work]]:
        for parts in self.work:
            yield list(parts)


def _full(part: list[Decoded | None], anywhere: list[Decoded]) -> Iterator[Decoded]:
    """The part with its own samples, or else those of the batch, again in the empty places."""
    again = cycle([one for one in part if one is not None] or anywhere)
    return (one or next(again) for one in part)


def _filled(items: list[Any], length: int, blank: Any) -> list[Any]:
    """The items and as many blanks as make `length`."""
    return [*items, *[blank] * (length - len(items))]


class _Prefetch:
    """Iterate in a thread, a few items ahead; errors of the thread are raised to the one who asks."""

    def __init__(self, items: Iterator[Any], depth: int) -> None:
        self._items, self._ready = items, queue.Queue[Any](depth)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Iterator[Any]:
        self._thread.start()
        return self._take()

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        while self._thread.is_alive():
            _drain(self._ready)
            self._thread.join(0.05)

    def _run(self) -> None:
        try:
            for item in self._items:
                if self._stop.is_set():
                    return
                self._ready.put((item, None))
            self._ready.put((None, StopIteration()))
        except Exception as error:  # noqa: BLE001 (handed to the consumer, who raises it)
            self._ready.put((None, error))

    def _take(self) -> Iterator[Any]:
        while True:
            item, error = self._ready.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item


def _drain(ready: queue.Queue[Any]) -> None:
    while not ready.empty():
        ready.get_nowait()


def _number(name: str) -> int:
    """A name as a 63-bit number."""
    return int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big") >> 1
