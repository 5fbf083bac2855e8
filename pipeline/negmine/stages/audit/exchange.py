"""Negatives that say the same again: the two sides of a conjunction, or of a symmetric relation, exchanged."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from negmine.language.difference import exchanged_runs
from negmine.stages.audit.differences import FUNCTION_WORDS, wordlist

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
    r"((is|are|was|were|be|being|that|which|\w+ing|\w+ed|sits?|stands?|lays?|lies?) )*"
    r"((right|directly|very|just|exactly|almost|both|each) )?"
    r"(next to|near|nearby|beside|alongside|alongside of|close to|adjacent to|opposite|opposite of|opposite to"
    r"|across from|side by side with|together with|along with|as well as|in line with|level with|aligned with"
    r"|parallel (to|with)|perpendicular to|at (a )?right angles? (to|with)|(attached|connected|joined|linked) (to|with)"
    r"|adjoining|bordering|touching|facing|kissing|hugging|embracing|meeting|overlapping|intersecting|crossing"
    r"|(kiss|hug|embrace|meet|touche?|overlap|intersect|adjoin|border|face)s?|(similar|identical) to|different from"
    r"|the same \w+ as|(far|far away|a long way|some distance|not far) from"
    r"|(hand in hand|arm in arm|face to face|back to back|shoulder to shoulder) with|(shak|hold)(es?|s|ing) hands with"
    r"|(danc|play|fight|wrestl|talk|chat|convers|compet|rac|spar|box)(es?|s|ing)( \w+)? (with|against))"
    r"|((is|are|was|were|that|which|sits?|sitting|stands?|standing|lies|lying|laying|parked|placed|located|hanging"
    r"|far|feet|inches|meters|metres) )*away from"  # not "walks away from", nor "facing away from"
)
_BE: Final = re.compile(r"((is|are|was|were|sits?|stands?|lies|hangs?|there|,) ?)*")
_VERBAL: Final = re.compile(r"((is|are|was|were|also|\w+ing|\w+ed|sits?|stands?|lies|rides?|rode) ?)*")
_PLACED: Final = re.compile(r"(in|on|at|near|under|by|next to|in front of) ((a|an|the|his|her|its|their) )?(\w+ )?\w+")
_END: Final = frozenset({".", "!", "?", ","})
_LEADING: Final = wordlist(
    "in on at under over near behind beside above below inside outside beneath underneath across along against "
    "among around between by with next atop alongside through past opposite"
)
"""Words that a phrase of place begins with."""
_ONE_OF_TWO: Final = re.compile(r"\bone (\w+)\b(.*)\b(?:the other|another|one)(?: one| \1)?\b")
_OTHER: Final = re.compile(r"\bthe other( one)?\b")
_CLAD: Final = re.compile(r"\b(wearing|dressed in|in)\b")


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
    said = tuple("a" if word == "an" else word for word in before)
    for i, j, k, m in exchanged_runs(before, after):
        yield _widened(Exchange(said[:i], said[i:j], said[j:k], said[k:m], said[m:]))


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


def is_equal_swap(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Whether two things of one name and one role exchanged what tells them apart, and so nothing changed.

    *A man in a red shirt and a man in a blue shirt*; *one cat is black and the other white*.
    """
    return any(
        _shares_name(found) and (_coordinates(found.middle) or _relates_alike(found.middle))
        for plainer in (_with_named_other, _with_bare_other)
        for found in exchanges(plainer(before), plainer(after))
    )


def _with_named_other(words: tuple[str, ...]) -> tuple[str, ...]:
    """*One cat ... the other* as *a cat ... a cat*; whoever wears something is in it."""
    return tuple(_CLAD.sub("in", _ONE_OF_TWO.sub(r"a \1\2a \1", " ".join(words))).split())


def _with_bare_other(words: tuple[str, ...]) -> tuple[str, ...]:
    """*One brown and the other white* as *one brown and one white*."""
    return tuple(_OTHER.sub("one", " ".join(words)).split())


def _shares_name(found: Exchange) -> bool:
    """Both sides call their thing the same."""
    return bool(frozenset(found.one) & frozenset(found.other) - (FUNCTION_WORDS - {"one"}))


def _relates_alike(middle: tuple[str, ...]) -> bool:
    return _SYMMETRIC.fullmatch(" ".join(middle)) is not None


def is_reordered(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    """Whether two phrases of one thing or event changed places, or one came to the front: the same scene.

    *A man on a motorcycle driving beside a van*; *in a park a dog runs*.
    """
    return any(_hang_on_one(found) or _comes_first(found) for found in exchanges(before, after))


def _hang_on_one(found: Exchange) -> bool:
    """Both are phrases of place, with nothing between them, or no more than a verb or another place."""
    leads = found.one[0] in _LEADING and found.other[0] in _LEADING
    leads |= not found.middle and found.head != () and _places_what_is_done(found.one, found.other)
    middle = " ".join(found.middle)
    return leads and (_VERBAL.fullmatch(middle) or _PLACED.fullmatch(middle)) is not None


def _places_what_is_done(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """*riding on a horse* and *on the beach*, in either order."""
    return (one[0] in _LEADING and other[0].endswith("ing")) or (other[0] in _LEADING and one[0].endswith("ing"))


def _comes_first(found: Exchange) -> bool:
    """A phrase of place at the end came before all the rest, or the other way round."""
    if found.head or not set(found.tail) <= _END or _BE.fullmatch(" ".join(found.middle)) is None:
        return False
    return (found.one[0] in _LEADING) != (found.other[0] in _LEADING)
