"""What a corpus says: how likely a word is where it stands, and with what else captions are about it.

Counts are hashed into tables of fixed size and kept by fold of the images, so that a caption is only ever judged by
what captions of other images say. They are counted by part and add up.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Floats, Hashes, Places
from negmine.base.folds import FOLDS
from negmine.stages.negatives.balance.ngrams import (
    CONTEXT,
    Edited,
    Texts,
    before_and_after,
    is_content,
    ragged,
    runs,
    slot_of,
    summed,
)

MOST_BITS: Final = 22
FEATURES_OF_A_CAPTION: Final = 64
"""About as many n-grams and pairs of words does a caption have; tables get as many slots, up to 2**`MOST_BITS`."""

MIXTURE: Final = (0.15, 0.35, 0.5)
"""Weights of word, bigram and trigram in the interpolated language model (Jelinek and Mercer, 1980)."""

VOCABULARY: Final = 1_000
"""Words that one has not seen, for the language model."""


@dataclass(frozen=True)
class Tally:
    """Sparse counts that add up.

    Attributes:
        place: [M], ascending.
        counts: [M, columns].
    """

    place: Places
    counts: Places


def tally(place: Places, *columns: Places | Floats) -> Tally:
    """Sum of each column's entries at equal places."""
    distinct, inverse = np.unique(place, return_inverse=True)
    sums = [np.bincount(inverse, column, len(distinct)).astype(np.int64) for column in columns]
    return Tally(distinct, np.stack(sums, axis=1))


def total(tallies: Iterable[Tally], size: int) -> Places:
    """Sum of tallies of one column, [size] int64."""
    found = np.zeros(size, dtype=np.int64)
    for one in tallies:
        found[one.place] += one.counts[:, 0]
    return found


def table_bits(captions: int) -> int:
    """Bits of a slot in the tables of so many captions."""
    return min(MOST_BITS, (FEATURES_OF_A_CAPTION * captions).bit_length())


def count(texts: Texts, folds: Places, bits: int) -> Tally:
    """N-grams, and pairs of content words that stand in one caption, of a part.

    Args:
        folds: [N], 0 to `FOLDS` - 1, of each text.
    """
    sizes = np.diff(texts.starts)
    rows = np.repeat(np.arange(len(sizes)), sizes)
    places = []
    for kind, length in (("word", 1), ("pair", 2), ("triple", 3)):
        inside, words = runs(rows, texts.hashes, length)
        places.append((folds[inside] << bits) + slot_of(kind, words, bits))
    content_rows, content = _distinct_content(rows, texts.hashes)
    places.append((folds[content_rows] << bits) + slot_of("said", (content,), bits))
    first, second = _pairs(content_rows)
    joint = np.minimum(content[first], content[second]), np.maximum(content[first], content[second])
    places.append((folds[content_rows[first]] << bits) + slot_of("together", joint, bits))
    place = np.concatenate(places)
    return tally(place, np.ones(len(place)))


def _distinct_content(rows: Places, hashes: Hashes) -> tuple[Places, Hashes]:
    """Row and hash of each text's content words, each once."""
    kept = is_content(hashes)
    rows, hashes = rows[kept], hashes[kept]
    order = np.lexsort((hashes, rows))
    rows, hashes = rows[order], hashes[order]
    first = np.ones(len(rows), dtype=bool)
    first[1:] = (rows[1:] != rows[:-1]) | (hashes[1:] != hashes[:-1])
    return rows[first], hashes[first]


def _pairs(rows: Places) -> tuple[Places, Places]:
    """Places of every two elements of one row, the earlier one first; `rows` ascend."""
    ends = np.searchsorted(rows, rows, side="right")
    places = np.arange(len(rows))
    first, second = ragged(places + 1, ends - places - 1)
    return first, second


@dataclass(frozen=True)
class Corpus:
    """What the other folds' captions say, for each fold.

    Attributes:
        counts: [FOLDS, 2**bits] int32.
        captions: [FOLDS], how many captions were counted.
        words: [FOLDS], how many words, edges included.
    """

    counts: NDArray[np.int32]
    captions: Places
    words: Places

    @property
    def bits(self) -> int:
        return int(self.counts.shape[1]).bit_length() - 1


def corpus_of(tallies: Iterable[Tally], captions: Places, words: Places, bits: int) -> Corpus:
    """The corpus out of the counts of its parts.

    Args:
        captions: [FOLDS], captions of each fold in all parts; `words` likewise.
    """
    own = total(tallies, FOLDS << bits).reshape(FOLDS, 1 << bits)
    counts, captions, words = (column.sum(0) - column for column in (own, captions, words))
    return Corpus(np.minimum(counts, np.iinfo(np.int32).max).astype(np.int32), captions, words)


def likelihood_gap(corpus: Corpus, texts: Texts, edited: Edited, folds: Places) -> Floats:
    """Log probability of each caption less that of its negative, [C] in nats, by a trigram model.

    Args:
        folds: [C], 0 to `FOLDS` - 1.
    """
    before, after = before_and_after(texts, edited, CONTEXT)
    sums = []
    for rows, hashes in (before, after):
        inside, words = runs(rows, hashes, 3)
        logs = _log_probability(corpus, folds[inside], words)
        sums.append(summed(inside, logs, len(edited)))
    return sums[0] - sums[1]


def _log_probability(corpus: Corpus, fold: Places, words: tuple[Hashes, ...]) -> Floats:
    u, v, w = words

    def seen(kind: str, *gram: Hashes) -> Floats:
        return corpus.counts[fold, slot_of(kind, gram, corpus.bits)].astype(np.float64)

    one = (seen("word", w) + 0.1) / (corpus.words[fold] + VOCABULARY)
    two = seen("pair", v, w) / np.maximum(seen("word", v), 1)
    three = seen("triple", u, v, w) / np.maximum(seen("pair", u, v), 1)
    return np.log(MIXTURE[0] * one + MIXTURE[1] * two + MIXTURE[2] * three)


def association_gap(corpus: Corpus, texts: Texts, edited: Edited, folds: Places) -> tuple[Floats, Floats]:
    """How much better the words taken out go with the rest of the caption than those put in.

    Pointwise mutual information of content words in captions, with the words outside the window: [C] summed over all
    pairs of words, and [C] their mean.
    """
    spread, mean = np.zeros(len(edited)), np.zeros(len(edited))
    sizes = np.diff(edited.starts)
    sides = ((1, edited.first, edited.last - edited.first, texts.hashes), (-1, edited.starts[:-1], sizes, edited.words))
    for sign, starts, lengths, source in sides:
        rows, places = ragged(starts, lengths)
        kept = is_content(source[places])
        rows, words = rows[kept], source[places[kept]]
        pair, other = _rest(texts, edited, rows)
        pmi = _pmi(corpus, folds[rows[pair]], words[pair], texts.hashes[other])
        number = np.bincount(rows[pair], minlength=len(edited))
        sums = summed(rows[pair], pmi, len(edited))
        spread += sign * sums
        mean += sign * sums / np.maximum(number, 1)
    return spread, mean


def _rest(texts: Texts, edited: Edited, rows: Places) -> tuple[Places, Places]:
    """For every word of a window (its row given) each content word of its caption outside the window: two places."""
    caption = edited.caption[rows]
    starts = texts.starts[caption]
    pair, place = ragged(starts, texts.starts[caption + 1] - starts)
    outside = (place < edited.first[rows][pair]) | (place >= edited.last[rows][pair])
    kept = outside & is_content(texts.hashes[place])
    return pair[kept], place[kept]


def _pmi(corpus: Corpus, fold: Places, one: Hashes, other: Hashes) -> Floats:
    joint = slot_of("together", (np.minimum(one, other), np.maximum(one, other)), corpus.bits)
    said = [corpus.counts[fold, slot_of("said", (word,), corpus.bits)].astype(np.float64) for word in (one, other)]
    expected = said[0] * said[1] / np.maximum(corpus.captions[fold], 1)
    return np.log((corpus.counts[fold, joint] + 0.5) / (expected + 0.5))
