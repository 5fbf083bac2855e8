"""Texts as hashed n-grams, and how a negative's differ from its caption's, in arrays."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Final

import numpy as np

SLOT_BITS: Final = 20
SLOTS: Final = 1 << SLOT_BITS
"""Features share this many slots; collisions only blur a weight."""

EDGE: Final = 0
"""Stands before and behind a text."""

_TOKEN = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[^\sa-z0-9]")
_KINDS: Final = {name: np.uint64(salt) for name, salt in
                 (("word", 0x9E3779B97F4A7C15), ("pair", 0xC2B2AE3D27D4EB4F), ("skip", 0x165667B19E3779F9),
                  ("triple", 0x27D4EB2F165667C5))}  # fmt: skip


def words(text: str) -> list[str]:
    """Lower-case words and marks, as an n-gram model sees them."""
    return _TOKEN.findall(text.lower())


@lru_cache(maxsize=1 << 18)
def word_hash(word: str) -> int:
    """A 64-bit hash of a word that is the same in every process."""
    return int.from_bytes(blake2b(word.encode(), digest_size=8).digest(), "big")


@dataclass(frozen=True)
class Rows:
    """Ragged rows of slots: row i is ``slots[starts[i]:starts[i + 1]]`` with values of the same places.

    Attributes:
        starts: [N + 1], int64.
        slots: [M], int32, 0 to `SLOTS` - 1.
        values: [M], int8: how often more (or less, if negative) the feature occurs in the negative.
    """

    starts: Any
    slots: Any
    values: Any

    def __len__(self) -> int:
        return len(self.starts) - 1

    def weigh(self, table: Any) -> Any:
        """Sum of ``table[slots] * values`` for each row, [N] float64."""
        products = np.concatenate([[0.0], np.cumsum(table[self.slots] * self.values)])
        return products[self.starts[1:]] - products[self.starts[:-1]]


def differences(pairs: Iterable[tuple[Sequence[str], Sequence[str]]]) -> Rows:
    """Features in which each (caption, negative) differs: words, pairs, pairs with a gap, triples, and the length.

    Only the window around the words that differ is looked at; what surrounds it is the same on both sides.
    """
    before, after = _Windows(), _Windows()
    longer = []
    for caption, negative in pairs:
        longer.append(len(negative) - len(caption))
        head, tail = _common(caption, negative)
        before.add(caption, head, tail)
        after.add(negative, head, tail)
    lengths = np.array(longer, dtype=np.int64)
    rows, slots, values = (np.concatenate(column) for column in zip(
        before.features(-1), after.features(1), _length_features(lengths), strict=True))  # fmt: skip
    return _reduced(rows, slots, values, len(longer))


def _common(one: Sequence[str], other: Sequence[str]) -> tuple[int, int]:
    """How many words both begin with, and how many both end with, without overlap."""
    size = min(len(one), len(other))
    head = next((i for i in range(size) if one[i] != other[i]), size)
    tail = next((i for i in range(size - head) if one[-1 - i] != other[-1 - i]), size - head)
    return head, tail


class _Windows:
    """The differing windows of many texts, with two words of context on each side, as one array of word hashes."""

    def __init__(self) -> None:
        self.hashes: list[int] = []
        self.sizes: list[int] = []

    def add(self, text: Sequence[str], head: int, tail: int) -> None:
        padded = [EDGE, EDGE, *map(word_hash, text), EDGE, EDGE]
        window = padded[head : len(padded) - tail]
        self.hashes += window
        self.sizes.append(len(window))

    def features(self, sign: int) -> tuple[Any, Any, Any]:
        """Row, slot and value of every feature of every window."""
        h = np.array(self.hashes, dtype=np.uint64)
        row = np.repeat(np.arange(len(self.sizes)), self.sizes)
        found = [(row, _slot(h, "word"))]
        found += [(row[1:][same], _slot(mixed, "pair")[same]) for same, mixed in [_joined(row, h, 1)]]
        found += [(row[2:][same], _slot(mixed, "skip")[same]) for same, mixed in [_joined(row, h, 2)]]
        triple = h[:-2] * np.uint64(3) + h[1:-1] * np.uint64(5) + h[2:] * np.uint64(7)
        same = row[:-2] == row[2:]
        found.append((row[2:][same], _slot(triple, "triple")[same]))
        rows, slots = (np.concatenate(column) for column in zip(*found, strict=True))
        return rows, slots, np.full(len(rows), sign, dtype=np.int64)


def _joined(row: Any, h: Any, gap: int) -> tuple[Any, Any]:
    return row[:-gap] == row[gap:], h[:-gap] * np.uint64(3) + h[gap:] * np.uint64(5)


def _length_features(lengths: Any) -> tuple[Any, Any, Any]:
    """One feature for each difference in the number of words, where there is one."""
    changed = np.flatnonzero(lengths)
    slots = _slot(np.abs(np.clip(lengths[changed], -9, 9)).astype(np.uint64) + np.uint64(1), "word")
    return changed, slots, np.sign(lengths[changed])


def _slot(hashes: Any, kind: str) -> Any:
    mixed = (hashes ^ _KINDS[kind]) * np.uint64(0xFF51AFD7ED558CCD)
    mixed ^= mixed >> np.uint64(32)
    return ((mixed * np.uint64(0xC4CEB9FE1A85EC53)) >> np.uint64(64 - SLOT_BITS)).astype(np.int64)


def _reduced(rows: Any, slots: Any, values: Any, size: int) -> Rows:
    """Sum the values of equal features of a row, and leave out those that cancel."""
    place = rows * SLOTS + slots
    order = np.argsort(place, kind="stable")
    place, values = place[order], values[order]
    firsts = np.flatnonzero(np.concatenate([[True], place[1:] != place[:-1]])) if len(place) else place
    sums = np.add.reduceat(values, firsts) if len(place) else values
    kept = sums != 0
    place, sums = place[firsts][kept], np.clip(sums[kept], -127, 127)
    starts = np.searchsorted(place, np.arange(size + 1, dtype=np.int64) * SLOTS)
    return Rows(starts, (place % SLOTS).astype(np.int32), sums.astype(np.int8))
