"""The candidates of a part as arrays, and the choice among them by score."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Codes, Floats, Hashes, Mask, Places, Places16, Places32, Starts
from negmine.base.folds import fold_of
from negmine.base.hashing import hash64
from negmine.contract.records import Edit
from negmine.language.negations import RULE
from negmine.language.slot_table import packaged_slots
from negmine.language.slots import Slots
from negmine.stages.negatives.balance.corpus import Corpus, association_gap, likelihood_gap
from negmine.stages.negatives.balance.ngrams import Edited, Texts, as_texts, before_and_after, edited, runs, slot_of
from negmine.stages.negatives.candidates import Row
from negmine.stages.negatives.proposal import Filling
from negmine.stages.negatives.select import MOST_PER_WORD, SWAPS, Candidate

MOST_BITS: Final = 20
SLOTS: Final = 1 << MOST_BITS
"""Features share at most this many slots; collisions only blur a weight."""

MOST_PER_KIND: Final = 2
"""Of one caption's negatives that may be of one kind, as long as another kind has a candidate that flows both ways."""

MOST_IF_NEEDED: Final = 3
"""Of one caption's negatives that may edit the same word, where it has too few otherwise."""

ONE_SIDED: Final = 3.0
"""Weight of the log share kept among the refused."""

ANSWERED: Final = RULE
"""The rule whose negatives true texts of the same wording stand beside, so that their words tell nothing."""

TINY: Final = 1e-12

LAST: Final = 64
"""Words behind the 64th of a caption count as one, where it matters how often a word is edited."""


@dataclass(frozen=True)
class Pool:
    """Candidates of a part, those of one caption in a run.

    Attributes:
        caption: [C], place of the caption in the part.
        fold: [C], 0 to `FOLDS` - 1, by the hash of the image.
        kind: [C], number of the rule.
        focus: [C, 2], the words it edits; the second is -1 if there is only one.
        first_choice: [C], whether it is a swap, of which a caption that admits one gets one.
        gumbel: [C], standard Gumbel, from the hash of key and place among the caption's candidates.
        uniform: [C], uniform from 0 to 1, from the same hash.
        substitution: [C, 2] uint64, closed-class words taken out and put in, hashed with the rule; 0 where none.
        log_likelihood_gap: [C], log probability of the caption less that of the negative, nats.
        pmi_gap: [C], how much better the words taken out go with the rest of the caption, summed PMI.
        starts: [C + 1]; candidate c differs from its caption in the features from starts[c] to starts[c + 1].
        slots: [M], of each feature, 0 to `SLOTS` - 1.
        values: [M], how often more (or less, if negative) the feature occurs in the negative.
        place: [C], number of the place in which it puts a noun, ascending within a caption; -1 if it puts in none.
        noun: [C, 2] int16, numbers of the noun it puts in and of the one it takes out there; -1 where not known.
        filled_starts: [P + 1]; place p has the dependency slots from filled_starts[p] to filled_starts[p + 1].
        filled: [K] int64, hashed slots.
        place_fold: [P], of the caption.
        text: [T] uint64, hashed words of the captions, see `negmine.stages.negatives.balance.ngrams.Texts`.
        text_starts: [N + 1], where each caption's begin.
        window: [C, 2] int32, places in `text` of the first word that it rewrites and of the word behind the last.
        put_starts: [C + 1]; in place of them it has the words from put_starts[c] to put_starts[c + 1].
        put: [W] uint64, hashed words.
    """

    caption: Places32
    fold: Codes
    kind: Codes
    focus: Places16
    first_choice: Mask
    gumbel: Floats
    uniform: Floats
    substitution: Hashes
    log_likelihood_gap: Floats
    pmi_gap: Floats
    starts: Starts
    slots: Places32
    values: NDArray[np.int8]
    place: Places32
    noun: Places16
    filled_starts: Starts
    filled: NDArray[np.int64]
    place_fold: Codes
    text: Hashes
    text_starts: Starts
    window: Places32
    put_starts: Starts
    put: Hashes

    def __len__(self) -> int:
        return len(self.caption)


def feature_bits(corpus: Corpus) -> int:
    """Bits of a feature's slot: fewer where the corpus is small."""
    return min(MOST_BITS, corpus.bits)


def make_pool(
    rows: Sequence[Row], found: Sequence[Sequence[Candidate]], kinds: Sequence[str], corpus: Corpus, seed: int
) -> Pool:
    """The pool of a part.

    Args:
        rows: (key, image id, caption).
        found: candidates of each row.
        kinds: their order gives the kinds' numbers.
    """
    flat = [candidate for several in found for candidate in several]
    kind, negative, edits, focus, substitution, filling, source = _columns(flat)
    caption = np.repeat(np.arange(len(rows)), [len(several) for several in found])
    texts = as_texts([text for _, _, text in rows])
    windows = _windows(texts, _integers(len(text) for _, _, text in rows)[caption], caption, negative, edits)
    folds = np.array([fold_of(image) for _, image, _ in rows], dtype=np.int64)[caption]
    log_likelihood_gap = likelihood_gap(corpus, texts, windows, folds)
    association, mean_association = association_gap(corpus, texts, windows, folds)
    bits = feature_bits(corpus)
    signs = [
        _mirrored(log_likelihood_gap, GAPS, _lengths(rows, negative, caption), bits),
        _mirrored(log_likelihood_gap, FEW_GAPS, ((association, 1.5, 3), (mean_association, 0.7, 2)), bits),
    ]
    answered = np.array([name == ANSWERED and not of for name, of in zip(kind, source, strict=True)], dtype=np.bool_)
    columns = _of_rows(~answered, [*_ngrams(texts, windows, bits), *signs])
    starts, slots, values = _reduced(len(flat), columns)
    number = {name: index for index, name in enumerate(kinds)}
    hashes = _hashes([hash64(f"{seed}\0{key}") for key, _, _ in rows], caption)
    return Pool(
        caption.astype(np.int32),
        folds.astype(np.int8),
        np.array([number[name] for name in kind], dtype=np.int8),
        np.array([[words[0] for words in focus], [words[1] if len(words) > 1 else -1 for words in focus]], np.int16).T,
        np.array([name.startswith(SWAPS) for name in kind], dtype=np.bool_),
        -np.log(-np.log(_uniform(hashes))),
        _uniform(hashes * np.uint64(0x9E3779B97F4A7C15) ^ (hashes >> np.uint64(29))),
        np.array(list(map(_substitution, kind, substitution)), dtype=np.uint64).reshape(-1, 2),
        log_likelihood_gap,
        association,
        starts,
        slots,
        values,
        *_fillings(filling, folds),
        texts.hashes,
        texts.starts,
        np.stack([windows.first, windows.last], axis=1).astype(np.int32),
        windows.starts,
        windows.words,
    )


def _fillings(
    fillings: Sequence[Filling | None], folds: Places
) -> tuple[Places32, Places16, Starts, NDArray[np.int64], Codes]:
    """Place and nouns of each candidate; starts, slots and folds of the places.

    Candidates of one place follow each other, and share the tuple of its slots.
    """
    number, place, noun = packaged_slots().nouns.number, list[int](), list[tuple[int, int]]()
    places, fold_of_place = list[Slots](), list[int]()
    for filling, fold in zip(fillings, folds.tolist(), strict=True):
        if filling is None:
            place.append(-1)
            noun.append((-1, -1))
            continue
        if not places or places[-1] is not filling.slots:
            places.append(filling.slots)
            fold_of_place.append(fold)
        place.append(len(places) - 1)
        noun.append((number(filling.new), number(filling.old) if filling.old else -1))
    starts = np.cumsum([0, *map(len, places)], dtype=np.int64)
    filled = np.fromiter(chain.from_iterable(places), dtype=np.int64, count=starts[-1])
    nouns = np.array(noun, dtype=np.int16).reshape(-1, 2)
    return np.array(place, dtype=np.int32), nouns, starts, filled, np.array(fold_of_place, dtype=np.int8)


def _columns(flat: Sequence[Candidate]) -> Sequence[Sequence[Any]]:  # each of its field's own type
    """The fields of all candidates, each in a sequence of its own."""
    return list(zip(*flat, strict=True)) or [()] * len(Candidate._fields)


def _windows(
    texts: Texts, length: Places, caption: Places, negative: Sequence[str], edits: Sequence[Sequence[Edit]]
) -> Edited:
    """What each candidate rewrites of its caption, of `length` characters, from its first edit to its last."""
    start, end = _integers(several[0].start for several in edits), _integers(several[-1].end for several in edits)
    end_of_new = _integers(map(len, negative)) + end - length
    spans = zip(negative, start.tolist(), end_of_new.tolist(), strict=True)
    return edited(texts, caption, start, end, [text[first:last] for text, first, last in spans])


def _integers(numbers: Iterable[int]) -> Places:
    return np.fromiter(numbers, dtype=np.int64)


def _hashes(of_rows: Sequence[int], caption: Places) -> Hashes:
    """A hash of each candidate: of its row's and of its place among the row's candidates."""
    place = np.arange(len(caption)) - np.searchsorted(caption, caption)
    mixed: Hashes = np.array(of_rows, dtype=np.uint64)[caption] + place.astype(np.uint64) * np.uint64(
        0x9E3779B97F4A7C15
    )
    for factor in (0xBF58476D1CE4E5B9, 0x94D049BB133111EB):  # the finalizer of SplitMix64
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(factor)
    mixed ^= mixed >> np.uint64(31)
    return mixed


def _uniform(hashes: Hashes) -> Floats:
    return np.clip((hashes.astype(np.float64) + 0.5) / 2.0**64, 1e-12, 1 - 1e-12)


@lru_cache(maxsize=1 << 14)
def _substitution(rule: str, words: tuple[str, str] | tuple[()]) -> tuple[int, int]:
    if not words:
        return 0, 0
    old, new = words
    return hash64(f"{rule}\0{old}\0{new}"), hash64(f"{rule}\0{new}\0{old}")


# --- features --------------------------------------------------------------------------------------------------------

Columns = tuple[Places, Places, Places]
"""Row, slot and value of features."""

Step = tuple[Places | Floats, float, int]
"""Values [C] of a difference, the width of a step, and the most steps that are told apart on either side."""

GAPS: Final = (0.5, 1.5, 3.0, 5.0, 8.0, 12.0)
"""Bounds in nats between which sizes of the likelihood gap are told apart, beside the length."""

FEW_GAPS: Final = (1.0, 3.0, 6.0, 10.0)
"""The same beside the association, which has more cells of its own."""


def _ngrams(texts: Texts, edited: Edited, bits: int) -> list[Columns]:
    """Words, and pairs of neighbours, that one text has and the other has not."""
    found = []
    for sign, (rows, hashes) in zip((-1, 1), before_and_after(texts, edited, 1), strict=True):
        for kind, length in (("word", 1), ("pair", 2)):
            inside, words = runs(rows, hashes, length)
            found.append((inside, slot_of(kind, words, bits), np.full(len(inside), sign)))
    return found


def _spaces(text: str) -> int:
    return text.count(" ")


def _lengths(rows: Sequence[Row], negative: Sequence[str], caption: Places) -> tuple[Step, ...]:
    """How many characters, and how many words, each negative is shorter."""
    characters, words = (
        _integers(map(size, (text for _, _, text in rows)))[caption] - _integers(map(size, negative))
        for size in (len, _spaces)
    )
    return (characters, 2.5, 2), (words, 1.0, 1)


def _mirrored(log_likelihood_gap: Floats, bounds: Sequence[float], others: Sequence[Step], bits: int) -> Columns:
    """One feature a candidate for the cell that its differences fall into, the same for all turned round.

    A pair of texts and the same pair turned round share a cell and differ in the sign, so a balance of signs is a
    distribution in which no reader of these differences can tell the caption from the negative.

    Args:
        others: further differences.
    """
    sign = np.sign(log_likelihood_gap)
    sign = np.where(sign == 0, np.sign(others[0][0]), sign).astype(np.int64)
    cell = np.digitize(np.abs(log_likelihood_gap), bounds)
    for values, step, most in others:
        steps = np.clip(np.rint(values * sign / step), -most, most).astype(np.int64) + most
        cell = cell * (2 * most + 1) + steps
    kind = f"mirrored {tuple(bounds)}"
    return np.arange(len(log_likelihood_gap)), slot_of(kind, (cell.astype(np.uint64),), bits), -sign


def _reduced(size: int, columns: Iterable[Columns]) -> tuple[Starts, Places32, NDArray[np.int8]]:
    """Starts, slots and values of `size` rows: values of equal features are summed, those that cancel are left out."""
    rows, slots, values = (np.concatenate(column) for column in zip(*columns, strict=True))
    place, inverse = np.unique(rows * SLOTS + slots, return_inverse=True)
    sums = np.bincount(inverse, values, len(place))
    place, sums = place[sums != 0], sums[sums != 0]
    starts = np.searchsorted(place, np.arange(size + 1, dtype=np.int64) * SLOTS)
    return starts, (place % SLOTS).astype(np.int32), np.clip(sums, -127, 127).astype(np.int8)


def _of_rows(kept: Mask, columns: Iterable[Columns]) -> list[Columns]:
    """The features of some candidates."""
    return [(rows[kept[rows]], slots[kept[rows]], values[kept[rows]]) for rows, slots, values in columns]


# --- choice ----------------------------------------------------------------------------------------------------------


class Limits(NamedTuple):
    """How many of a caption's negatives may be of one kind, and edit one word, in one pass over the candidates."""

    per_kind: int
    per_word: int
    also_refused: bool = False


def choose(pool: Pool, score: Floats, acceptance: Floats, per_caption: int, *, complete: bool = True) -> Places:
    """Which candidates become negatives: places in the pool, by caption, the first chosen first.

    The highest score with noise comes first, a swap before all. Each kind is served before any is served twice,
    at most `MOST_PER_KIND` are of one kind while another kind is left, and at most `MOST_PER_WORD` edit the same word
    while another word is left that needs no third of a kind, `MOST_IF_NEEDED` after that. What is refused serves only a
    caption that it makes complete, or that has nothing else, the least one-sided substitutions first. What has no
    acceptance at all serves only a caption that has nothing else.

    Args:
        score: [C], log weight; -inf for what never serves.
        acceptance: [C], 0 to 1, share of the candidates like this one that are not refused.
        complete: whether what is refused serves at all.
    """
    refused = pool.uniform > acceptance
    possible = np.flatnonzero((acceptance > 0) & (score > -np.inf))
    noisy = score + pool.gumbel + np.where(refused, ONE_SIDED * np.log(np.maximum(acceptance, TINY)), 0.0)
    used, chosen = _Used(pool), list[Places]()
    by_score = possible[_by_caption_and_score(pool.caption[possible], noisy[possible])]
    passes = (
        Limits(1, MOST_PER_WORD),
        Limits(MOST_PER_KIND, MOST_PER_WORD),
        Limits(MOST_PER_KIND, MOST_IF_NEEDED),
        Limits(per_caption, MOST_PER_WORD),
        Limits(per_caption, MOST_IF_NEEDED),
        Limits(per_caption, MOST_IF_NEEDED, also_refused=True),
    )
    for limits in passes:
        left = by_score if limits.also_refused else by_score[~refused[by_score]]
        for _ in range(per_caption):
            left = used.admitted(left, per_caption, limits)  # what is not admitted now never is again
            best = _first_of_each(left, pool.caption)
            leads = left[pool.first_choice[left] & (used.number[pool.caption[left]] == 0)]
            if len(leads):
                leads = _first_of_each(leads, pool.caption)
                best = np.concatenate([leads, best[~np.isin(pool.caption[best], pool.caption[leads])]])
            used.take(best)
            chosen.append(best)
    last = np.flatnonzero((used.number[pool.caption] == 0) & (acceptance == 0) & (score > -np.inf))
    last = last[_by_caption_and_score(pool.caption[last], score[last])]
    chosen.append(_first_of_each(last, pool.caption))
    found: Places = np.concatenate(chosen)
    found = found[np.argsort(pool.caption[found], kind="stable")]
    is_first = np.diff(pool.caption[found], prepend=-1) > 0
    needed = is_first | (used.number[pool.caption[found]] == per_caption)
    kept: Mask = ~refused[found] | (needed & complete)
    return found[kept]


def first_of_each_kind(pool: Pool, score: Floats, acceptance: Floats, most: int) -> Places:
    """Up to `most` candidates of each caption that are not refused, places in the pool, ascending.

    The first of each kind by score with noise come first, then the second, and so on.
    """
    kept = np.flatnonzero(pool.uniform <= acceptance)
    caption, noisy = pool.caption[kept].astype(np.int64), (score + pool.gumbel)[kept]
    group = caption * (1 + int(pool.kind.max(initial=0))) + pool.kind[kept]
    order = _by_caption_and_score(group, noisy)
    rank = np.arange(len(order)) - np.searchsorted(group[order], group[order])
    of_caption = np.lexsort((-noisy[order], rank, caption[order]))
    taken = order[of_caption]
    number = np.arange(len(taken)) - np.searchsorted(caption[taken], caption[taken])
    return np.sort(kept[taken[number < most]])


def _by_caption_and_score(caption: Places32 | Places, score: Floats) -> Places:
    """Places by caption, the highest score first: two sorts of one key each take a third of the time of `lexsort`."""
    order = np.argsort(-score)
    rank = np.empty(len(order), dtype=np.int64)
    rank[order] = np.arange(len(order))
    return np.argsort(caption.astype(np.int64) * len(order) + rank)


def _first_of_each(places: Places, caption: Places32) -> Places:
    """The first place of each run of equal captions."""
    return places[np.flatnonzero(np.diff(caption[places], prepend=-1))]


class _Used:
    """What the captions of a pool have been given so far."""

    def __init__(self, pool: Pool) -> None:
        captions = int(pool.caption[-1]) + 1 if len(pool) else 0
        self._pool = pool
        self._words = np.where(pool.focus < 0, LAST, np.minimum(pool.focus, LAST - 1))  # column LAST takes no count
        self._free = np.ones(len(pool), dtype=bool)
        self._edited = np.zeros((captions, LAST + 1), dtype=np.int8)
        self._kinds = np.zeros((captions, 1 + int(pool.kind.max(initial=0))), dtype=np.int8)
        self.number = np.zeros(captions, dtype=np.int64)

    def admitted(self, places: Places, per_caption: int, limits: Limits) -> Places:
        """Those of these candidates that their captions can still take."""
        places = places[self._free[places] & (self.number[self._pool.caption[places]] < per_caption)]
        caption, words = self._pool.caption[places], self._words[places]
        fresh = (self._edited[caption, words[:, 0]] < limits.per_word) & (
            self._edited[caption, words[:, 1]] < limits.per_word
        )
        return places[fresh & (self._kinds[caption, self._pool.kind[places]] < limits.per_kind)]

    def take(self, places: Places) -> None:
        """Give each of these candidates, of different captions, to its caption."""
        caption = self._pool.caption[places]
        self._free[places] = False
        self.number[caption] += 1
        self._kinds[caption, self._pool.kind[places]] += 1
        for column in (0, 1):
            self._edited[caption, self._words[places, column]] += 1
        self._edited[:, LAST] = 0
