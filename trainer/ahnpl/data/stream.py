"""Shards to batches: the order here, reading, decoding and tokenising in worker processes.

The order is made from counts alone (`ahnpl.data.order`): it is the same for any number of workers, and a resumed run
opens only what it still needs. A thread of this process checks the tars and finds where their samples lie; the places
of a batch go to a worker as the "indices" of a torch `DataLoader`, which keeps the order and hands errors on.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from itertools import islice

from negmine.base.console import note
from negmine.base.errors import InputError, NegmineError, UsageError

from ahnpl.data.batch import Batch
from ahnpl.data.decode import Decoder, Task
from ahnpl.data.order import WHOLE, CanonicalRank, epoch_order, planned_order, wanted_of, wanted_of_planned
from ahnpl.data.prefetch import Prefetch
from ahnpl.data.read import Place, places_in_order
from ahnpl.data.shards import ShardSet
from ahnpl.data.workers import Workers, fitting, shared_memory

SHUFFLE_WINDOW = 1000
"""Samples in the shuffle buffer."""

SPARES = 4
"""Samples of the next batch that stand in for bad ones of this."""


class Stream:
    """The batches of a run, epoch by epoch.

    Args:
        shards: what to read.
        decoder: what turns samples into batches.
        batch_size: B, over all ranks; the last, partial batch of an epoch is left out.
        workers: processes; 0 decodes here.
        max_bad: of the samples that are read here in an epoch, the share that may be bad.
        canonical_ranks: what is read here of every epoch. A batch is made of equal parts from all that there are, in
            their order, each through a shuffle window of its own: which process reads one changes nothing.
        pin: page-locked batches, for copies to a GPU.

    Attributes:
        passed_over: images that a sidecar does not know, by tar that was read to its end here.

    Raises:
        UsageError: fewer samples than one batch, a batch that the canonical ranks do not divide, or shards planned for
            batches of another size.
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
        canonical_ranks: Sequence[CanonicalRank] = (WHOLE,),
        pin: bool = False,
    ) -> None:
        count = canonical_ranks[0].count
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
        self.max_bad, self.window, self.canonical_ranks = max_bad, window, canonical_ranks
        self.passed_over: dict[str, int] = {}
        self._feed = _Feed()
        count, ahead = fitting(workers, self._batch_bytes, shared_memory())
        if count < workers:
            note(f"{count} of {workers} workers: shared memory has room for {count} x {self._batch_bytes:,} bytes")
        self._workers = Workers(decoder, self._feed, count, pin=pin, ahead=ahead)

    @property
    def _batch_bytes(self) -> int:
        """Of the images of a batch here: texts are a hundredth of them."""
        samples = self.batch_size * len(self.canonical_ranks) // self.canonical_ranks[0].count
        return samples * (1 + self.decoder.image_negatives) * 3 * self.decoder.image_size**2

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
        parts = zip(*(self._tasks(rank, epoch, skip) for rank in self.canonical_ranks), strict=True)
        with Prefetch(parts, depth=4) as tasks:
            self._feed.tasks = tasks
            for batch in self._workers.batches():
                if isinstance(batch, NegmineError):
                    raise batch
                bad += len(batch.bad)
                self._check_bad(bad, batch)
                yield batch

    def some(self, count: int) -> Batch:
        """A batch of the first samples of the first shard, decoded here; fewer where some are bad.

        Raises:
            DamagedError: the shard is damaged.
        """
        every = ((s, p) for s, shard in enumerate(self.shards.shards) for p in range(shard.samples))
        return self.decoder.batch([Task(list(islice(places_in_order(self.shards.shards, every), count)), epoch=0)])

    def close(self) -> None:
        """End the workers."""
        self._workers.close()

    def _tasks(self, rank: CanonicalRank, epoch: int, skip: int) -> Iterator[Task]:
        """A canonical rank's part of each batch."""
        counts = [shard.samples for shard in self.shards.shards]
        planned, size = self.shards.planned, self.batch_size // rank.count
        if planned is None:
            order = epoch_order(counts, self.seed, epoch, self.window, rank)
            wanted = wanted_of(counts, self.seed, epoch, rank)
        else:
            order = planned_order(counts, planned, self.seed, epoch, self.window, rank, self.batch_size)
            wanted = wanted_of_planned(self.batch_size, rank)
        places = places_in_order(self.shards.shards, order, skip * size, wanted, self.passed_over)
        ahead: list[Place] = []
        for _ in range(self.steps_per_epoch - skip):
            ahead += islice(places, size + SPARES - len(ahead))
            yield Task(ahead[:size], epoch, ahead[size:])
            ahead = ahead[size:]

    def _check_bad(self, bad: int, batch: Batch) -> None:
        total = sum(rank.size(self.shards.samples) for rank in self.canonical_ranks)
        if batch.bad and (bad > self.max_bad * total or not batch.keys):
            last = batch.bad[-1]
            raise InputError(
                f"{bad} of {total} samples of this epoch are bad, more than --max-bad {self.max_bad:g}",
                where=f"{last.shard}, key {last.key}",
                why=last.reason,
                fix="mend or remove these images and write the shards again, or allow more with --max-bad",
            )


class _Feed:
    """A batch sampler that passes on whatever tasks it was given last."""

    def __init__(self) -> None:
        self.tasks: Iterable[Sequence[Task]] = ()

    def __iter__(self) -> Iterator[list[Task]]:
        for parts in self.tasks:
            yield list(parts)
