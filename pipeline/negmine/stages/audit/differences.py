"""Two texts side by side: tokens by regular expression, the runs of words that differ, crude stems."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from functools import lru_cache
from typing import Final

_TOKEN: Final = re.compile(r"<\w+>|\w+(?:[-'’]\w+)*|[^\w\s]")
_WORD: Final = re.compile(r"\w")


def wordlist(text: str) -> frozenset[str]:
    """The words of a text, parted by blanks, as a set."""
    return frozenset(text.split())


FUNCTION_WORDS: Final = frozenset(
    [
        "a",
        "about",
        "above",
        "across",
        "after",
        "against",
        "all",
        "along",
        "also",
        "am",
        "among",
        "an",
        "and",
        "another",
        "any",
        "are",
        "around",
        "as",
        "at",
        "away",
        "back",
        "be",
        "because",
        "been",
        "before",
        "behind",
        "being",
        "below",
        "beneath",
        "beside",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "did",
        "do",
        "does",
        "doing",
        "down",
        "during",
        "each",
        "either",
        "every",
        "few",
        "for",
        "from",
        "front",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "inside",
        "into",
        "is",
        "it",
        "its",
        "itself",
        "just",
        "many",
        "me",
        "more",
        "most",
        "much",
        "my",
        "near",
        "next",
        "no",
        "nor",
        "not",
        "of",
        "off",
        "on",
        "one",
        "onto",
        "opposite",
        "or",
        "other",
        "others",
        "our",
        "out",
        "outside",
        "over",
        "own",
        "past",
        "several",
        "she",
        "side",
        "so",
        "some",
        "such",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "together",
        "top",
        "toward",
        "towards",
        "two",
        "under",
        "underneath",
        "up",
        "upon",
        "us",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whose",
        "will",
        "with",
        "within",
        "without",
        "you",
        "your",
    ]
)
"""Words that say nothing about what an image shows by themselves."""


@dataclass(frozen=True, slots=True)
class Change:
    """A run of tokens of the caption and what stands there in the negative, lower-case; either may be empty."""

    old: tuple[str, ...]
    new: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """A caption and a negative of it, as the detectors see them.

    Attributes:
        key: of the caption.
        image_id: of the image; folds are grouped by it.
        siblings: other captions of the image.
        paraphrase: a true caption in other words (SugarCrepe++), if the source has one.
        before: tokens of the caption, in their own case.
        after: tokens of the negative.
        changes: where the two differ, ignoring case.
    """

    key: str
    image_id: str
    caption: str
    negative: str
    kind: str
    siblings: tuple[str, ...] = ()
    paraphrase: str | None = None
    before: tuple[str, ...] = field(init=False, repr=False)
    after: tuple[str, ...] = field(init=False, repr=False)
    changes: tuple[Change, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        before, after = tokens(self.caption), tokens(self.negative)
        object.__setattr__(self, "before", before)
        object.__setattr__(self, "after", after)
        object.__setattr__(self, "changes", differences(lower(before), lower(after)))

    @property
    def new_words(self) -> frozenset[str]:
        """Words of the negative, lower-case, that the caption does not have."""
        return frozenset(word for word in lower(self.after) if is_word(word)) - frozenset(lower(self.before))


def tokens(text: str) -> tuple[str, ...]:
    """Words (with inner hyphens and apostrophes) and single marks."""
    return tuple(_TOKEN.findall(text))


def places(text: str) -> tuple[tuple[int, int], ...]:
    """Where each of the `tokens` of a text begins and ends."""
    return tuple(found.span() for found in _TOKEN.finditer(text))


def lower(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)


def is_word(token: str) -> bool:
    return _WORD.search(token) is not None


def differences(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[Change, ...]:
    """Runs that differ, in order.

    >>> differences(("a", "red", "bus"), ("a", "blue", "bus"))
    (Change(old=('red',), new=('blue',)),)
    """
    return tuple(Change(before[i:j], after[k:m]) for i, j, k, m in edits(before, after))


def edits(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[tuple[int, int, int, int], ...]:
    """Where they differ, in order: ``before[i:j]`` has become ``after[k:m]``.

    >>> edits(("a", "red", "bus"), ("a", "blue", "bus"))
    ((1, 2, 1, 2),)
    """
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if len(old) * len(new) > _ALIGNED:
        return ((start, start + len(old), start, start + len(new)),)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    found = (places for what, *places in matcher.get_opcodes() if what != "equal")
    return tuple((i + start, j + start, k + start, m + start) for i, j, k, m in found)


_ALIGNED: Final = 100 * 100
"""Longer runs are one change as a whole: aligning them may take time that grows with their cube."""


def _shared(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(one), len(other)))


@lru_cache(maxsize=100_000)
def stem(word: str) -> str:
    """A lower-case word without plural or third-person ending; a crude key for comparing, not a lemma."""
    word = word.lower().removesuffix("'s").removesuffix("’s")
    if word in _IRREGULAR:
        return _IRREGULAR[word]
    if len(word) > 4 and word.endswith("ies"):
        return word[:-3] + "y"
    if len(word) > 4 and word.endswith(("sses", "shes", "ches", "xes", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


_IRREGULAR: Final = {
    "men": "man",
    "women": "woman",
    "children": "child",
    "people": "person",
    "feet": "foot",
    "teeth": "tooth",
    "geese": "goose",
    "mice": "mouse",
    "oxen": "ox",
    "knives": "knife",
    "wolves": "wolf",
    "leaves": "leaf",
    "shelves": "shelf",
    "loaves": "loaf",
    "calves": "calf",
    "halves": "half",
    "buses": "bus",
    "potatoes": "potato",
    "tomatoes": "tomato",
    "firemen": "fireman",
    "policemen": "policeman",
    "snowmen": "snowman",
}


def content_stems(text: str) -> frozenset[str]:
    """Stems of the words of a text that name something."""
    return frozenset(stem(word) for word in lower(tokens(text)) if is_word(word) and word not in FUNCTION_WORDS)
