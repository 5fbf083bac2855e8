"""Whether a text is English: by its letters, then by the share of its words that English knows.

A word is known if it is of a closed class, in lemminflect's dictionary of inflections, or in WordNet. Each caption of
COCO has 62 % known words or more, misspelt ones included; captions in other languages have about 30 %. A capital inside
a sentence marks a name, which says nothing of the language: a caption of names, or of few words, is not called foreign.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final

from negmine.language.inflect import is_inflected
from negmine.language.lexicon import packaged_lexicon
from negmine.language.vocabulary import packaged_vocabulary

_WORD: Final = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_OWNER: Final = re.compile(r"['’]s?$")

_PLAINLY_ENGLISH: Final = frozenset({"the", "of", "with", "and", "at", "by", "from", "his", "their", "are"})

LATIN: Final = 0.9
"""Least share of Latin letters."""

KNOWN: Final = 0.5
"""Most share of known words of a text in another language."""

TELLING: Final = 4
"""Words that tell anything of a text's language at least: of three, all may be names or rare."""

UNKNOWN: Final = 3
"""Unknown words that such a text has at least; one less beside a word like "der" or "con"."""

UNKNOWN_CAPITALS: Final = 5
"""The same where every word has a capital, as names and headlines do."""

MARKS: Final = 3
"""Different words like "der" or "con" that tell of themselves: "El hombre come pizza en la mesa" has two of English."""

SHORT: Final = 3
"""Words of so many letters are looked up in the dictionary alone: WordNet has many that are letters of an acronym."""


def why_foreign(text: str) -> str:
    """Why a text is no English to parse: ``script`` (no letters, or another alphabet), ``language``; else ""."""
    letters = [character for character in text if character.isalpha()]
    if not letters or not (text.isascii() or sum(map(_is_latin, letters)) >= LATIN * len(letters)):
        return "script"
    words = _WORD.findall(text)
    small = [word for word in words[1:] if not word[0].isupper()]
    marks = {word for word in words if word.lower() in packaged_vocabulary().foreign}
    has_no_english = _PLAINLY_ENGLISH.isdisjoint(map(str.lower, words))
    if has_no_english and len(set(map(str.lower, marks))) >= MARKS:
        return "language"
    strange = marks.union(word for word in (words if text.isupper() else small) if not _is_known(word))
    if marks and len(strange) > 1 and has_no_english:
        telling, enough = words, UNKNOWN - 1  # some languages give every noun a capital
    elif small:
        telling, enough = [*words[:1], *small], UNKNOWN
    else:
        telling, enough = words, UNKNOWN_CAPITALS
    known = sum(map(_is_known, telling))
    is_foreign = len(telling) >= TELLING and known <= KNOWN * len(telling) and len(telling) - known >= enough
    return "language" if is_foreign else ""


@lru_cache(maxsize=1 << 16)
def _is_known(word: str) -> bool:
    lower, vocabulary = _OWNER.sub("", word.lower()), packaged_vocabulary()
    if lower in vocabulary.foreign:
        return False
    if lower in vocabulary.closed_class or is_inflected(lower):
        return True
    return len(lower) > SHORT and packaged_lexicon().knows(lower)


@lru_cache(maxsize=4096)
def _is_latin(character: str) -> bool:
    return unicodedata.name(character, "").startswith("LATIN")
