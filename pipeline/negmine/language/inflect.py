"""Word forms: number, verb agreement, a or an, capitals."""

from __future__ import annotations

import re
from functools import lru_cache
from types import ModuleType
from typing import Final

_PLURALS: Final = {"fish": "fish", "deer": "deer", "moose": "moose", "person": "people", "bison": "bison"}
_BE: Final = {
    "is": ("is", "are"),
    "are": ("is", "are"),
    "was": ("was", "were"),
    "were": ("was", "were"),
    "'s": ("'s", "are"),
    "am": ("is", "are"),
}

_AN_BEFORE_CONSONANT: Final = re.compile(r"(hour|honest|honou?r|heir)")
_A_BEFORE_VOWEL: Final = re.compile(
    r"(eu|ewe|once\b|one\b|ones\b|one[^a-z]|oneself|ouija|ubi|uk|ufo|ur[aeiou]|us[aeiou]"
    r"|ut[aeiou](?!rl)|uni(?!n|m|d(?!ir))|u[^a-z]|u$)"
)
_SPELT_WITH_VOWEL: Final = re.compile(r"[aefhilmnorsx]")
_ACRONYM: Final = re.compile(r"[A-Z]{2,}s?$|[A-Z]$|[A-Z]+\d+$|[A-Z]{2,}-|[A-Za-z]-")
_SPELT_WHEN_LOWER: Final = re.compile(r"(suv|lcd|led|mri|nba|nfl|mlb|nhl|hd|hdtv|mp3|rv|sms|xbox|x)(s|es)?$")
_AN_NUMBER: Final = re.compile(r"8\d*|1[18]|1[18],\d{3}|8[\d,.]*|11\d{3}|18\d{3}")


@lru_cache(maxsize=1)
def _lemminflect() -> ModuleType:
    """The inflection package, imported when it is first needed: it brings spaCy with it."""
    import lemminflect

    module: ModuleType = lemminflect
    return module


@lru_cache(maxsize=65536)
def lemma(word: str, pos: str) -> str:
    """Lower-case lemma of a word of a universal part of speech; words without inflection are their own."""
    lower = word.lower()
    if pos not in ("NOUN", "VERB", "AUX", "ADJ", "ADV"):
        return lower
    found = _lemminflect().getLemma(lower, pos)
    return str(found[0]) if found else lower


@lru_cache(maxsize=65536)
def is_inflected(word: str, pos: str | None = None) -> bool:
    """Whether the dictionary of English inflections has a lower-case word, as the part of speech if one is given."""
    found = _lemminflect().getAllLemmas(word)
    return bool(found) if pos is None else pos in found


@lru_cache(maxsize=65536)
def plural(noun: str) -> str:
    """Plural of a singular noun; of a compound its last word is inflected."""
    *first, last = noun.split(" ")
    forms = _lemminflect().getInflection(last, "NNS")
    return " ".join([*first, _PLURALS.get(last) or (forms[0] if forms else last + "s")])


def ends_as_plural(text: str) -> bool:
    """Whether the last word is a plural in "s", whose possessive takes no second one ("dogs", but not "bus")."""
    word = text.rsplit(" ", 1)[-1].lower()
    return word.endswith("s") and lemma(word, "NOUN") != word


def numbered(noun: str, is_plural: bool) -> str:
    """The noun of a lemma in the number asked for."""
    if noun == "people":
        return "people" if is_plural else "person"
    return plural(noun) if is_plural else noun


@lru_cache(maxsize=4096)
def agreeing(verb: str, is_plural: bool) -> str:
    """A finite present (or was, were) verb as a third-person subject of the given number needs it."""
    lower = verb.lower()
    if lower in _BE:
        return _BE[lower][is_plural]
    base = lemma(lower, "VERB")
    forms = _lemminflect().getInflection(base, "VBP" if is_plural else "VBZ")
    return str(forms[0]) if forms else lower


@lru_cache(maxsize=4096)
def is_third_person(verb: str) -> bool:
    """Whether a lower-case verb form is the present of a singular and nothing else ("hits", not "hit")."""
    base = lemma(verb, "VERB")
    return (
        verb != base and verb == inflected(base, "VBZ") and verb not in (inflected(base, "VBD"), inflected(base, "VBN"))
    )


@lru_cache(maxsize=4096)
def inflected(verb: str, tag: str) -> str:
    """The form of a verb's lemma that a Penn tag names ("lie" and ``VBG``: "lying"); the lemma where there is none."""
    forms = _lemminflect().getInflection(verb, tag)
    return str(forms[0]) if forms else verb


@lru_cache(maxsize=65536)
def article(word: str) -> str:
    """``a`` or ``an``, whichever the spoken form of the next word asks for.

    >>> [article(word) for word in ("hour", "uniform", "MRI", "8-foot", "one-way", "unidentified")]
    ['an', 'a', 'an', 'an', 'a', 'an']
    """
    word = word.lstrip("\"'“‘(")
    if not word:
        return "a"
    if word[0].isdigit():
        number = re.match(r"[\d,.]+", word)
        return "an" if number and _AN_NUMBER.fullmatch(number[0].rstrip(".,")) else "a"
    lower = word.lower()
    if _ACRONYM.match(word) or _SPELT_WHEN_LOWER.match(lower):
        return "an" if _SPELT_WITH_VOWEL.match(lower) else "a"
    if _AN_BEFORE_CONSONANT.match(lower):
        return "an"
    if lower[0] not in "aeiouàáâäåèéêëìíîïòóôöùúûü" or _A_BEFORE_VOWEL.match(lower):
        return "a"
    return "an"


def capitalised(text: str) -> str:
    """The text with its first character upper-case."""
    return text[:1].upper() + text[1:]


def in_case_of(old: str, new: str) -> str:
    """`new` in capitals like `old`: all capitals, a capital first letter, or as it is."""
    if len(old) > 1 and old.isupper():
        return new.upper()
    return capitalised(new) if old[:1].isupper() else new
