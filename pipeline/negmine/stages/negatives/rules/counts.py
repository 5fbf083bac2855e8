"""A count replaced by another: two dogs by three, a man by two men; noun and verb follow."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random

from negmine.language.agreement import is_sure, number_changes
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change
from negmine.language.inflect import article
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Level, Proposal, Swap, Words
from negmine.stages.negatives.rules.one_or_several import (
    inflected_unit,
    is_counted_alone,
    is_described_by,
    is_one_thing,
    is_uncounted,
    may_be_several,
    signs_of_several,
)
from negmine.stages.negatives.rules.quantities import replaced_quantity
from negmine.stages.negatives.rules.spans import has_pronoun

PER_COUNT = 3
NEAREST = 2
"""Counts are exchanged for ones at most this far away: larger numbers are hard to tell apart."""

MOST_SWAPPED = 5
"""Largest number that is exchanged for another thing's."""

_TOGETHER = frozenset({"each", "other", "another", "both", "together", "one", "ones"})
"""Words that speak of one of several things, or of all."""


def replace_count(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a number before a noun by a near one, "a" by "two" or "three", and words of quantity by others."""
    for phrase in caption.phrases:
        if not is_counted_alone(caption, phrase):
            continue
        if phrase.head == phrase.whole and not is_uncounted(phrase, words):
            if phrase.numeral != NO:
                yield from _other_number(caption, phrase, words, rng)
            elif is_one_thing(caption, phrase):
                yield from _more_than_one(caption, phrase, words)
        yield from replaced_quantity(caption, phrase, words, rng)


def _other_number(caption: Caption, phrase: Phrase, words: Words, rng: Random) -> Iterator[Proposal]:
    token = caption.tokens[phrase.numeral]
    number = words.vocabulary.number(token.text.lower())
    if number is None or (number == 1) == phrase.plural or not caption.is_loose(phrase.numeral, phrase.numeral):
        return
    if phrase.determiner != NO and number == 1:
        return
    near = [n for n in words.vocabulary.counts if 2 <= n <= 10 and 0 < abs(n - number) <= NEAREST]
    old = words.vocabulary.counts[number][0]
    for other in rng.sample(near, min(PER_COUNT, len(near))):
        yield _proposal(caption, phrase, phrase.numeral, old, other, words)
    if 2 <= number <= 1 + NEAREST and _may_be_one(caption, phrase, words):
        following = caption.tokens[phrase.numeral + 1]
        noun = inflected_unit(caption, phrase, is_plural=False) if phrase.unit == phrase.numeral + 1 else following.text
        for text in (article(noun), words.vocabulary.counts[1][0]):
            yield _proposal(caption, phrase, phrase.numeral, old, 1, words, text)


def _may_be_one(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether nothing but known attributes stands between a number and its noun: no two matching, no two other ones."""
    is_described = is_described_by(caption, range(phrase.numeral + 1, phrase.unit), words)
    return phrase.determiner == NO and is_described and is_sure(caption, phrase.head)


def _more_than_one(caption: Caption, phrase: Phrase, words: Words) -> Iterator[Proposal]:
    """ "a dog" -> "two dogs", "three dogs"."""
    is_thing = words.vocabulary.names_concept(phrase.name) and phrase.name not in words.vocabulary.general
    if is_thing and may_be_several(caption, phrase, words):
        for number in (2, 3):
            yield _proposal(caption, phrase, phrase.determiner, "a", number, words)


def _proposal(
    caption: Caption, phrase: Phrase, place: int, old: str, number: int, words: Words, text: str = ""
) -> Proposal:
    """A number for another.

    Args:
        old: its word, or "a", which counts as one: captions say "a dog" of one dog.
        text: how the new one is written, if not by its own word.
    """
    vocabulary = words.vocabulary
    forms = vocabulary.counts[number]
    text = text or (forms[1] if caption.tokens[place].text.isdigit() else forms[0])
    changes = [Change(place, place, text)]
    signs = frozenset(forms)
    if (number > 1) != phrase.plural:
        changes.append(Change(phrase.unit, phrase.head, inflected_unit(caption, phrase, number > 1)))
        changes += number_changes(caption, phrase.head, number > 1)
        signs |= signs_of_several(phrase.name, words) if number > 1 else NONE
    counted = vocabulary.counts[1][0] if old == "a" else old
    return Proposal(
        tuple(changes), old=old, new=forms[0], repeatable=True, signs=signs, substitution=(counted, forms[0])
    )


def swapped_counts(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """ "a man with two dogs" -> "two men with a dog": the numbers of two things exchanged.

    Things of one list are left to `swap_object`.
    """
    if has_pronoun(caption, 0, len(caption.tokens) - 1) or not caption.words.isdisjoint(_TOGETHER):
        return
    counted = [(phrase, number) for phrase in caption.phrases if (number := _number(caption, phrase, words))]
    pairs = [
        pair
        for pair in combinations(counted, 2)
        if pair[0][1] != pair[1][1]
        and not caption.are_conjuncts(pair[0][0].head, pair[1][0].head)
        and words.role(pair[0][0].name) != words.role(pair[1][0].name)
    ]
    rng.shuffle(pairs)
    for (left, of_left), (right, of_right) in pairs:
        if _are_too_many(left, of_left, of_right, words) or _are_too_many(right, of_right, of_left, words):
            continue
        changes = [*_recounted(caption, left, of_right, words), *_recounted(caption, right, of_left, words)]
        changes.sort(key=lambda change: change.first not in (_place(left), _place(right)))
        several = (phrase for phrase, becomes in ((left, of_right), (right, of_left)) if becomes > 1 != phrase.plural)
        forms = words.vocabulary.counts
        yield Proposal(
            tuple(changes),
            swap=Swap(caption.phrase_of[left.head], caption.phrase_of[right.head], Level.ATTRIBUTE),
            signs=NONE.union(*(signs_of_several(phrase.name, words) for phrase in several)),
            facts=((forms[of_right][0], left.name), (forms[of_left][0], right.name)),
        )


def _are_too_many(phrase: Phrase, number: int, becomes: int, words: Words) -> bool:
    """Whether one thing becomes three or more, as people and animals may."""
    return number == 1 and becomes > 2 and not words.role(phrase.name).animate


def _place(phrase: Phrase) -> int:
    """Where a phrase's number is told."""
    return phrase.numeral if phrase.numeral != NO else phrase.determiner


def _number(caption: Caption, phrase: Phrase, words: Words) -> int:
    """How many things a phrase tells of, where that may be another number; else 0."""
    vocabulary, place = words.vocabulary, _place(phrase)
    if place == NO or phrase.head != phrase.whole or not words.vocabulary.names_concept(phrase.name):
        return 0
    if is_uncounted(phrase, words) or phrase.name in vocabulary.general:
        return 0
    word = caption.tokens[place].text.lower()
    number = 1 if word in ("a", "an") else vocabulary.number(word) or 0
    is_alone = phrase.first == place and caption.is_loose(place, place) and caption.is_loose(phrase.unit, phrase.head)
    if not is_alone or not 0 < number <= MOST_SWAPPED or (number == 1) == phrase.plural:
        return 0
    is_part = (
        caption.tokens[phrase.head].dep == "pobj" and caption.tokens[caption.tokens[phrase.head].head].text == "of"
    )
    return number if may_be_several(caption, phrase, words) and not is_part else 0


def _recounted(caption: Caption, phrase: Phrase, number: int, words: Words) -> Iterator[Change]:
    """A phrase with another number, its number first; the verb that agrees with it follows."""
    place, is_plural = _place(phrase), number > 1
    noun = inflected_unit(caption, phrase, is_plural) if is_plural != phrase.plural else ""
    following = noun if noun and phrase.unit == place + 1 else caption.tokens[place + 1].text
    text = words.vocabulary.counts[number][0] if is_plural else article(following)
    yield Change(place, place, text)
    if noun:
        yield Change(phrase.unit, phrase.head, noun)
        yield from number_changes(caption, phrase.head, is_plural)
