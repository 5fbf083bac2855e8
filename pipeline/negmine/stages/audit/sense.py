"""Words that make no sense together: a side or a part of the body as a thing, a shade no colour has, both of three."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

from negmine.language.difference import changed_runs
from negmine.stages.audit.differences import FUNCTION_WORDS, Judged, is_word, lower, stem, wordlist
from negmine.stages.audit.wording import parts_of_speech

# --- left and right --------------------------------------------------------------------------------------------------

_SIDES: Final = frozenset({"left", "right"})
_OF_SPACE: Final = _SIDES | wordlist(
    "lefts rights top bottom front back rear side sides end edge corner center centre middle inside outside north "
    "south east west foreground background near far upper lower other"
)
_RIGHTS: Final = re.compile(
    r"\b(rights? of way|(human|civil|equal|women['’]s|gay|animal|all|voting|bill of|bragging) rights|rights reserved)\b"
)


def makes_side_a_thing(item: Judged) -> bool:
    """*a red right*, *2 rights* where there was a thing, or *to the plate of it* where there was a side."""
    before, after = lower(item.before), lower(item.after)
    replaced = [places for places in changed_runs(before, after) if places[0] < places[1] and places[2] < places[3]]
    return any(
        _turns_into_side(after, k, m, before[i:j]) or _was_side(before, i, j, after[:m], k) for i, j, k, m in replaced
    )


def _turns_into_side(words: tuple[str, ...], start: int, stop: int, old: tuple[str, ...]) -> bool:
    """Whether a thing has become a side that is called a thing."""
    if _OF_SPACE.intersection(old) or _RIGHTS.search(" ".join(words)):
        return False
    return any(_is_thing(words[n], _at(words, n - 1), _at(words, n - 2), _at(words, n + 1)) for n in range(start, stop))


def _is_thing(word: str, earlier: str, first: str, following: str) -> bool:
    """Whether a side is a noun here: *a red right*, *three lefts*; not *on the right*, *facing right*, *right hand*."""
    if word in ("lefts", "rights"):
        return is_word(earlier)
    if word not in _SIDES or not _ends_noun(following) or not is_word(earlier):
        return False
    if earlier in _DETERMINERS:
        return not (earlier == "the" and first in _TO_A_SIDE)
    return earlier not in FUNCTION_WORDS and "VERB" not in parts_of_speech(earlier)


def _was_side(before: tuple[str, ...], i: int, j: int, after: tuple[str, ...], k: int) -> bool:
    """Whether *left* or *right* was a side there, as in *to the left of it*, and what has come is none."""
    if j > i + 1 or i < 2 or before[i] not in _SIDES or _OF_SPACE.intersection(after[k:]):
        return False
    to_the = before[i - 2] in _TO_A_SIDE and before[i - 1] == "the"
    return to_the and _ends_noun(_at(before, j)) and after[max(k - 2, 0) : k] == before[i - 2 : i]


def _at(words: tuple[str, ...], n: int) -> str:
    """A word, or a full stop beyond either end."""
    return words[n] if 0 <= n < len(words) else "."


def _ends_noun(following: str) -> bool:
    return not is_word(following) or following in FUNCTION_WORDS


_TO_A_SIDE: Final = frozenset({"on", "to", "at", "from", "toward", "towards", "in", "off", "for"})
_DETERMINERS: Final = wordlist("a an the his her its their my your our")


# --- a part for the whole --------------------------------------------------------------------------------------------

_PEOPLE: Final = wordlist(
    "person man woman boy girl child kid baby toddler guy lady gentleman somebody someone player surfer skier "
    "skater snowboarder skateboarder rider cyclist chef cook teacher student officer worker tourist passenger "
    "friend couple family crowd adult teenager people"
)
_PARTS: Final = wordlist(
    "arm leg hand foot head face eye ear nose mouth tongue tooth neck shoulder elbow wrist finger thumb knee "
    "ankle heel toe chest belly stomach lap hip waist skin bone heart brain lung liver artery vein nerve muscle "
    "kidney gland rib spine skull jaw chin cheek forehead lip eyebrow eyelash beard hair mustache moustache "
    "whisker palm fist thigh shin throat blood intestine cell womb navel nostril scalp limb torso "
    "breast fang claw paw tail hoof"
)


def puts_a_part_for_a_person(item: Judged) -> bool:
    """*A beard on a surfboard* where there was a person."""
    new = item.new_words
    return any(
        change.old != () and stem(change.old[-1]) in _PEOPLE and stem(change.new[-1]) in _PARTS
        for change in item.changes
        if change.new and change.new[-1] in new  # not moved
    )


# --- shades -----------------------------------------------------------------------------------

_COLOURS: Final = wordlist(
    "red blue green yellow orange purple pink brown black white gray grey silver gold golden beige tan turquoise "
    "teal maroon violet cream"
)
_SHADES: Final = {
    "neon": "green yellow pink orange blue red purple",
    "mint": "green",
    "lime": "green yellow",
    "olive": "green brown",
    "navy": "blue",
    "sky": "blue",
    "baby": "blue pink",
    "royal": "blue purple",
    "hot": "pink",
    "forest": "green",
    "emerald": "green",
    "kelly": "green",
    "hunter": "green",
    "lemon": "yellow",
    "mustard": "yellow brown",
    "cherry": "red",
    "fire": "red orange",
    "brick": "red",
    "ruby": "red",
    "blood": "red orange",
    "jet": "black",
    "snow": "white",
    "charcoal": "gray grey black",
    "chocolate": "brown",
    "burnt": "orange",
    "salmon": "pink",
    "powder": "blue pink",
    "pale": "blue green yellow pink orange purple brown gray grey red gold violet cream turquoise white",
}


def wrong_shades(words: tuple[str, ...]) -> int:
    """Number of shade words before a colour that has no such shade: *neon black*, *mint red*."""
    return sum(
        one in _SHADES and other in _COLOURS and other not in _SHADES[one].split() for one, other in pairwise(words)
    )


# --- two of them -----------------------------------------------------------------------------------------------------

_OF_TWO: Final = re.compile(r"\b(both|one (?!another).*\b(the other|another)|the other one)\b")
_NUMBERS: Final = wordlist("one two three four five six seven eight nine ten several many a")


def breaks_pair(item: Judged) -> bool:
    """Two became another number, and the text still speaks of both of them, or of one and the other."""
    if not _OF_TWO.search(item.negative.lower()):
        return False
    return any(_was_two(change.old, change.new) for change in item.changes)


def _was_two(old: tuple[str, ...], new: tuple[str, ...]) -> bool:
    return "two" in old[:1] and bool(new) and (new[0] in _NUMBERS or new[0].isdigit()) and new[0] != "two"
