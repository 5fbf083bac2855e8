"""One pass over all negatives: count captions and negatives, and draw the captions that are looked at closely."""

from __future__ import annotations

import hashlib
import heapq
from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from negmine.base.errors import InputError
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.read import Listed, Source

ALL: Final = "all"
"""Name of the row over all kinds."""
AT_LEAST: Final = (1, 2, 4)
LONGEST: Final = (10, 20, 50, 200)
"""Most words of a caption of each class of lengths; the last class has no end."""


@dataclass(frozen=True)
class Coverage:
    """Captions of the source, and the share of them, 0 to 1, with so many negatives or more."""

    captions: int
    negatives: int
    at_least: Mapping[str, float]


@dataclass(frozen=True)
class Sample:
    """What is looked at, and how much there is.

    Attributes:
        items: negatives of the drawn captions, each caption with all of its negatives, by key.
        coverage: by kind, and over all.
        by_length: captions, and those of them with a negative, by the captions' words: ``1-10``, ``11-20`` ...
        rows: rows of the source that were used.
        skipped: rows that could not be, by reason.
    """

    items: tuple[Judged, ...]
    coverage: Mapping[str, Coverage]
    by_length: Mapping[str, tuple[int, int]]
    rows: int
    skipped: Mapping[str, int]


def draw(source: Source, size: int, seed: int) -> Sample:
    """Draw whole captions until their negatives fill `size`: those whose seeded hash is smallest.

    So the draw depends neither on the order of the rows nor on what else is in the source. Memory: the sample, and
    8 bytes a negative and 9 a caption for the counts.

    Raises:
        InputError: there is no negative at all.
    """
    drawn = _Smallest(size)
    captions, lengths = array("Q"), array("B")
    by_kind: defaultdict[str, array[int]] = defaultdict(lambda: array("Q"))
    rows = 0
    for row in source.rows():
        rows += 1
        rank = _rank(row.key, seed)
        captions.append(rank)
        lengths.append(bisect_left(LONGEST, row.caption.count(" ") + 1))
        for _, kind in row.negatives:
            by_kind[kind].append(rank)
        drawn.add(rank, row)
    if not by_kind:
        raise InputError("there are no negatives here", where=source.name, fix="make some: negmine parse")
    kept = drawn.rows()
    siblings = _siblings(source, {row.image_id for row in kept})
    items = tuple(item for row in kept for item in _judged(row, siblings.get(row.image_id, ())))
    coverage = _coverage(captions, by_kind)
    return Sample(items, coverage, _by_length(captions, lengths, by_kind), rows, dict(source.skipped))


def _rank(key: str, seed: int) -> int:
    """The audit's own draw, as its folds are: nothing is shared with what is judged, and numbers in docs rest on it."""
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=8).digest(), "little")


class _Smallest:
    """Rows of the smallest ranks whose negatives together are at most `size`; rows of one caption stay together."""

    def __init__(self, size: int) -> None:
        self._size, self._held, self._number = size, 0, 0
        self._heap: list[tuple[int, int, Listed]] = []
        self._bound = 2**64

    def add(self, rank: int, row: Listed) -> None:
        if rank >= self._bound or not row.negatives:
            return
        self._number += 1  # ends ties, so that rows themselves are never compared
        heapq.heappush(self._heap, (-rank, self._number, row))
        self._held += len(row.negatives)
        while self._held > self._size:
            self._bound = -self._heap[0][0]
            while self._heap and -self._heap[0][0] == self._bound:
                self._held -= len(heapq.heappop(self._heap)[2].negatives)

    def rows(self) -> list[Listed]:
        return [row for _, _, row in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))]


def _siblings(source: Source, images: set[str]) -> dict[str, tuple[str, ...]]:
    """Captions of these images, in a second pass."""
    found: dict[str, set[str]] = {}
    for row in source.rows():
        if row.image_id in images:
            found.setdefault(row.image_id, set()).add(row.caption)
    return {image: tuple(sorted(captions)) for image, captions in found.items()}


def _judged(row: Listed, captions: Sequence[str]) -> list[Judged]:
    siblings = tuple(text for text in captions if text != row.caption)
    return [
        Judged(row.key, row.image_id, row.caption, text, kind, siblings, row.paraphrase) for text, kind in row.negatives
    ]


def _coverage(captions: Sequence[int], by_kind: Mapping[str, Sequence[int]]) -> dict[str, Coverage]:
    total = len(np.unique(np.asarray(captions, np.uint64)))
    groups = {kind: np.asarray(ranks, np.uint64) for kind, ranks in sorted(by_kind.items())}
    groups[ALL] = np.concatenate(list(groups.values()))
    return {kind: _covered(ranks, total) for kind, ranks in groups.items()}


def _by_length(
    captions: Sequence[int], lengths: Sequence[int], by_kind: Mapping[str, Sequence[int]]
) -> dict[str, tuple[int, int]]:
    """Captions, and those with a negative, of each class of lengths that there is."""
    ranks, first = np.unique(np.asarray(captions, np.uint64), return_index=True)
    covered = np.isin(ranks, np.concatenate([np.asarray(found, np.uint64) for found in by_kind.values()]))
    classes = np.asarray(lengths, np.uint8)[first]
    names = [f"{low + 1}-{high}" for low, high in pairwise((0, *LONGEST))] + [f"{LONGEST[-1] + 1}-"]
    counts = {name: (int((classes == n).sum()), int(covered[classes == n].sum())) for n, name in enumerate(names)}
    return {name: found for name, found in counts.items() if found[0]}


def _covered(ranks: np.ndarray[tuple[int], np.dtype[np.uint64]], captions: int) -> Coverage:
    _, counts = np.unique(ranks, return_counts=True)
    return Coverage(captions, len(ranks), {str(k): float((counts >= k).sum()) / captions for k in AT_LEAST})
