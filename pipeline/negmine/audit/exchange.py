"""Negatives that say the same again: the two sides of a conjunction, or of a symmetric relation, exchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from negmine.audit.words import FUNCTION_WORDS

_DETERMINERS: Final = frozenset({"a", "the", "some", "his", "her", "their", "its", "this", "that", "these", "those"})
_CONJUNCTIONS: Final = frozenset({"and", "or", "&", "/"})
_SEPARATORS: Final = _CONJUNCTIONS | {","}
_RELATING: Final = frozenset(
    [
        "in",
        "on",
        "at",
        "by",
        "of",
        "with",
        "to",
        "for",
        "from",
        "under",
        "over",
        "near",
        "behind",
        "beside",
        "above",
        "below",
        "inside",
        "into",
        "onto",
        "through",
        "across",
    ]
)
_LONGEST_LIST: Final = 12
"""Tokens between two exchanged items of one list."""
_SYMMETRIC: Final = re.compile(
    r"((is|are|was|were|that|which|\w+ing|\w+ed|sits?|stands?|lays?|lies?) )*"
    r"((right|directly|very|just) )?"
    r"(next to|near|nearby|beside|alongside|alongside of|close to|adjacent to|opposite|opposite of|across from|"
    r"side by side with|together with|touching|facing|kissing|hugging|meeting)"
)


@dataclass(frozen=True, slots=True)
class Exchange:
    """``head one middle other tail`` became ``head other middle one tail``."""

    head: tuple[str, ...]
    one: tuple[str, ...]
    middle: tuple[str, ...]
    other: tuple[str, ...]
    tail: tuple[str, ...]


def exchanges(before: tuple[str, ...], after: tuple[str, ...]) -> Iterator[Exchange]:
    """Every way to read `after` as `before` with two runs exchanged; ``an`` counts as ``a``.

    Runs are as long as they can be: what stands before or after both of them alike belongs to them.
    """
    before, after = _one_article(before), _one_article(after)
    if len(before) != len(after) or before == after or sorted(before) != sorted(after):
        return
    start = next(i for i, (x, y) in enumerate(zip(before, after, strict=True)) if x != y)
    stop = len(before) - next(i for i in range(len(before)) if before[-1 - i] != after[-1 - i])
    window, mirrored = before[start:stop], after[start:stop]
    size = len(window)
    for i in range(1, size):
        if mirrored[size - i :] != window[:i]:
            continue
        for j in range(1, size - i + 1):
            if mirrored[:j] == window[size - j :] and window[i : size - j] == mirrored[j : size - i]:
                yield _widened(
                    Exchange(before[:start], window[:i], window[i : size - j], window[size - j :], before[stop:])
                )


def _one_article(words: tuple[str, ...]) -> tuple[str, ...]:
    return tuple("a" if word == "an" else word for word in words)


def _widened(found: Exchange) -> Exchange:
    head, one, middle, other, tail = found.head, found.one, found.middle, found.other, found.tail
    while head and middle and _alike(head[-1], middle[-1]):
        one, other = (head[-1], *one), (middle[-1], *other)
        head, middle = head[:-1], middle[:-1]
    if middle and middle[-1] in _DETERMINERS and (not head or head[-1] in FUNCTION_WORDS):
        other, middle = (middle[-1], *other), middle[:-1]  # "bikes next to the cars": only one side has an article
    while tail and middle and tail[0] == middle[0] and tail[0] not in _SEPARATORS:
        one, other = (*one, middle[0]), (*other, tail[0])
        middle, tail = middle[1:], tail[1:]
    return Exchange(head, one, middle, other, tail)


def _alike(one: str, other: str) -> bool:
    return (one == other and one not in _SEPARATORS) or (one in _DETERMINERS and other in _DETERMINERS)


def is_coordination_swap(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Whether two conjuncts, or two items of one list, were exchanged and nothing else (criterion C9)."""
    return any(_coordinates(found.middle) for found in exchanges(before, after))


def _coordinates(middle: tuple[str, ...]) -> bool:
    if not middle or middle[0] not in _SEPARATORS or len(middle) > _LONGEST_LIST:
        return False
    if set(middle) <= _SEPARATORS:
        return True
    bare = middle[:-1] if middle[-1] in _DETERMINERS else middle
    listed = len(bare) > 2 and bare[-1] in _SEPARATORS and "," in bare
    return listed and not any(word in _RELATING or word.endswith("ing") for word in bare)


def is_symmetric_swap(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Whether the two sides of a symmetric relation were exchanged and nothing else (criterion C10)."""
    return any(_SYMMETRIC.fullmatch(" ".join(found.middle)) is not None for found in exchanges(before, after))
