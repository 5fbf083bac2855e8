"""A word of quantity replaced by another, and one thing by several: a group by a couple, giraffes by a giraffe."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.language.agreement import number_changes
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change, moved
from negmine.language.inflect import article, numbered
from negmine.stages.negatives.proposal import Proposal, Words
from negmine.stages.negatives.rules.one_or_several import (
    inflected_unit,
    is_described_by,
    is_one_thing,
    is_subject,
    is_uncounted,
    kin_of,
    may_be_several,
    signs_of_several,
)

PER_MEASURE = 3
"""Draws for one measure."""

_TWO = frozenset({"couple", "pair"})
_PAIR, _LOT = "pair", "lot"
_THINGS = frozenset({"artifact", "food", "plant", "object"})
MEASURED_BY = {
    "crowd": frozenset({"person"}),
    "herd": frozenset({"animal"}),
    "flock": frozenset({"animal"}),
    "pile": _THINGS,
    "heap": _THINGS,
}
"""Broad classes of what a measure is said of, where it is not said of all: no herd of shoes."""

_ONE, _PLURAL, _GROUP, _COUPLE = "one", "plural", "group", "couple"
_PEOPLE = frozenset({"person", "people"})
_NO_SINGULAR = frozenset({"cattle", "police", "livestock", "poultry", "clothes"})
_ARTICLES = frozenset({"a", "an"})
_ANIMATE = frozenset({"person", "animal"})
_TOGETHER = frozenset(
    {"gather", "line", "crowd", "meet", "huddle", "surround", "stack", "pile", "race", "cluster", "row", "side"}
    | {"arrange", "join", "compete", "scatter", "cover", "fill", "among", "between", "various", "assort"}
)
"""Words of what one thing alone does not do."""


def replaced_quantity(caption: Caption, phrase: Phrase, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace what tells how many, where no number does; one thing and several for each other where they act."""
    if phrase.name in words.vocabulary.measured:
        yield from _other_measure(caption, phrase, words, rng)
        yield from _one_of_measured(caption, phrase, words)
    if phrase.head != phrase.whole or (is_uncounted(phrase, words) and phrase.name not in _PEOPLE):
        return
    if phrase.numeral != NO:
        yield from _many(caption, phrase, words)
    elif is_one_thing(caption, phrase):
        yield from _several(caption, phrase, words)
    elif phrase.plural:
        yield from _two_only(caption, phrase, words)
        yield from _one(caption, phrase, words)


def _many(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "two dogs" -> "several dogs"."""
    vocabulary, token = words.vocabulary, caption.tokens[phrase.numeral]
    if token.text.lower() != vocabulary.counts[2][0] or phrase.determiner != NO or not phrase.plural:
        return
    for many in vocabulary.more_than_two:
        yield _exchange(phrase.numeral, vocabulary.counts[2][0], many, vocabulary.signs_of_more)


def _two_only(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "several dogs" -> "two dogs"."""
    place, counts = phrase.first, words.vocabulary.counts
    many = caption.tokens[place].text.lower()
    if place in phrase.attributes and many in words.vocabulary.more_than_two and caption.is_loose(place, place):
        yield _exchange(place, many, counts[2][0], frozenset(counts[2]))


def _other_measure(caption: Caption, phrase: Phrase, words: Words, rng: Random) -> Iterator[Proposal]:
    """ "a group of people" -> "a couple of people", a row of things -> a pile of them."""
    counted = caption.tokens[phrase.whole]
    if phrase.whole == phrase.head or phrase.plural or phrase.unit != phrase.head or counted.tag not in ("NNS", "NNPS"):
        return
    if any(caption.tokens[i].tag == "CD" for i in range(phrase.head, phrase.whole)):
        return
    if phrase.name == _PAIR and words.lexicon.broad_class(counted.lemma) not in _ANIMATE:
        return  # one pair of scissors, or of gloves
    takes_singular = number_changes(caption, phrase.head, is_plural=True)
    broad_class = "person" if counted.lemma in ("people", "person") else words.lexicon.broad_class(counted.lemma)
    fitting = (
        measure
        for measure in words.vocabulary.measured[phrase.name]
        if broad_class in MEASURED_BY.get(measure, {broad_class})
        and not (takes_singular and measure in _TWO)
        and not (measure == _LOT and phrase.determiner == NO)
    )
    for other in words.drawn(rng, sorted(fitting), PER_MEASURE):
        signs = words.vocabulary.measured.keys() - words.vocabulary.measured[other]
        if other in _TWO:
            signs |= set(words.vocabulary.counts[2])
        yield _exchange(phrase.head, phrase.name, other, frozenset(signs))


def _exchange(place: int, old: str, new: str, signs: frozenset[str]) -> Proposal:
    """One quantity's word for another's, with nothing else to repair."""
    return Proposal(
        (Change(place, place, new),), old=old, new=new, repeatable=True, signs=signs, substitution=(old, new)
    )


def _several(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "a giraffe" -> "giraffes", "several giraffes", "a couple of giraffes", "a group of giraffes"."""
    if not _is_countable_subject(caption, phrase, words, phrase.determiner + 1):
        return
    vocabulary, place = words.vocabulary, phrase.determiner
    noun = Change(phrase.unit, phrase.head, inflected_unit(caption, phrase, is_plural=True))
    verbs, signs = number_changes(caption, phrase.head, is_plural=True), signs_of_several(phrase.name, words)
    for new in vocabulary.more_than_two:
        yield _of_number((Change(place, place, new), noun, *verbs), "a", new, signs | vocabulary.signs_of_more)
    if phrase.unit == place + 1:
        bare: tuple[Change, ...] = (Change(place, phrase.head, noun.text),)
    else:
        bare = (Change(place, place + 1, caption.tokens[place + 1].text), noun)
    yield _of_number((*bare, *verbs), "a", _PLURAL, signs)
    couple = frozenset(vocabulary.counts[2])
    yield _of_number((Change(place, place, "a couple of"), noun, *verbs), "a", _COUPLE, signs | couple)
    if words.lexicon.broad_class(phrase.name) in _ANIMATE:
        yield _of_number(
            (Change(place, place, "a group of"), noun, *verbs), "a", _GROUP, signs | vocabulary.signs_of_more
        )


def _one(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "giraffes" -> "a giraffe", "several dogs" -> "a dog"."""
    first, old = phrase.first, caption.tokens[phrase.first].text.lower()
    says_how_many = first < phrase.unit and old in (*words.vocabulary.more_than_two, "some")
    if phrase.determiner != NO and not says_how_many:
        return
    behind = first + 1 if says_how_many else first
    if not _is_countable_subject(caption, phrase, words, behind) or _is_told_together(caption, phrase):
        return
    noun = inflected_unit(caption, phrase, is_plural=False)
    described = behind < phrase.unit
    changes: tuple[Change, ...]
    if says_how_many:
        following = caption.tokens[behind].text if described else noun
        changes = (Change(first, first, article(following)), Change(phrase.unit, phrase.head, noun))
    elif described:
        text = moved(caption, first, first)
        changes = (Change(first, first, f"{article(text)} {text}"), Change(phrase.unit, phrase.head, noun))
    else:
        changes = (Change(first, phrase.head, f"{article(noun)} {noun}"),)
    verbs = number_changes(caption, phrase.head, is_plural=False)
    yield _single((*changes, *verbs), old if says_how_many else _PLURAL, phrase.name, words)


def _one_of_measured(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "a group of people" -> "a person"."""
    counted, place = caption.tokens[phrase.whole], phrase.determiner
    if place == NO or phrase.first != place or caption.tokens[place].text.lower() not in _ARTICLES:
        return
    if phrase.unit != place + 1 or phrase.unit != phrase.head or counted.tag != "NNS":
        return
    name = counted.lemma
    if name in _NO_SINGULAR or (words.lexicon.broad_class(name) not in _ANIMATE and name not in _PEOPLE):
        return
    described = range(phrase.head + 2, phrase.whole)
    if not is_described_by(caption, described, words) or not is_subject(caption, phrase.head):
        return
    if _is_told_together(caption, phrase) or not caption.is_loose(phrase.whole, phrase.whole):
        return
    before = [caption.tokens[i].text for i in described]
    noun = " ".join([*before, numbered(name, is_plural=False)])
    change = Change(place, phrase.whole, f"{article(noun)} {noun}")
    yield _single((change, *number_changes(caption, phrase.head, is_plural=False)), phrase.name, name, words)


def _is_countable_subject(caption: Caption, phrase: Phrase, words: Words, first: int) -> bool:
    """Whether a phrase names countable things that the caption is about, described by known attributes only.

    Args:
        first: the token behind what tells how many.
    """
    known = phrase.name in _PEOPLE or (
        words.vocabulary.names_concept(phrase.name) and phrase.name not in words.vocabulary.general
    )
    return (
        known
        and phrase.name not in _NO_SINGULAR
        and caption.tokens[phrase.head].text.lower() not in words.vocabulary.nouns["plural"]
        and is_subject(caption, phrase.head)
        and is_described_by(caption, range(first, phrase.unit), words)
        and caption.is_loose(phrase.first, phrase.head)
        and may_be_several(caption, phrase, words)
    )


def _is_told_together(caption: Caption, phrase: Phrase) -> bool:
    """Whether several things are told of with others, or do what one alone does not."""
    is_joined = any(phrase.head in pair or phrase.whole in pair for pair in caption.conjuncts)
    return is_joined or not caption.words.isdisjoint(_TOGETHER)


def _single(changes: tuple[Change, ...], old: str, noun: str, words: Words) -> Proposal:
    facts = tuple((_ONE, name) for name in sorted(kin_of(noun, words)))
    return _of_number(changes, old, _ONE, frozenset(words.vocabulary.counts[1]), facts)


def _of_number(
    changes: tuple[Change, ...],
    old: str,
    new: str,
    signs: frozenset[str],
    facts: tuple[tuple[str, ...], ...] = (),
) -> Proposal:
    counted = _ONE if old == "a" else old
    return Proposal(changes, old=old, new=new, repeatable=True, signs=signs, facts=facts, substitution=(counted, new))
