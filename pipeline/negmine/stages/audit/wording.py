"""Broken wording: numbers and possessives, determiners without a noun, a noun for the verb, case, languages mixed."""

from __future__ import annotations

import re
from functools import lru_cache
from itertools import pairwise
from typing import Final

from negmine.language.difference import changed_runs
from negmine.stages.audit.differences import FUNCTION_WORDS, Judged, is_word, lower, stem, wordlist

# --- number of a word ------------------------------------------------------------------------------------------------

_EITHER_NUMBER: Final = wordlist(
    "sheep deer moose bison shrimp fish aircraft series species offspring people police cattle clothes jeans "
    "pants shorts glasses scissors sunglasses binoculars pajamas tights headphones skis goggles tongs pliers news "
    "tennis gymnastics headquarters crossroads barracks means gallows bus gas lens canvas graffiti"
)


@lru_cache(maxsize=50_000)
def number_of(word: str) -> str:
    """``s`` or ``p`` for a noun form that is singular or plural, '' for what may be either or is no noun."""
    from lemminflect import getAllLemmas, getInflection

    if word in _EITHER_NUMBER:
        return ""
    lemmas = getAllLemmas(word, "NOUN").get("NOUN", ()) if word.isalpha() else ()
    if not lemmas:
        return ""
    plurals = {form for lemma in lemmas for form in getInflection(lemma, "NNS")[:1]}  # the others are rare: two horse
    return "" if word in lemmas and word in plurals else "s" if word in lemmas else "p" if word in plurals else ""


@lru_cache(maxsize=50_000)
def parts_of_speech(word: str) -> frozenset[str]:
    """Tags (``NOUN VERB ADJ ADV`` ...) that a form is known to have."""
    from lemminflect import getAllLemmas

    return frozenset(getAllLemmas(word))


_ONE: Final = frozenset({"a", "an", "one", "another", "each", "every"})
_SEVERAL: Final = wordlist("two three four five six seven eight nine ten several")
_PLURAL: Final = wordlist("many both these those")
"""They may also stand alone before a verb: *these show a dog*."""


def wrong_numbers(words: tuple[str, ...]) -> int:
    """Number of determiners that stand right before a noun of the other number, which no other noun follows.

    *A gyms in a market*, *one boys*, *two dog on a mat*; not *a sports car*.
    """
    following = (*words[1:], ".")
    return sum(
        _disagrees(word, noun) and _ends_noun(after)
        for (word, noun), after in zip(pairwise(words), following[1:], strict=True)
    )


def _disagrees(determiner: str, noun: str) -> bool:
    if determiner in _ONE:
        return number_of(noun) == "p"
    if determiner in _SEVERAL:
        return number_of(noun) == "s" and "ADJ" not in parts_of_speech(noun)  # "two pink and green umbrellas"
    return determiner in _PLURAL and number_of(noun) == "s" and "VERB" not in parts_of_speech(noun)


def _ends_noun(word: str) -> bool:
    return not is_word(word) or word in FUNCTION_WORDS or word.endswith("ing")


# --- possessives and determiners -------------------------------------------------------------------------------------

_POSSESSIVE: Final = re.compile(r"([a-z]+)['’]s")


def wrong_possessives(words: tuple[str, ...]) -> int:
    """Number of plurals in s with another s after the apostrophe: *dogs's*; not *James's*, *the bus's*."""
    found = (_POSSESSIVE.fullmatch(word) for word in words)
    return sum(m is not None and m[1].endswith("s") and number_of(m[1]) == "p" for m in found)


_DETERMINERS: Final = wordlist("a an the his her its their my your our")
_NO_NOUN: Final = wordlist(
    "of in on at with from for to into onto by behind beside under beneath near above below next and or is are "
    "was were that which who while a an the his its their"
)
_SECOND: Final = wordlist("a an the his her its their this these those some two three it them him is are was were of")


def stray_determiners(words: tuple[str, ...]) -> int:
    """Number of determiners with no noun after them: *the in a car*, *a behind the vase*, *to the of it*."""
    following = (*words[1:], ".", ".")
    return sum(_stands_alone(*three) for three in zip(words, following, following[1:], strict=False))


def _stands_alone(word: str, following: str, after: str) -> bool:
    if word not in _DETERMINERS or word == "her":
        return False
    ends = following in (".", ",", "!", "?")
    return ends or (following in _NO_NOUN and (after in _SECOND or following in _DETERMINERS))


# --- a noun for the verb ---------------------------------------------------------------------------------------------


def loses_verb(item: Judged) -> bool:
    """A verb was taken for a noun and replaced by one: *A gyms in a market*, *A fisherman rafts a fish*."""
    before, after = lower(item.before), lower(item.after)
    if wrong_numbers(after) > wrong_numbers(before) and _swallowed_a_verb(before, after):
        return True
    changed = [(before, i, j, after[k:m]) for i, j, k, m in changed_runs(before, after) if m == k + 1]
    return any(
        (j == i + 1 and _is_verb_here(words, i) and is_rather_noun(*new)) or _ends_in_only_verb(words, i, j, *new)
        for words, i, j, new in changed
    )


def _swallowed_a_verb(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    return any(
        "VERB" in parts_of_speech(before[j - 1]) and j - i > m - k
        for i, j, k, m in changed_runs(before, after)
        if j > i
    )


def _is_verb_here(words: tuple[str, ...], i: int) -> bool:
    """A form in s between a singular noun and a determiner."""
    if not 0 < i < len(words) - 1 or not words[i].endswith("s") or "VERB" not in parts_of_speech(words[i]):
        return False
    return number_of(words[i - 1]) == "s" and words[i + 1] in _DETERMINERS


def _ends_in_only_verb(words: tuple[str, ...], i: int, j: int, new: str) -> bool:
    """*a white horse and a brown [horse stand] in a field*: two subjects, and no verb but the one that was taken."""
    if j != i + 2 or "and" not in words[:i] or words[i] not in words[:i] or j == len(words):
        return False
    nouns = [words[i], words[i + 1], new]
    taken = words[j] in FUNCTION_WORDS and "VERB" in parts_of_speech(words[i + 1])
    return taken and all(number_of(noun) == "s" for noun in nouns) and not any(map(_is_finite, words))


def _is_finite(word: str) -> bool:
    return word in _FINITE or (word.endswith(("ing", "ed")) and "VERB" in parts_of_speech(word))


_FINITE: Final = wordlist("is are was were has have do does can sit sits stands")
_DONE: Final = wordlist("watches drinks flies hands washes slices rocks releases leaves")
"""Forms that are verbs in captions, whatever WordNet has more of."""


def is_rather_noun(word: str) -> bool:
    """A plural noun that WordNet knows as a verb in fewer senses, if at all."""
    from negmine.language.lexicon import TANGIBLE, packaged_lexicon

    lexicon = packaged_lexicon()
    nouns, verbs = lexicon.entry(stem(word)).classes, lexicon.entry(stem(word), "v").classes
    rather = number_of(word) == "p" and word not in _DONE
    return rather and len(verbs) < len(nouns) and nouns[0] in TANGIBLE


# --- case ------------------------------------------------------------------------------------------------------------

_TITLED: Final = 0.8
"""Share of words with a capital from which on a caption is a title."""
_FEWEST: Final = 3
_LITTLE: Final = FUNCTION_WORDS | {"from", "as", "w"}


def breaks_case(item: Judged) -> bool:
    """New words in lower case in a title, or in a text all in capitals; a text that is recased as a whole is sound."""
    changed = changed_runs(item.before, item.after)
    new = [word for _, _, k, m in changed for word in item.after[k:m] if word.isalpha()]
    if _is_shouted(item.before):
        return sum(word.isupper() and len(word) > 1 for word in item.after) > 1 and any(not w.isupper() for w in new)
    kept = len(item.after) - len(new) > len(new)
    gone = [word for i, j, _, _ in changed for word in item.before[i:j]]
    lowered = any(word.islower() and word not in _LITTLE for word in new)
    return is_title(item.before) and kept and lowered and not any(w.islower() and w not in _LITTLE for w in gone)


def _is_shouted(words: tuple[str, ...]) -> bool:
    long = [word for word in words if word.isalpha() and len(word) > 1]
    return len(long) >= _FEWEST and all(word.isupper() for word in long)


def is_title(words: tuple[str, ...]) -> bool:
    inside = [word for word in words[1:] if word.isalpha() and word.lower() not in _LITTLE]
    return len(inside) >= _FEWEST - 1 and sum(word[0].isupper() for word in inside) >= _TITLED * len(inside)


# --- other languages -------------------------------------------------------------------------------------------------

_FOREIGN: Final = wordlist(
    "el las un una unos unas del al con y por para sobre le les des du une et avec dans au aux est sont en der "
    "dem den und ein eine einem einen einer mit auf im ist zwei il lo gli di che uno nel sulla su com um uma em "
    "na da dos het een van bij och ett på med som"
)
"""Little words of Spanish, French, German, Italian, Portuguese, Dutch and Swedish that English has not."""


def mixes_languages(item: Judged) -> bool:
    """An English word was put into a caption of another language: *El gato duerme en hammock*."""
    before = lower(item.before)
    foreign = sum(word in _FOREIGN for word in before)
    english = sum(word in FUNCTION_WORDS for word in before)
    new = [w for w in item.new_words if w.isascii() and w not in _FOREIGN]
    return foreign > english and foreign + (len(before) < 8) >= 2 and any(_is_english(word) for word in new)


def _is_english(word: str) -> bool:
    from negmine.language.lexicon import packaged_lexicon

    return bool(parts_of_speech(word) or packaged_lexicon().entry(stem(word)).classes)


# --- what was replaced -----------------------------------------------------------------------------------------------

_THINGS: Final = wordlist("animal artifact body food group location object person phenomenon plant substance")
_FOLLOW: Final = wordlist("a an the his her its their he she it they him them")
"""Words that follow a noun that has changed."""


def replaces_nouns_only(item: Judged) -> bool:
    """Whether all that was changed are nouns for things, and others stand there now; what follows them may follow."""
    said = frozenset(map(stem, item.before))
    changes = [(_content(change.old), _content(change.new)) for change in item.changes]
    changes = [(old, new) for old, new in changes if old or new]
    return bool(changes) and all(
        old and new and _names_thing(old[-1]) and all(map(_names_thing, new)) and not said.issuperset(map(stem, new))
        for old, new in changes
    )


def _content(words: tuple[str, ...]) -> list[str]:
    """Words without marks, articles and pronouns."""
    return [word for word in words if is_word(word) and word not in _FOLLOW]


@lru_cache(maxsize=50_000)
def _names_thing(word: str) -> bool:
    """Whether the lexicon has a word as a thing, and not as an adjective too."""
    from negmine.language.lexicon import packaged_lexicon

    lexicon, name = packaged_lexicon(), stem(word)
    if word in FUNCTION_WORDS or lexicon.entry(name, "a").classes:
        return False
    return lexicon.broad_class(name) in _THINGS
