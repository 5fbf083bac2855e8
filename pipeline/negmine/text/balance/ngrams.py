"""Captions as arrays of hashed words, negatives as windows of them that are rewritten, and what of n-grams differs."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np

from negmine.hashing import hash64
from negmine.text.vocabulary import packaged_vocabulary

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


def hashed_words(text: str) -> list[int]:
    """`word_hash` of each lower-case word and mark of a text."""
    return [word_hash(word) for word in _TOKEN.findall(text.lower())]


@lru_cache(maxsize=1 << 16)
def _hashed_window(text: str) -> list[int]:
    """The same for the few words of a negative that replace others, which come again and again."""
    return hashed_words(text)


def is_content(hashes: Any) -> Any:
    """Whether hashed words are content words; an `EDGE` is none."""
    return ((hashes & np.uint64(1)) == 0) & (hashes != EDGE)


@dataclass(frozen=True)
class Texts:
    """Texts as one array of hashed words.

    Attributes:
        hashes: [T] uint64, of each text two `EDGE`, its lower-case words and marks, two `EDGE`.
        starts: [N + 1], where each text's edges begin.
    """

    hashes: Any
    starts: Any


@dataclass(frozen=True)
class Edited:
    """C negatives, each as the window of its caption that it rewrites.

    Attributes:
        caption: [C], place of the caption among the texts.
        first, last: [C], places in `Texts.hashes` of the window's first word and of the word behind its last.
        words: [W] uint64, what the negatives have in place of their windows.
        starts: [C + 1], where each negative's words begin.
    """

    caption: Any
    first: Any
    last: Any
    words: Any
    starts: Any

    def __len__(self) -> int:
        return len(self.caption)


def as_texts(captions: Sequence[str]) -> Texts:
    hashes, starts = list[int](), [0]
    for caption in captions:
        hashes += [EDGE, EDGE, *hashed_words(caption), EDGE, EDGE]
        starts.append(len(hashes))
    return Texts(np.array(hashes, dtype=np.uint64), np.array(starts, dtype=np.int64))


class Windows:
    """Collects negatives of captions as windows.

    Args:
        captions: as given to `as_texts`.
    """

    def __init__(self, captions: Sequence[str], texts: Texts) -> None:
        self._captions, self._starts = captions, texts.starts.tolist()
        self._at, self._begins, self._ends = -1, list[int](), list[int]()
        self._caption, self._first, self._last = list[int](), list[int](), list[int]()
        self._words, self._bounds = list[int](), [0]

    def add(self, caption: int, start: int, end: int, new: str) -> None:
        """A negative of a caption that reads `new` in place of its characters from `start` to `end`."""
        if caption != self._at:
            spans = [match.span() for match in _TOKEN.finditer(self._captions[caption].lower())]
            self._begins, self._ends = [span[0] for span in spans], [span[1] for span in spans]
            self._at = caption
        offset = self._starts[caption] + CONTEXT
        self._caption.append(caption)
        self._first.append(offset + bisect_right(self._ends, start))
        self._last.append(offset + bisect_left(self._begins, end))
        self._words += _hashed_window(new)
        self._bounds.append(len(self._words))

    def edited(self) -> Edited:
        columns = (self._caption, self._first, self._last)
        caption, first, last = (np.array(column, dtype=np.int64) for column in columns)
        words = np.array(self._words, dtype=np.uint64)
        return Edited(caption, first, np.maximum(first, last), words, np.array(self._bounds, dtype=np.int64))


def ragged(starts: Any, sizes: Any) -> tuple[Any, Any]:
    """Row and place of each element of rows that begin at `starts` in one array and have `sizes` elements."""
    rows = np.repeat(np.arange(len(sizes)), sizes)
    return rows, np.arange(len(rows)) - np.repeat(np.cumsum(sizes) - sizes, sizes) + np.repeat(starts, sizes)


def before_and_after(texts: Texts, edited: Edited, context: int) -> tuple[tuple[Any, Any], tuple[Any, Any]]:
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


def runs(rows: Any, hashes: Any, length: int) -> tuple[Any, tuple[Any, ...]]:
    """Each run of `length` words inside a row: its row, and its words as `length` arrays."""
    inside = rows[: len(rows) - length + 1] == rows[length - 1 :]
    return rows[length - 1 :][inside], tuple(
        hashes[k : len(hashes) - length + 1 + k][inside] for k in range(length)
    )  # fmt: skip


def slot_of(kind: str, words: Sequence[Any], bits: int) -> Any:
    """Slot, 0 to 2**bits - 1, of features of one kind made of several words each."""
    mixed = np.full(len(words[0]), hash64(kind), dtype=np.uint64)
    for word in words:
        mixed = (mixed ^ word) * np.uint64(0xFF51AFD7ED558CCD)
        mixed ^= mixed >> np.uint64(32)
    return ((mixed * np.uint64(0xC4CEB9FE1A85EC53)) >> np.uint64(64 - bits)).astype(np.int64)
