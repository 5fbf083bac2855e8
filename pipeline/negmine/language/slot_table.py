"""How likely a noun is in the slots of a phrase, by the captions of other images.

Nouns are counted by the slots they fill. A slot that has been seen with few nouns says something of similar ones too:
nouns are alike if they fill the same slots (the cosine of their rows in a truncated singular value decomposition of the
matrix of positive pointwise mutual information), and a slot's counts are spread over nouns by the square of that
(exemplar-based selectional preference: Erk, 2007).

Which nouns are alike is packaged, learnt from captions of COCO; so are counts, to which those of a corpus at hand are
added. All are kept by fold of the images, so that no caption is judged by what its own image's captions say.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from importlib import resources
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Floats, Integers, Places, Places16, Scores
from negmine.base.folds import FOLDS
from negmine.language.slots import ANY, KIND_BITS, Slots, companion, kind_of, last_word

TABLE: Final = "slots.npz"

FEWEST: Final = 3
"""Nouns that a slot must have been seen with, in all, to say something; mentions that a noun must have."""

PRIOR: Final = 5.0
"""Mentions that the nouns' own frequencies count for in each slot."""

UNSEEN: Final = 0.3
"""Added to the mentions of a noun."""

NOT_KNOWN: Final = -1.0
"""Score of a noun that is too rare to be judged."""

OLD_NOUN: Final = 0.3
"""Share of the old noun's score that is taken off a new one's: in an odd caption an odd noun is less so."""

OLD_BOUNDS: Final = (-2.0, 4.0)
BOUNDS: Final = (-8.0, 8.0)

FLOOR: Final = -1.2
"""Plausibility below which a noun is no candidate."""

NOUN_BITS: Final = 13


@dataclass(frozen=True)
class SlotCounts:
    """How often nouns fill slots, sparse.

    Attributes:
        slot: [M] int64, ascending, then by noun.
        noun: [M] int16.
        times: [M, FOLDS] int32, in the captions of each fold.
    """

    slot: Places
    noun: Places16
    times: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.slot)


def counted(slot: Integers, noun: Integers, fold: Integers) -> SlotCounts:
    """Counts of single mentions, given as columns of equal length."""
    one = np.zeros((len(slot), FOLDS), dtype=np.int32)
    one[np.arange(len(slot)), fold] = 1
    return added([SlotCounts(np.asarray(slot, np.int64), np.asarray(noun, np.int16), one)])


def added(several: Iterable[SlotCounts]) -> SlotCounts:
    """The sum of counts."""
    parts = list(several)
    key = np.concatenate([(part.slot.astype(np.int64) << NOUN_BITS) | part.noun for part in parts])
    distinct, inverse = np.unique(key, return_inverse=True)
    times = np.zeros((len(distinct), FOLDS), dtype=np.int32)
    np.add.at(times, inverse, np.concatenate([part.times for part in parts]))
    return SlotCounts(distinct >> NOUN_BITS, (distinct & ((1 << NOUN_BITS) - 1)).astype(np.int16), times)


def without_rare(counts: SlotCounts) -> SlotCounts:
    """The counts of slots that say something."""
    _, inverse = np.unique(counts.slot, return_inverse=True)
    kept = np.bincount(inverse, counts.times.sum(axis=1))[inverse] >= FEWEST
    return SlotCounts(counts.slot[kept], counts.noun[kept], counts.times[kept])


@dataclass(frozen=True)
class Nouns:
    """The nouns that can be judged.

    Attributes:
        names: ascending.
        alike: [N, N] float32, how much a mention of one noun says of another, 0 to 1; 1 on the diagonal.
    """

    names: tuple[str, ...]
    alike: Scores

    @cached_property
    def _numbers(self) -> dict[str, int]:
        return {name: number for number, name in enumerate(self.names)}

    def number(self, noun: str) -> int:
        """The noun's number, that of its last word, or -1."""
        found = self._numbers.get(noun)
        return self._numbers.get(last_word(noun), -1) if found is None else found


def alike(vectors: NDArray[np.floating]) -> Scores:
    """Squared cosines of the vectors of nouns, [N, D]; those at an obtuse angle have nothing in common."""
    length = np.sqrt((vectors.astype(np.float64) ** 2).sum(axis=1, keepdims=True))
    unit = vectors / np.maximum(length, 1e-9)
    found = np.clip(np.einsum("id,jd->ij", unit, unit), 0, 1) ** 2
    np.fill_diagonal(found, 1.0)
    cosines: Scores = found.astype(np.float32)
    return cosines


@dataclass(frozen=True)
class SlotTable:
    """Judges nouns in slots.

    Attributes:
        nouns: those that can be judged.
        counts: of all captions; those of the fold of the one that is judged are left out.
        weights: [2 ** `KIND_BITS`], how much the slots of each kind say of a noun.
    """

    nouns: Nouns
    counts: SlotCounts
    weights: Floats
    _likely: dict[tuple[int, int], Scores | None] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def _slots(self) -> dict[int, tuple[int, int]]:
        """Where the counts of each slot begin and end."""
        slots, starts = np.unique(self.counts.slot, return_index=True)
        ends = [*starts[1:].tolist(), len(self.counts)]
        return {slot: (start, end) for slot, start, end in zip(slots.tolist(), starts.tolist(), ends, strict=True)}

    @cached_property
    def mentions(self) -> Floats:
        """[FOLDS + 1, N], how often captions of other folds name each noun; the last row is of all captions."""
        found = np.zeros((FOLDS + 1, len(self.nouns.names)))
        start, end = self._slots.get(ANY, (0, 0))
        times, noun = self.counts.times[start:end], self.counts.noun[start:end]
        for fold in range(FOLDS + 1):
            found[fold, noun] = _others(times, fold)
        return found

    @cached_property
    def _base(self) -> Floats:
        """[FOLDS + 1, N], the nouns' probabilities, spread over nouns that are alike."""
        own = self.mentions + UNSEEN
        base: Floats = (own / own.sum(axis=1, keepdims=True)) @ self.nouns.alike.astype(np.float64)
        return base

    def likely(self, slot: int, fold: int) -> Scores | None:
        """[N] float32, log P(noun | slot) / P(noun) by the captions of other folds; None where the slot is rare.

        Args:
            fold: `FOLDS` for all captions.
        """
        if slot == ANY or slot not in self._slots:
            return None
        key = slot, fold
        if key not in self._likely:
            self._likely[key] = self._judged(slot, fold)
        return self._likely[key]

    def forget(self) -> None:
        """Let go of what was asked for, which grows with the number of different slots."""
        self._likely.clear()

    def _judged(self, slot: int, fold: int) -> Scores | None:
        start, end = self._slots[slot]
        times, noun = _others(self.counts.times[start:end], fold), self.counts.noun[start:end]
        seen = times > 0
        if times.sum() < FEWEST:
            return None
        base = self._base[fold]
        spread = (self.nouns.alike[noun[seen]] * times[seen, None]).sum(axis=0)
        found = np.log((spread + PRIOR * base) / ((times.sum() + PRIOR) * base))
        rounded: Scores = np.round(found, 3).astype(np.float32)  # so that the last bits of a sum decide nothing
        return rounded

    def with_counts(self, counts: SlotCounts) -> SlotTable:
        """The same nouns by other counts."""
        return SlotTable(self.nouns, counts, self.weights)

    def scores(self, slots: Slots, fold: int = FOLDS) -> Floats | None:
        """[N], log odds of each noun in these slots; None if none is known.

        A weighted sum over the kinds of slots: of those of one kind their sum by the root of their number, since they
        say much the same.
        """
        known = [(kind_of(slot), self.likely(slot, fold)) for slot in slots if self.weights[kind_of(slot)]]
        known = [(kind, found) for kind, found in known if found is not None]
        if not known:
            return None
        kinds = np.array([kind for kind, _ in known])
        share = self.weights[kinds] / np.sqrt(np.bincount(kinds, minlength=1 << KIND_BITS)[kinds])
        odds: Floats = np.einsum("k,kn->n", share, [found for _, found in known])
        return odds

    def pmi(self, noun: str, slot: int) -> float:
        """Pointwise mutual information of a noun and a slot as counted, 0 where they were never seen together."""
        number, place = self.nouns.number(noun), self._slots.get(slot)
        if number < 0 or place is None:
            return 0.0
        times, nouns = self.counts.times[place[0] : place[1]].sum(axis=1), self.counts.noun[place[0] : place[1]]
        together = int(times[nouns == number].sum())
        expected = times.sum() * self.mentions[FOLDS, number] / max(self.mentions[FOLDS].sum(), 1)
        return float(np.log(together / expected)) if together >= 2 and expected > 0 else 0.0

    def companions(self, noun: str) -> Floats:
        """[N], how much likelier each noun is beside this one than at all, logs; 0 where they are seldom seen."""
        found = np.zeros(len(self.nouns.names))
        place = self._slots.get(companion(last_word(noun)))
        if place is not None:
            times, nouns = self.counts.times[place[0] : place[1]].sum(axis=1), self.counts.noun[place[0] : place[1]]
            share = self.mentions[FOLDS, nouns] / max(self.mentions[FOLDS].sum(), 1)
            often = times >= FEWEST
            found[nouns[often]] = np.log(times[often] / np.maximum(times.sum() * share[often], 1e-9))
        return found


def _others(times: NDArray[np.int32], fold: int) -> Places:
    """Mentions outside of a fold."""
    total: Places = times.sum(axis=1)
    return total if fold == FOLDS else total - times[:, fold]


def plausibility(
    table: SlotTable, places: Sequence[tuple[Slots, int]], place: Integers, noun: Integers, old: Integers
) -> Scores:
    """How much likelier each new noun is where it stands than it is at all, less a part of the old one's, [C] float32.

    Args:
        places: slots and fold of each place.
        place: [C], number of the candidate's place, ascending; -1 where no noun is put in, which scores 0.
        noun, old: [C], numbers of nouns, -1 where there is none or it is not known.
    """
    found = np.zeros(len(place), dtype=np.float32)
    chosen = np.flatnonzero(place >= 0)
    bounds = np.flatnonzero(np.diff(place[chosen], prepend=-2, append=-2))
    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        here = chosen[start:end]
        slots, fold = places[int(place[here[0]])]
        found[here] = _relative(table, table.scores(slots, fold), fold, noun[here], old[here])
    return found


def old_share(score: Floats | float) -> Floats:
    """What the old noun's score takes off a new one's."""
    return OLD_NOUN * np.clip(score, *OLD_BOUNDS)


def _relative(table: SlotTable, scores: Floats | None, fold: int, noun: Integers, old: Integers) -> Floats:
    if scores is None:
        return np.zeros(len(noun))
    mentions = table.mentions[fold]
    new = np.where((noun >= 0) & (mentions[noun] >= FEWEST), scores[noun], NOT_KNOWN)
    before = np.where((old >= 0) & (mentions[old] >= FEWEST), scores[old], 0.0)
    return np.clip(new - old_share(before), *BOUNDS)


@lru_cache(maxsize=1)
def packaged_slots() -> SlotTable:
    """The table that comes with negmine, of captions of COCO."""
    packed = resources.files("negmine.language").joinpath("data", TABLE).read_bytes()
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        names = tuple(arrays["names"].tobytes().decode().split("\n"))
        counts = SlotCounts(np.cumsum(arrays["slot_steps"]), arrays["noun"], arrays["times"].astype(np.int32))
        return SlotTable(Nouns(names, alike(arrays["vectors"])), counts, arrays["weights"])
