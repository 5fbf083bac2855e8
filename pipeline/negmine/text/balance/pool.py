"""The candidates of a part as arrays, and the choice among them by score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import IO, Any, Final

import numpy as np

from negmine.hashing import hash64
from negmine.text.balance.ngrams import Rows, differences, words
from negmine.text.select import MOST_PER_WORD, Candidate

FOLDS: Final = 5
"""Images are dealt into so many groups; a candidate is scored by what the other groups' images taught."""

MOST_PER_KIND: Final = 2
"""Negatives of one caption that may be of one kind, as long as it has others."""


@dataclass(frozen=True)
class Pool:
    """Candidates of a part, those of one caption in a run.

    Attributes:
        caption: [C], place of the caption in the part.
        fold: [C], 0 to `FOLDS` - 1, by the hash of the image.
        kind: [C], number of the rule.
        focus: [C, 2], the words it edits; the second is -1 if there is only one.
        first_choice: [C], whether it is a likely swap, of which a caption that admits one gets one.
        noise: [C], standard Gumbel, from the hash of key and negative.
        starts, slots, values: the features in which each differs from its caption, see `Rows`.
    """

    caption: Any
    fold: Any
    kind: Any
    focus: Any
    first_choice: Any
    noise: Any
    starts: Any
    slots: Any
    values: Any

    @property
    def rows(self) -> Rows:
        return Rows(self.starts, self.slots, self.values)

    def save(self, stream: IO[bytes]) -> int:
        """Write all arrays, uncompressed and without pickle. Returns the number of candidates."""
        for field in fields(self):
            np.save(stream, getattr(self, field.name), allow_pickle=False)
        return len(self.caption)

    @classmethod
    def load(cls, stream: IO[bytes]) -> Pool:
        return cls(*(np.load(stream, allow_pickle=False) for _ in fields(cls)))


def make_pool(
    rows: Sequence[tuple[str, str, str]], found: Sequence[Sequence[Candidate]], rules: Sequence[str], seed: int
) -> Pool:
    """The pool of a part.

    Args:
        rows: (key, image id, caption).
        found: candidates of each row.
        rules: their order gives the rules' numbers.
    """
    flat = [(place, candidate) for place, several in enumerate(found) for candidate in several]
    split = {place: words(rows[place][2]) for place in {place for place, _ in flat}}
    features = differences((split[place], words(candidate.negative)) for place, candidate in flat)
    number = {rule: index for index, rule in enumerate(rules)}
    return Pool(
        np.array([place for place, _ in flat], dtype=np.int32),
        np.array([hash64(f"fold {rows[place][1]}") % FOLDS for place, _ in flat], dtype=np.int8),
        np.array([number[candidate.rule] for _, candidate in flat], dtype=np.int8),
        np.array([(*candidate.focus, -1)[:2] for _, candidate in flat], dtype=np.int16).reshape(len(flat), 2),
        np.array([c.rule.startswith("swap") and c.oddity == 0 for _, c in flat], dtype=np.bool_),
        gumbel(hash64(f"{seed}\0{rows[place][0]}\0{candidate.negative}") for place, candidate in flat),
        features.starts,
        features.slots,
        features.values,
    )


def gumbel(hashes: Iterator[int]) -> Any:
    """Standard Gumbel noise from 64-bit hashes: adding it to log-weights and sorting draws without replacement."""
    uniform = (np.fromiter(hashes, dtype=np.uint64).astype(np.float64) + 0.5) / 2.0**64
    return -np.log(-np.log(np.clip(uniform, 1e-12, 1 - 1e-12)))


def choose(pool: Pool, score: Any, per_caption: int, floor: float) -> Any:
    """Which candidates become negatives, [N] places in the pool, in the order of captions and slots.

    The highest score (with noise) first; a likely swap leads; at most `MOST_PER_WORD` edit the same word, and at most
    `MOST_PER_KIND` are of one kind as long as other kinds are left. A candidate whose score without noise is below
    `floor` is not chosen: its words flow one way only, and no weight can hide that.
    """
    noisy = score + pool.noise
    order = np.lexsort((-noisy, ~pool.first_choice, pool.caption))
    order = order[score[order] >= floor]
    bounds = np.flatnonzero(np.diff(pool.caption[order], prepend=-1, append=-2))
    kinds, focus = pool.kind.tolist(), pool.focus.tolist()
    ranked = order.tolist()
    chosen = [
        place
        for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True)
        for place in _spread(ranked[start:end], kinds, focus, pool.first_choice, per_caption)
    ]
    return np.array(chosen, dtype=np.int64)


def _spread(ranked: list[int], kinds: list[int], focus: list[list[int]], first_choice: Any, count: int) -> list[int]:
    """The best of one caption's candidates, spread over words and kinds."""
    taken: list[int] = []
    edited, of_kind = Counter[int](), Counter[int]()
    for most_per_kind in (MOST_PER_KIND, count):
        for place in ranked:
            if len(taken) == count:
                return taken
            touched = [word for word in focus[place] if word >= 0]
            worn = max(edited[word] for word in touched) >= MOST_PER_WORD
            if worn or of_kind[kinds[place]] >= most_per_kind or place in taken:
                continue
            taken.append(place)
            edited.update(touched)
            of_kind[kinds[place]] += 1
    return taken
