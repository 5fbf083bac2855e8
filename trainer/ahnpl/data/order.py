"""The order of an epoch: a pure function of counts, seed and epoch, cut into stretches that any process may read."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Final

from negmine.base.hashing import generator

SHARDS_ABREAST: Final = 16
"""Shards that a stretch reads at the same time: a shard holds all captions of its images, and those should not meet in
a batch more often than chance has it."""


@dataclass(frozen=True)
class CanonicalRank:
    """One of the equal stretches that each epoch is cut into: together they hold every sample once.

    Their number is the run's and not the machine's: any number of processes that divides it reads the same batches
    (streaming's ``num_canonical_nodes``).

    Attributes:
        number: from 0 to ``count - 1``.
    """

    number: int = 0
    count: int = 1

    def size(self, total: int) -> int:
        """How many of `total` items are in this stretch."""
        return self._bound(total, self.number + 1) - self._bound(total, self.number)

    def ranges(self, counts: Sequence[int], shards: Sequence[int]) -> dict[int, range]:
        """Positions of this stretch by shard, where the shards are laid end to end and cut."""
        first, last = (self._bound(sum(counts), number) for number in (self.number, self.number + 1))
        found, start = {}, 0
        for shard in shards:
            own = range(max(first - start, 0), min(last - start, counts[shard]))
            if own:
                found[shard] = own
            start += counts[shard]
        return found

    def _bound(self, total: int, number: int) -> int:
        return total * number // self.count


WHOLE = CanonicalRank()
"""All of an epoch."""


def epoch_order(
    counts: Sequence[int],
    seed: int,
    epoch: int,
    window: int,
    rank: CanonicalRank = WHOLE,
    abreast: int = SHARDS_ABREAST,
) -> Iterator[tuple[int, int]]:
    """(shard, position) of every sample, each once: shards shuffled, `abreast` of them read at a time, then a
    shuffle buffer of `window` samples.

    A pure function of its arguments: workers, and where a run was stopped, change nothing. Each rank has a stretch
    of the shuffled shards, so that a shard is read for one rank, or for two where a stretch ends in it.
    """
    chance = generator(seed, "order", epoch)
    buffer: list[tuple[int, int]] = []
    for place in _interleaved(_ranges(counts, chance, rank), chance, abreast):
        buffer.append(place)
        if len(buffer) > window:
            drawn = chance.randrange(len(buffer))
            buffer[drawn], buffer[-1] = buffer[-1], buffer[drawn]
            yield buffer.pop()
    chance.shuffle(buffer)
    yield from buffer


def _interleaved(ranges: Mapping[int, range], chance: random.Random, abreast: int) -> Iterator[tuple[int, int]]:
    """Shards in groups of nearly equal size. Each next sample is of a random shard of its group, a large one likelier,
    so that all of them end at about the same time."""
    shards = list(ranges)
    groups = -(-len(shards) // abreast)
    for number in range(groups):
        group = shards[len(shards) * number // groups : len(shards) * (number + 1) // groups]
        left = {shard: iter(ranges[shard]) for shard in group}
        while left:
            names, bounds = list(left), list(accumulate(len(ranges[shard]) for shard in left))
            draw = partial(chance.choices, names, cum_weights=bounds)
            while (position := next(left[shard := draw()[0]], None)) is not None:
                yield shard, position
            del left[shard]


def wanted_of(counts: Sequence[int], seed: int, epoch: int, rank: CanonicalRank) -> Callable[[int, int], bool]:
    """Whether a (shard, position) is in the `epoch_order` of a rank."""
    own = _ranges(counts, generator(seed, "order", epoch), rank)
    return lambda shard, position: position in own[shard]


def planned_order(
    counts: Sequence[int],
    batch: int,
    seed: int,
    epoch: int,
    window: int,
    rank: CanonicalRank = WHOLE,
    size: int | None = None,
) -> Iterator[tuple[int, int]]:
    """`epoch_order` of whole batches: each run of `batch` samples of a shard stays together, in its order.

    Args:
        rank: has its slice of every `size` samples (default: `batch`), so that the ranks together hold a planned batch.
    """
    runs = [count // batch for count in counts]
    wanted = wanted_of_planned(size or batch, rank)
    for shard, run in epoch_order(runs, seed, epoch, window // batch):
        for position in range(run * batch, (run + 1) * batch):
            if wanted(shard, position):
                yield shard, position


def wanted_of_planned(size: int, rank: CanonicalRank) -> Callable[[int, int], bool]:
    """Whether a (shard, position) is in the `planned_order` of a rank; `size` divides the planned batch."""
    own = range(size * rank.number // rank.count, size * (rank.number + 1) // rank.count)
    return lambda shard, position: position % size in own


def _ranges(counts: Sequence[int], chance: random.Random, rank: CanonicalRank) -> dict[int, range]:
    shards = list(range(len(counts)))
    chance.shuffle(shards)
    return rank.ranges(counts, shards)
