"""Replacements that leave the caption true, or that another caption of the picture supports."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from negmine.audit.words import Change, Judged, content_stems, lower, stem

_SAME: Final = (
    "large big huge giant enormous gigantic massive immense gargantuan oversized great",
    "small little tiny mini miniature petite",
    "tall high", "short low",
    "old elderly aged", "old vintage antique ancient older", "young youthful little",
    "red crimson scarlet maroon", "blue navy azure teal turquoise", "tan beige brown khaki", "purple violet lavender",
    "gray grey silver", "white ivory cream", "yellow gold golden", "pink rose magenta", "blond blonde",
    "wood wooden", "metal metallic steel iron",
    "couch sofa loveseat settee", "bike bicycle", "motorbike motorcycle", "tv television", "laptop computer",
    "cellphone phone smartphone", "airplane plane aircraft jet airliner", "photo photograph picture image",
    "street road roadway", "sidewalk pavement", "ocean sea", "boat ship", "car automobile vehicle",
    "fridge refrigerator", "cup mug", "kid child boy toddler", "kid child girl toddler",
    "person man guy gentleman", "person woman lady", "baby infant toddler", "cat kitten kitty",
    "dog puppy", "horse pony", "sheep lamb", "cow bull calf cattle",
    "bathroom restroom lavatory washroom", "toilet commode", "store shop", "stove oven", "rock stone",
    "hat cap", "jacket coat", "woods forest", "hill slope", "racket racquet", "doughnut donut", "bunch group",
    "holding carrying gripping", "sitting seated", "standing stood", "looking staring gazing watching",
    "laying lying resting", "running jogging", "eating feeding grazing", "walking strolling", "riding cycling",
    "skateboarding skating", "smiling grinning", "jumping leaping", "cutting slicing", "talking speaking chatting",
    "in inside within", "on atop upon onto", "near by beside alongside around nearby", "below under beneath underneath",
    "above over", "toward towards", "across over", "several many multiple various numerous",
    "couple two pair", "empty vacant bare", "close near", "happy smiling joyful cheerful", "pretty beautiful lovely",
    "cloudy overcast", "wet damp soaked", "crowded busy", "colorful multicolored", "dirty filthy",
    "quick swift fast rapid",
)  # fmt: skip
"""Words of one line may both be true of one picture."""

_PHRASES: Final = (
    frozenset({"on", "on top of", "atop", "upon", "atop of"}),
    frozenset({"next to", "near", "beside", "by", "alongside", "close to", "near to", "around", "adjacent to"}),
    frozenset({"in", "inside", "inside of", "within"}),
    frozenset({"a couple of", "two", "a pair of"}),
    frozenset({"under", "underneath", "below", "beneath"}),
    frozenset({"a lot of", "lots of", "many", "plenty of", "a bunch of", "several"}),
    frozenset({"in front of", "before"}),
)


@lru_cache(maxsize=1)
def _groups() -> Mapping[str, frozenset[int]]:
    """Word (as written, and its stem) to the numbers of its lines in `_SAME`."""
    lines: dict[str, set[int]] = {}
    for number, line in enumerate(_SAME):
        for word in line.split():
            lines.setdefault(word, set()).add(number)
            lines.setdefault(stem(word), set()).add(number)
    return {word: frozenset(numbers) for word, numbers in lines.items()}


def overlap(old: str, new: str) -> bool:
    """Whether `new` may be true where `old` is: near-synonym, synonym or hypernym."""
    groups = _groups()
    mine = groups.get(old, frozenset()) | groups.get(stem(old), frozenset())
    return bool(mine & (groups.get(new, frozenset()) | groups.get(stem(new), frozenset()))) or _in_wordnet(old, new)


@lru_cache(maxsize=100_000)
def _in_wordnet(old: str, new: str) -> bool:
    """A synonym of one of the commonest senses (any part of speech), or a hypernym of the noun."""
    from negmine.text.lexicon import packaged_lexicon

    lexicon = packaged_lexicon()
    for one, other in ((old, new), (stem(old), stem(new))):
        if any(other in lexicon.entry(one, pos).synonyms for pos in "nva") or other in lexicon.entry(one).hypernyms:
            return True
    return False


def is_still_said(item: Judged) -> bool:
    """A word or phrase was replaced by one that may be true where the old one is (criterion C12)."""
    present = frozenset(lower(item.before))
    return _is_only_inflected(item) or any(_says_the_same(change, present) for change in item.changes)


def _is_only_inflected(item: Judged) -> bool:
    """Nothing but endings of words was changed."""
    return bool(item.changes) and all(
        [stem(word) for word in change.old] == [stem(word) for word in change.new] and change.old != ()
        for change in item.changes
    )


def _says_the_same(change: Change, present: frozenset[str]) -> bool:
    old, new = " ".join(change.old), " ".join(change.new)
    if not old or not new or set(change.new) <= present:  # moved, not replaced
        return False
    if any(old in phrases and new in phrases for phrases in _PHRASES):
        return True
    old, new = (text.removeprefix("an ").removeprefix("a ") for text in (old, new))
    return stem(old) != stem(new) and overlap(old, new)  # "dog", "dogs": the count was changed, elsewhere


def says_a_sibling_word(item: Judged) -> bool:
    """A new content word, or an inflection of it, is in another caption of the picture (criterion C13)."""
    return bool(_new_stems(item) & _sibling_stems(item))


def says_a_word_implied_by_a_sibling(item: Judged) -> bool:
    """A new word is a synonym or hypernym of a word in another caption: a suspicion."""
    return any(overlap(theirs, new) for new in _new_stems(item) for theirs in _sibling_stems(item) if theirs != new)


def _new_stems(item: Judged) -> frozenset[str]:
    return content_stems(item.negative) - content_stems(item.caption)


def _sibling_stems(item: Judged) -> frozenset[str]:
    return frozenset().union(*(_stems(text) for text in item.siblings))


@lru_cache(maxsize=10_000)
def _stems(text: str) -> frozenset[str]:
    return content_stems(text)
