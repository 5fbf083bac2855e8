"""A reader of meanings that is fast enough for every candidate: what it has learnt from an encoder's readings.

It sees the words that a candidate takes out and puts in, two neighbours on either side, and the mean of the caption's
other content words, each as a vector. A layer of rectified sums turns these into how likely the text is; a candidate
is told by how much less likely it is than its caption. The first layer is linear, so that each word's share in it is
looked up in a table, and nothing is multiplied when candidates are read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from negmine.base.arrays import Hashes, Places, Scores, Vectors
from negmine.stages.negatives.balance.ngrams import is_content
from negmine.stages.negatives.balance.pool import Pool

PARTS: Final = 6
"""What a word can be to an edit: one of four neighbours, another word of the caption, or inside."""

REST, INSIDE = 4, 5

FARTHEST: Final = 6.0
"""Log weight that a reading changes, at most."""


@dataclass(frozen=True)
class Vocabulary:
    """Words as vectors.

    Attributes:
        word: [V] uint64, ascending hashes.
        vectors: [V + 1, D] float32; the last is that of all other words, 0.
    """

    word: Hashes
    vectors: Vectors

    def numbers(self, hashes: Hashes) -> Places:
        """Rows of hashed words."""
        return _rows(self.word, hashes)


def _rows(words: Hashes, hashes: Hashes) -> Places:
    """Places of hashes among these of words; of others the place behind the last."""
    place = np.minimum(np.searchsorted(words, hashes), len(words) - 1)
    return np.where(words[place] == hashes, place, len(words))


@dataclass(frozen=True)
class FastReader:
    """What is read by, for each fold; learnt from the others.

    Attributes:
        word: [V] uint64, ascending hashes of the vocabulary.
        shares: [FOLDS, PARTS, V + 1, H] float32, a word's share in the sums.
        bias: [FOLDS, H].
        weight: [FOLDS, H], of the rectified sums.
    """

    word: Hashes
    shares: Scores
    bias: Scores
    weight: Scores

    def gap(self, pool: Pool) -> Scores:
        """How much likelier each candidate's caption is than the candidate, [C] float32, within `FARTHEST`."""
        found = np.zeros(len(pool), dtype=np.float32)
        text, put = _rows(self.word, pool.text), _rows(self.word, pool.put)
        for fold in np.unique(pool.fold).tolist():
            here = np.flatnonzero(pool.fold == fold)
            *around, out, put_in = pieces(pool, here, text, put, self.shares[fold])
            common = sum(around) + self.bias[fold]
            likely = [
                np.einsum("nh,h->n", np.maximum(common + inside, 0), self.weight[fold]) for inside in (out, put_in)
            ]
            found[here] = likely[0] - likely[1]
        return np.clip(found, -FARTHEST, FARTHEST).round(3)  # so that the last bits of a sum decide nothing


def pieces(pool: Pool, chosen: Places, text: Places, put: Places, shares: Scores) -> list[Scores]:
    """What words give to candidates: four neighbours, the mean of the rest, what is taken out, what is put in.

    Args:
        chosen: [n], places of the candidates.
        text, put: numbers of the pool's words.
        shares: [PARTS, V + 1, H].

    Returns:
        Seven arrays [n, H] float32.
    """
    first, last = pool.window[chosen].astype(np.int64).T
    around = [shares[part][text[place]] for part, place in enumerate((first - 2, first - 1, last, last + 1))]
    content = is_content(pool.text)
    starts, ends = (pool.text_starts[pool.caption[chosen] + k] for k in (0, 1))
    rest = _sum(shares[REST][text] * content[:, None], (starts, first), (last, ends))
    number = _sum(content[:, None].astype(np.float32), (starts, first), (last, ends))
    out = _sum(shares[INSIDE][text], (first, last))
    begins, stops = pool.put_starts[chosen], pool.put_starts[chosen + 1]
    return [*around, rest / np.maximum(number, 1), out, _sum(shares[INSIDE][put], (begins, stops))]


def _sum(rows: Scores, *spans: tuple[Places, Places]) -> Scores:
    """Sum of the rows in spans, each given as columns of beginnings and ends, [n, H] float32."""
    sums = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0, dtype=np.float64)])
    found: Scores = sum(sums[ends] - sums[starts] for starts, ends in spans).astype(np.float32)
    return found
