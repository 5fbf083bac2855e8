"""A caption and a negative side by side: the runs of words that differ, words that say nothing, crude stems."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from negmine.language.difference import changed_runs, tokens

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


def lower(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(word.lower() for word in words)


def is_word(token: str) -> bool:
    return _WORD.search(token) is not None


def differences(before: tuple[str, ...], after: tuple[str, ...]) -> tuple[Change, ...]:
    """Runs that differ, in order.

    >>> differences(("a", "red", "bus"), ("a", "blue", "bus"))
    (Change(old=('red',), new=('blue',)),)
    """
    return tuple(Change(before[i:j], after[k:m]) for i, j, k, m in changed_runs(before, after))


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
