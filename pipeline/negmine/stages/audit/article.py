"""Is ``a`` or ``an`` right before this word? By spelling, with lists of what spelling does not tell."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_SILENT_H: Final = re.compile(r"(hour|honest|honou?r|heir)")
_EITHER: Final = re.compile(
    r"(herb|histor|hotel|homage|habitual|suv|fbi|sos|lcd|led|atm|usb|ufo|nasa|url|[fhlmnrsx][^aeiouy\W]*\b)"
)
"""Both are said and written; abbreviations read as letters by some and as words by others."""
_YOU: Final = re.compile(
    r"(uni(?!den|nt|nh|ns|mp|nf|nv|mag)|us[aeiu]|ut[aei]|ur[aei]n|ur[aei]l|uk[eru]|ubiq|ugan|u(-|\b)|eu|ew[e ]|ewe)"
)
_WUN: Final = re.compile(r"(one|once|ones|one's|oneself|ouija|one-.*)(\W|$)")
_EIGHT: Final = re.compile(r"(8|11(?!\d)|18(?!\d))")
_LETTER: Final = re.compile(r"([a-z])([-.]|$)")
_SPELT_WITH_VOWEL: Final = frozenset("aefhilmnorsx")
"""Letters whose name begins with a vowel: an x-ray, an L-shaped desk."""


def wants_an(word: str) -> bool | None:
    """Whether a word asks for ``an``; None where both are in use."""
    if len(word) > 1 and word.isupper():  # an abbreviation, or a shout
        return None
    word = word.lower()
    if letter := _LETTER.match(word):
        return letter[1] in _SPELT_WITH_VOWEL
    if word[0].isdigit():
        return _EIGHT.match(word) is not None
    if _SILENT_H.match(word):
        return True
    if _EITHER.match(word):
        return None
    if _YOU.match(word) or _WUN.match(word):
        return False
    return word[0] in "aeiou"


def wrong_articles(words: tuple[str, ...]) -> int:
    """Number of ``a`` and ``an`` that do not fit the word after them."""
    return sum(_wrong(article, following) for article, following in pairwise(words))


def _wrong(article: str, following: str) -> bool:
    if article not in ("a", "A", "an", "An", "AN") or not following[0].isalnum():
        return False
    wanted = wants_an(following)
    return wanted is not None and wanted != (article.lower() == "an")
