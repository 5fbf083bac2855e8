"""How oddly a negative reads that puts in a noun, learnt from negatives that were read.

Some sixteen hundred negatives that replace or add a noun were read, good or odd. Boosted trees (Friedman, 2001) tell
the odd ones by how likely the new and the old noun are in each kind of slot, how common, how alike and of which class
they are, and by the n-grams. `scripts/build_oddness.py` fits them; they are packaged as arrays, and ask for nothing but
what is known of a candidate anyway.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Floats, Places, Scores
from negmine.language.lexicon import Lexicon, packaged_lexicon
from negmine.language.slot_table import SlotTable, plausibility
from negmine.language.slots import KINDS, kind_of
from negmine.stages.negatives.balance.pool import Pool

TREES: Final = "oddness.npz"

DEPTH: Final = 3

CLASSES: Final = ("person", "animal", "artifact", "food", "location", "plant", "object", "communication")
"""Broad classes that are told apart; all others are one."""

MOST: Final = 4.0
"""Log odds, at most, for or against."""


@dataclass(frozen=True)
class Trees:
    """Complete binary trees, whose leaves are added up.

    Attributes:
        feature: [T, 2 ** DEPTH - 1] int16, what each inner node asks for, by levels.
        threshold: [T, 2 ** DEPTH - 1] float32; what is not greater goes to the first child.
        leaf: [T, 2 ** DEPTH] float32, log odds.
        start: log odds before any tree.
    """

    feature: NDArray[np.int16]
    threshold: Scores
    leaf: Scores
    start: float

    def log_odds(self, features: Scores) -> Floats:
        """Of rows of features, [n]."""
        total, rows = np.full(len(features), self.start), np.arange(len(features))
        for feature, threshold, leaf in zip(self.feature, self.threshold, self.leaf, strict=True):
            node = np.zeros(len(features), dtype=np.int64)
            for _ in range(DEPTH):
                node = 2 * node + 1 + (features[rows, feature[node]] > threshold[node])
            total += leaf[node - len(feature)]
        return total


@lru_cache(maxsize=1)
def packaged_trees() -> Trees:
    """The trees that come with negmine."""
    packed = resources.files("negmine.stages.negatives").joinpath("data", TREES).read_bytes()
    with np.load(io.BytesIO(packed), allow_pickle=False) as arrays:
        return Trees(arrays["feature"], arrays["threshold"], arrays["leaf"], float(arrays["start"]))


def judge(table: SlotTable, pool: Pool, trees: Trees | None = None) -> Scores:
    """Log odds that each candidate that puts in a noun reads well, [C] float32, within `MOST`; 0 for all others."""
    place, rows = features(table, pool)
    found = np.zeros(len(pool), dtype=np.float32)
    odds = (trees or packaged_trees()).log_odds(rows)
    found[place] = np.clip(-odds, -MOST, MOST).round(3)  # so that the last bits of a sum decide nothing
    return found


def features(table: SlotTable, pool: Pool) -> tuple[Places, Scores]:
    """Candidates that put in a noun, [n], and what is known of each, [n, F] float32."""
    table.forget()
    chosen = np.flatnonzero(pool.place >= 0)
    bounds = np.flatnonzero(np.diff(pool.place[chosen], prepend=-2, append=-2))
    slots = _slots(pool)
    parts = [_of_place(table, pool, chosen[start:end], slots) for start, end in pairwise(bounds.tolist())]
    width = 2 * len(KINDS) + 6
    of_slots = np.concatenate(parts) if parts else np.zeros((0, width), dtype=np.float32)
    fits = plausibility(
        table,
        list(zip(slots, pool.place_fold.tolist(), strict=True)),
        pool.place,
        pool.noun[:, 0],
        pool.noun[:, 1],
    )
    classes = _classes(table, packaged_lexicon())[pool.noun[chosen]]
    others = (
        fits[chosen],
        pool.log_likelihood_gap[chosen],
        pool.pmi_gap[chosen],
        classes[:, 0] == classes[:, 1],
    )
    one_hot = (classes[:, :, None] == np.arange(len(CLASSES))).reshape(len(chosen), 2 * len(CLASSES))
    return chosen, np.column_stack([of_slots, one_hot, *others]).astype(np.float32)


def _slots(pool: Pool) -> list[tuple[int, ...]]:
    filled = pool.filled.tolist()
    return [tuple(filled[start:end]) for start, end in pairwise(pool.filled_starts.tolist())]


def _of_place(table: SlotTable, pool: Pool, here: Places, slots: list[tuple[int, ...]]) -> Floats:
    """What the slots of a place say of the nouns put in and taken out there, [n, 2 * kinds + 6]."""
    place = int(pool.place[here[0]])
    fold, nouns = int(pool.place_fold[place]), pool.noun[here].astype(np.int64)
    known, number = nouns >= 0, np.zeros(len(KINDS))
    sums = np.zeros((2, len(here), len(KINDS)))
    for slot in slots[place]:
        likely = table.likely(slot, fold)
        if likely is not None:
            number[kind_of(slot)] += 1
            sums[:, :, kind_of(slot)] += np.where(known, likely[nouns], 0).T
    means = sums / np.sqrt(np.maximum(number, 1))
    often = np.where(known, np.log1p(table.mentions[fold][nouns]), -1)
    alike = np.where(known.all(axis=1), table.nouns.alike[nouns[:, 0], nouns[:, 1]], 0)
    size = np.full(len(here), number.sum())
    return np.column_stack([*means, often, alike, ~known, size])


@lru_cache(maxsize=2)
def _classes_of(names: tuple[str, ...], lexicon: Lexicon) -> NDArray[np.int8]:
    number = {name: place for place, name in enumerate(CLASSES)}
    found = [number.get(lexicon.broad_class(name), len(CLASSES)) for name in names]
    return np.array([*found, len(CLASSES) + 1], dtype=np.int8)  # the last of nouns that are not known


def _classes(table: SlotTable, lexicon: Lexicon) -> NDArray[np.int8]:
    return _classes_of(table.nouns.names, lexicon)
