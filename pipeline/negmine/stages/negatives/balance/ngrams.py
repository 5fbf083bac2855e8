"""Captions as arrays of hashed words, negatives as windows of them that are rewritten, and what of n-grams differs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Floats, Hashes, Integers, Mask, Places, Starts
from negmine.base.hashing import hash64
from negmine.language.vocabulary import packaged_vocabulary

EDGE: Final = 0
"""Stands twice before and twice behind each text."""

CONTEXT: Final = 2
"""Words on either side of a window that a trigram model sees."""

_TOKEN = re.compile(r"[a-z0-9]+(?:['-][a-z0-9]+)*|[^\sa-z0-9]")


@lru_cache(maxsize=1 << 18)
def word_hash(word: str) -> int:
    """A 64-bit hash of a word, even for a content word and odd for a function word or a mark."""
    is_content = word[0].isalnum() and word not in packaged_vocabulary().function_words
    return hash64(word) & ~1 | (not is_content)


def split(text: str) -> list[str]:
    """The lower-case words and marks of a text."""
    return _TOKEN.findall(text.lower())


def hashed_words(text: str) -> list[int]:
    """`word_hash` of each of them."""
    return [word_hash(word) for word in split(text)]


@lru_cache(maxsize=1 << 16)
def _hashed_window(text: str) -> list[int]:
    """The same for the few words of a negative that replace others, which come again and again."""
    return hashed_words(text)


def is_content(hashes: Hashes) -> Mask:
    """Whether hashed words are content words; an `EDGE` is none."""
    found: Mask = ((hashes & np.uint64(1)) == 0) & (hashes != EDGE)
    return found


@dataclass(frozen=True)
class Texts:
    """Texts as one array of hashed words.

    Attributes:
        hashes: [T] uint64, of each text two `EDGE`, its lower-case words and marks, two `EDGE`.
        starts: [N + 1], where each text's edges begin.
        begins, ends: [T], ascending, the place of each word's first character and the one behind its last, counted
            through all texts: character c of text n is at n x `stride` + c.
    """

    hashes: Hashes
    starts: Starts
    begins: Places
    ends: Places
    stride: int


@dataclass(frozen=True)
class Edited:
    """C negatives, each as the window of its caption that it rewrites.

    Attributes:
        caption: [C], place of the caption among the texts.
        first, last: [C], places in `Texts.hashes` of the window's first word and of the word behind its last.
        words: [W] uint64, what the negatives have in place of their windows.
        starts: [C + 1], where each negative's words begin.
    """

    caption: Places
    first: Places
    last: Places
    words: Hashes
    starts: Starts

    def __len__(self) -> int:
        return len(self.caption)


def as_texts(captions: Sequence[str]) -> Texts:
    hashes, starts, begins, ends = list[int](), [0], list[int](), list[int]()
    stride = max(map(len, captions), default=0) + 3
    for number, caption in enumerate(captions):
        words, place = list(_TOKEN.finditer(caption.lower())), number * stride
        hashes += [EDGE, EDGE, *[word_hash(word[0]) for word in words], EDGE, EDGE]
        before, behind = [place - 1] * 2, [place + len(caption) + 1] * 2
        begins += [*before, *[place + word.start() for word in words], *behind]
        ends += [*before, *[place + word.end() for word in words], *behind]
        starts.append(len(hashes))
    first, begin, end = (np.array(column, dtype=np.int64) for column in (starts, begins, ends))
    return Texts(np.array(hashes, dtype=np.uint64), first, begin, end, stride)


def edited(texts: Texts, caption: Places, start: Places, end: Places, new: Sequence[str]) -> Edited:
    """Negatives as windows.

    Args:
        caption: [C], place of each negative's caption among the texts.
        start, end: [C], characters of the caption in place of which the negative reads `new` [C].
    """
    first = np.searchsorted(texts.ends, caption * texts.stride + start, side="right")
    last = np.searchsorted(texts.begins, caption * texts.stride + end, side="left")
    hashed = list(map(_hashed_window, new))
    bounds = np.cumsum([0, *map(len, hashed)], dtype=np.int64)
    words = np.fromiter(chain.from_iterable(hashed), dtype=np.uint64, count=bounds[-1])
    return Edited(caption, first, np.maximum(first, last), words, bounds)


def ragged(starts: Integers, sizes: Integers) -> tuple[Places, Places]:
    """Row and place of each element of rows that begin at `starts` in one array and have `sizes` elements."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(starts, sizes)


def summed(rows: Places, values: NDArray[np.floating] | NDArray[np.integer], size: int) -> Floats:
    """Sum of the values of each of `size` rows, [size]."""
    return np.bincount(rows, values, size).astype(np.float64, copy=False)


def before_and_after(texts: Texts, edited: Edited, context: int) -> tuple[tuple[Places, Hashes], tuple[Places, Hashes]]:
    """Rows and hashed words of the windows, with `context` words on either side: of the captions, of the negatives."""
    rows, places = ragged(edited.first - context, edited.last - edited.first + 2 * context)
    sizes = np.diff(edited.starts) + 2 * context
    after = np.zeros(int(sizes.sum()), dtype=np.uint64)
    begins = np.cumsum(sizes) - sizes
    for k in range(context):
        after[begins + k] = texts.hashes[edited.first - context + k]
        after[begins + sizes - context + k] = texts.hashes[edited.last + k]
    _, inner = ragged(begins + context, sizes - 2 * context)
    after[inner] = edited.words
    return (rows, texts.hashes[places]), (np.repeat(np.arange(len(sizes)), sizes), after)


def runs(rows: Places, hashes: Hashes, length: int) -> tuple[Places, tuple[Hashes, ...]]:
    """Each run of `length` words inside a row: its row, and its words as `length` arrays."""
    inside = rows[: len(rows) - length + 1] == rows[length - 1 :]
    return rows[length - 1 :][inside], tuple(hashes[k : len(hashes) - length + 1 + k][inside] for k in range(length))


def slot_of(kind: str, words: Sequence[Hashes], bits: int) -> Places:
    """Slot, 0 to 2**bits - 1, of features of one kind made of several words each."""
    mixed = np.full(len(words[0]), hash64(kind), dtype=np.uint64)
    for word in words:
        mixed = (mixed ^ word) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    return ((mixed * np.uint64(0xC4CEB9FE1A85EC53)) >> np.uint64(64 - bits)).astype(np.int64)
