"""Batches of mutual hard neighbours: which pairs meet in a training step.

A batch has exactly B pairs of different images, no two of which the filters refused as negatives of each other, and
every pair is in at most one batch. A planner is a function and a line in `PLANNERS`: it says whom a pair brings along,
or which pairs belong together; filling, and exchanging until no pair is left over, is the same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from negmine.base.arrays import Mask, Places, Starts

_EXCHANGES: Final = 50
"""Full batches that are tried for an exchange."""

NOBODY: Final = np.empty(0, dtype=np.int64)


@dataclass(frozen=True)
class Lists:
    """One list of numbers for each of n things: those of i are ``values[starts[i]:starts[i + 1]]``."""

    values: Places
    starts: Starts

    @classmethod
    def of(cls, owners: Places, values: Places, size: int) -> Lists:
        """Lists from (owner, value) pairs; each keeps the order in which its values come."""
        order = np.argsort(owners, kind="stable")
        return cls(values[order], np.searchsorted(owners[order], np.arange(size + 1)))

    def __getitem__(self, at: int) -> Places:
        return self.values[self.starts[at] : self.starts[at + 1]]


@dataclass(frozen=True)
class Window:
    """The pairs that are planned together.

    Attributes:
        image: [n] number of each pair's image, ascending: the pairs of an image follow each other.
        kept: for each pair the pairs that may be its negatives, the hardest first; `selected` those drawn of them.
        conflicts: for each pair the pairs that must not meet it, both ways.
        labels: for each kind of group [n] which group a pair belongs to; see `PLANNERS`.
    """

    image: Places
    kept: Lists
    selected: Lists
    conflicts: Lists
    labels: Callable[[], Places]

    @cached_property
    def first_of_image(self) -> Starts:
        """[m + 1] the first pair of each image, and the number of pairs."""
        images = int(self.image[-1]) + 1 if len(self.image) else 0
        return np.searchsorted(self.image, np.arange(images + 1))


class Expansion:
    """Whom the pairs of a batch bring along: nobody."""

    def begin(self) -> None:
        """A new batch."""

    def joined(self, pair: int, *, seed: bool) -> None:
        """A pair is in the batch, as a seed or because it was brought along."""

    def next(self) -> int | None:
        """The pair that is wanted next; None if nobody is. Each is named once a batch."""
        return None


class ListedExpansion(Expansion):
    """Each seed brings a list of pairs."""

    def __init__(self, bring: Callable[[int], Places]) -> None:
        self._bring, self._waiting = bring, list[int]()

    def begin(self) -> None:
        self._waiting = []

    def joined(self, pair: int, *, seed: bool) -> None:
        if seed:
            self._waiting = self._bring(pair).tolist()[::-1]

    def next(self) -> int | None:
        return self._waiting.pop() if self._waiting else None


class VotedExpansion(Expansion):
    """The pair that is a candidate of most pairs of the batch."""

    def __init__(self, window: Window) -> None:
        self._kept, self._votes = window.kept, np.zeros(len(window.image), dtype=np.int32)

    def begin(self) -> None:
        self._votes[:] = 0

    def joined(self, pair: int, *, seed: bool) -> None:
        self._votes[self._kept[pair]] += 1

    def next(self) -> int | None:
        best = int(self._votes.argmax())
        if self._votes[best] <= 0:
            return None
        self._votes[best] = np.iinfo(np.int32).min // 2
        return best


Groups = Sequence[tuple[Places, Expansion]]
"""Pairs that fill batches of their own, and whom they bring along."""


def random(window: Window, batch: int, chance: np.random.Generator) -> Groups:
    """Anybody, as a shuffle would."""
    return [(np.arange(len(window.image)), Expansion())]


def neighbours(window: Window, batch: int, chance: np.random.Generator) -> Groups:
    """Each pair brings half a batch of its candidates: the nearest, and as many of the rest (Sample4Geo, #4)."""
    half = batch // 4

    def bring(pair: int) -> Places:
        near = window.kept[pair]
        return np.concatenate([near[:half], chance.permutation(near[half:])[:half]])

    return [(np.arange(len(window.image)), ListedExpansion(bring))]


def mutual(window: Window, batch: int, chance: np.random.Generator) -> Groups:
    """The pair joins that is a candidate of most of those who are there: harder than `neighbours`, and ours."""
    return [(np.arange(len(window.image)), VotedExpansion(window))]


def groups(window: Window, batch: int, chance: np.random.Generator) -> Groups:
    """Each pair brings the neighbours that were selected for it (GNM's flattened groups, #10)."""
    return [(np.arange(len(window.image)), ListedExpansion(lambda pair: window.selected[pair]))]


def labelled(window: Window, batch: int, chance: np.random.Generator) -> Groups:
    """All of one label: a cluster (MCL, #40) or a domain (#22)."""
    labels = window.labels()
    return [(np.flatnonzero(labels == label), Expansion()) for label in np.unique(labels)]


PLANNERS: Final[dict[str, Callable[[Window, int, np.random.Generator], Groups]]] = {
    "random": random,
    "neighbours": neighbours,
    "mutual": mutual,
    "groups": groups,
    "clusters": labelled,
    "domains": labelled,
}


@dataclass(frozen=True)
class BatchPlan:
    """Batches [b, B] of pairs, and the pairs that are in none."""

    batches: Places
    left: Places


def plan(window: Window, planner: str, batch: int, chance: np.random.Generator) -> BatchPlan:
    """Fill batches group by group, then with what the groups left over; the order of batches is shuffled."""
    made: list[list[int]] = []
    left: Places = NOBODY
    filler = _Filler(window, batch, chance)
    parts = PLANNERS[planner](window, batch, chance)
    for members, company in parts:
        filled, rest = filler.fill(members, company)
        made += filled
        left = np.concatenate([left, rest])
    if len(parts) > 1:
        filled, left = filler.fill(left, Expansion())
        made += filled
    order = chance.permutation(len(made))
    batches = np.array([made[at] for at in order], dtype=np.int64).reshape(-1, batch)
    return BatchPlan(batches, np.sort(left))


class _Filler:
    """Fills batches one after the other."""

    def __init__(self, window: Window, batch: int, chance: np.random.Generator) -> None:
        self._window, self._batch, self._chance = window, batch, chance
        self._used = np.ones(len(window.image), dtype=np.bool_)
        self._present = np.full(len(window.first_of_image), -1, dtype=np.int64)  # image to number of batch
        self._barred = np.full(len(window.image), -1, dtype=np.int64)  # pair to number of batch
        self._number = 0

    def fill(self, members: Places, company: Expansion) -> tuple[list[list[int]], Places]:
        """As many batches as these pairs give, and the pairs that are left."""
        self._used[members] = False
        queue, batches = self._chance.permutation(members), list[list[int]]()
        for remaining in range(len(members) // self._batch, 0, -1):
            made = self._one(queue, company, remaining)
            if len(made) < self._batch:
                self._complete(made, batches, queue)
            if len(made) < self._batch:
                self._used[made] = False
                break
            batches.append(made)
            queue = queue[~self._used[queue]]
        rest = members[~self._used[members]]
        self._used[members] = True
        return batches, rest

    def _one(self, queue: Places, company: Expansion, remaining: int) -> list[int]:
        """A batch; first of the images that must be in every batch to come, if all their pairs shall have a place."""
        self._number += 1
        made: list[int] = []
        company.begin()
        for pair in self._pressing(remaining):
            if self._add(made, pair):
                company.joined(pair, seed=False)
        for seed in queue:
            if len(made) == self._batch:
                break
            if self._add(made, int(seed)):
                company.joined(int(seed), seed=True)
                while len(made) < self._batch and (wanted := company.next()) is not None:
                    for one in (wanted, self._other(wanted)):
                        if self._add(made, one):
                            company.joined(one, seed=False)
                            break
        return made

    def _complete(self, made: list[int], batches: list[list[int]], queue: Places) -> None:
        """Fill a batch with pairs of full ones, where an unused pair that does not fit here takes their place."""
        for pair in queue[~self._used[queue]].tolist():
            for at in self._chance.permutation(len(batches))[:_EXCHANGES]:
                if len(made) == self._batch:
                    return
                clashing = self._clashes(pair, batches[at])
                if clashing.sum() > 1:
                    continue
                leaving = (place for place in range(self._batch) if clashing[place] or not clashing.any())
                place = next((p for p in leaving if not self._clashes(batches[at][p], made).any()), None)
                if place is not None:
                    made.append(batches[at][place])
                    batches[at][place] = pair
                    self._used[pair] = True
                    break

    def _clashes(self, pair: int, batch: Sequence[int]) -> Mask:
        """[n] which of a batch's pairs a pair must not meet."""
        members = np.asarray(batch, dtype=np.int64)
        same_image: Mask = self._window.image[members] == self._window.image[pair]
        return same_image | np.isin(members, self._window.conflicts[pair])

    def _pressing(self, remaining: int) -> Iterator[int]:
        """An unused pair of each image that has as many as there are batches to come."""
        bounds = self._window.first_of_image
        unused = np.add.reduceat(~self._used, bounds[:-1]) if len(bounds) > 1 else NOBODY
        for image in np.flatnonzero(unused >= remaining) if remaining > 1 else ():
            yield self._unused(int(image))

    def _unused(self, image: int) -> int:
        start, end = self._window.first_of_image[image : image + 2]
        return int(start + np.argmin(self._used[start:end]))

    def _other(self, pair: int) -> int:
        """A caption of the pair's image that is still to be had."""
        return self._unused(int(self._window.image[pair]))

    def _add(self, made: list[int], pair: int) -> bool:
        """Add a pair, unless it is used or must not meet one that is there."""
        image = self._window.image[pair]
        full = len(made) == self._batch
        if full or self._used[pair] or self._number in (self._present[image], self._barred[pair]):
            return False
        self._used[pair] = True
        self._present[image] = self._number
        self._barred[self._window.conflicts[pair]] = self._number
        made.append(pair)
        return True
