"""Shards to batches: ordered reading here, decoding and tokenising in worker processes.

The order is made from counts alone (`ahnpl.shards.epoch_order`), so it is the same for any number of workers, and a
resumed run opens only what it still needs. This process reads the tars, in a thread; each batch of encoded samples
goes to a worker as the "indices" of a torch `DataLoader`, which keeps the order and hands errors on.
"""

from __future__ import annotations

import queue
import random
import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from typing import Any

import numpy as np
import torch
from negmine.errors import InputError, ResourceError, UsageError
from negmine.records import KINDS, Sample, TextNegative
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from ahnpl.images import BadImage, Pixels, training_pixels
from ahnpl.shards import Located, ShardSet, epoch_order, planned_order, read_in_order

SHUFFLE_WINDOW = 1000
"""Samples in the shuffle buffer, encoded."""


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used."""

    key: str
    shard: str
    reason: str


@dataclass(frozen=True)
class Batch:
    """One training batch; K slots for negatives, empty ones hold an empty text and are False in `valid`.

    Attributes:
        images: ``[B, 3, S, S]`` bytes.
        texts: ``[B, L]`` tokens.
        negatives: ``[B, K, L]`` tokens.
        valid: ``[B, K]`` bool.
        kinds: ``[B, K]`` positions in ``negmine.records.KINDS``, -1 in empty slots.
        image_ids: ``[B]``, equal for captions of one image.
        keys: of the samples.
        bad: samples left out of this batch.
    """

    images: Tensor
    texts: Tensor
    negatives: Tensor
    valid: Tensor
    kinds: Tensor
    image_ids: Tensor
    keys: list[str]
    bad: list[BadSample] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Batch:
        return self._map(Tensor.pin_memory)

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        return Batch(
            change(self.images), change(self.texts), change(self.negatives), change(self.valid), change(self.kinds),
            change(self.image_ids), self.keys, self.bad,
        )  # fmt: skip


@dataclass(frozen=True)
class Work:
    """What a worker turns into a batch."""

    samples: list[Located]
    epoch: int


class Decoder(Dataset[Batch]):
    """Turns encoded samples into a `Batch`, in a worker process.

    Args:
        tokenizer: makes the tokenizer; called once in each worker.
        image_size: pixels.
        negatives: K slots.
        available: K of the shards; where it is no more than `negatives`, a negative keeps its own slot.
        seed: of crops and of the choice of negatives, together with epoch and key.
    """

    def __init__(
        self,
        tokenizer: Callable[[], Callable[[list[str]], Tensor]],
        image_size: int,
        negatives: int,
        available: int,
        seed: int,
    ) -> None:
        self._make_tokenizer = tokenizer
        self._tokenizer: Callable[[list[str]], Tensor] | None = None
        self.image_size, self.negatives, self.available, self.seed = image_size, negatives, available, seed

    def __getitems__(self, work: list[Work]) -> Batch:
        """The hook that `DataLoader` calls with what the batch sampler gave."""
        return self.decode(work[0])

    def decode(self, work: Work) -> Batch:
        """Decode what can be decoded; the rest is in ``bad``."""
        pixels, good, bad = [], [], []
        for located in work.samples:
            chance = random.Random(f"{self.seed}/{work.epoch}/{located.sample.key}")
            try:
                pixels.append(training_pixels(located.sample.image, self.image_size, chance))
            except BadImage as error:
                bad.append(BadSample(located.sample.key, located.shard, str(error)))
            else:
                good.append((located.sample, self.choose(located.sample, chance)))
        return self._collate(pixels, good, bad)

    def choose(self, sample: Sample, chance: random.Random) -> dict[int, TextNegative]:
        """Slot to negative. All of them, each in its slot, if they fit; else K drawn at random, in slot order."""
        if self.available <= self.negatives:
            return {negative.slot: negative for negative in sample.negatives if negative.slot < self.negatives}
        drawn = chance.sample(sample.negatives, min(self.negatives, len(sample.negatives)))
        return dict(enumerate(sorted(drawn, key=lambda negative: negative.slot)))

    def _collate(
        self, pixels: list[Pixels], good: list[tuple[Sample, dict[int, TextNegative]]], bad: list[BadSample]
    ) -> Batch:
        size, slots = len(good), self.negatives
        images = np.stack(pixels) if pixels else np.zeros((0, self.image_size, self.image_size, 3), np.uint8)
        rows = [[chosen.get(slot) for slot in range(slots)] for _, chosen in good]
        texts = [sample.caption for sample, _ in good] + [n.text if n else "" for row in rows for n in row]
        tokens = self.tokenize(texts) if texts else torch.zeros(0, 1, dtype=torch.long)
        kinds = [[KINDS.index(n.kind) if n and n.kind in KINDS else -1 for n in row] for row in rows]
        return Batch(
            images=torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(),
            texts=tokens[:size],
            negatives=tokens[size:].view(size, slots, tokens.shape[1]),
            valid=torch.tensor([[n is not None for n in row] for row in rows], dtype=torch.bool).view(size, slots),
            kinds=torch.tensor(kinds, dtype=torch.int8).view(size, slots),
            image_ids=torch.tensor([_number(sample.image_id) for sample, _ in good], dtype=torch.long),
            keys=[sample.key for sample, _ in good],
            bad=bad,
        )

    def tokenize(self, texts: list[str]) -> Tensor:
        """``[N, L]`` tokens."""
        if self._tokenizer is None:
            self._tokenizer = self._make_tokenizer()
        return self._tokenizer(texts)


class Stream:
    """The batches of a run, epoch by epoch.

    Args:
        shards: what to read.
        decoder: what turns samples into batches.
        batch_size: B; the last, partial batch of an epoch is left out.
        workers: processes; 0 decodes here.
        max_bad: share of an epoch's samples that may be bad.
        pin: page-locked batches, for copies to a GPU.

    Raises:
        UsageError: fewer samples than one batch, or shards planned for batches of another size.
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
        pin: bool = False,
    ) -> None:
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
        self.max_bad, self.window = max_bad, window
        self._feed = _Feed()
        self._loader = _make_loader(decoder, self._feed, workers, pin)

    @property
    def steps_per_epoch(self) -> int:
        return self.shards.samples // self.batch_size

    def batches(self, epoch: int, skip: int = 0) -> Iterator[Batch]:
        """The batches of an epoch from step `skip` on.

        Raises:
            DamagedError: a shard is damaged.
            InputError: more than `max_bad` of the samples are bad.
        """
        bad = 0
        with _Prefetch(self._work(epoch, skip), depth=4) as work:
            self._feed.work = work
            for batch in self._decoded():
                bad += len(batch.bad)
                self._check_bad(bad, batch)
                yield batch

    def _decoded(self) -> Iterator[Batch]:
        try:
            yield from self._loader
        except RuntimeError as error:
            if "DataLoader worker" not in str(error):
                raise
            raise ResourceError(
                "a decode worker died",
                why=str(error).splitlines()[0],
                fix="use fewer --workers; the same command resumes from the last checkpoint",
            ) from None

    def _work(self, epoch: int, skip: int) -> Iterator[Work]:
        counts = [shard.samples for shard in self.shards.shards]
        planned = self.shards.planned
        order = (
            epoch_order(counts, self.seed, epoch, self.window)
            if planned is None
            else planned_order(counts, planned, self.seed, epoch, self.window)
        )
        located = read_in_order(self.shards.shards, order, skip * self.batch_size)
        for _ in range(self.steps_per_epoch - skip):
            yield Work(list(islice(located, self.batch_size)), epoch)

    def _check_bad(self, bad: int, batch: Batch) -> None:
        if batch.bad and (bad > self.max_bad * self.shards.samples or not batch.keys):
            last = batch.bad[-1]
            raise InputError(
                f"{bad} of {self.shards.samples} samples of this epoch are bad, more than --max-bad {self.max_bad:g}",
                where=f"{last.shard}, key {last.key}",
                why=last.reason,
                fix="mend or remove these images and write the shards again, or allow more with --max-bad",
            )


class _Feed:
    """A batch sampler that passes on whatever work it was given last."""

    def __init__(self) -> None:
        self.work: Iterable[Work] = ()

    def __iter__(self) -> Iterator[list[Work]]:
        for work in self.work:
            yield [work]


def _make_loader(decoder: Decoder, feed: _Feed, workers: int, pin: bool) -> Iterable[Batch]:
    parallel: dict[str, Any] = (
        {"multiprocessing_context": "spawn", "persistent_workers": True, "prefetch_factor": 4} if workers else {}
    )
    return DataLoader(
        decoder,
        batch_sampler=feed,
        collate_fn=_as_it_is,
        generator=torch.Generator(),  # leaves the run's random state alone
        num_workers=workers,
        pin_memory=pin,
        worker_init_fn=_ignore_interrupts,
        **parallel,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _ignore_interrupts(worker: int) -> None:
    """Ctrl-C reaches the whole process group; only the main process answers it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


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
