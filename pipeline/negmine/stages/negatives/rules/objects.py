"""A noun replaced by another of its group, or by one that stands in the same slots elsewhere: a dog by a cat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import NamedTuple

from negmine.language.caption import NO, Caption, Phrase, Token
from negmine.language.changes import Change
from negmine.language.inflect import numbered, plural
from negmine.language.slots import Slots, last_word, of_phrase, slots_of, whole_of
from negmine.language.vocabulary import NONE, Place
from negmine.stages.negatives.proposal import ALIKE, Filling, Proposal, Words, governor_of
from negmine.stages.negatives.rules.attributes import fits
from negmine.stages.negatives.rules.quantities import MEASURED_BY

PER_NOUN = 24
"""Draws for one noun."""

PER_SLOT = 32
"""Draws for it from what other captions have in its place."""

PER_CLASS = 4
"""Draws for it from other groups of its broad class, where these are alike enough or nothing is known of its place."""

PER_NEIGHBOUR = 16
"""Draws for a noun of no curated group."""

TIED = 4.5
"""Pointwise mutual information of two nouns tied by "of", from which on they are one thing: the bed of a truck."""

ONLY_THE = frozenset({"ground", "floor"})
"""Nouns that "the" stands before: nobody lies on a ground."""

_OFTEN_MASS = frozenset({"food", "substance", "phenomenon"})
_COUNTING = frozenset({"a", "an", "one", "each", "another", "this", "that", "every"})
_PRONOUNS = {
    "male": {("he", "PRP"): "she", ("him", "PRP"): "her", ("his", "PRP$"): "her", ("himself", "PRP"): "herself"},
    "female": {("she", "PRP"): "he", ("her", "PRP"): "him", ("her", "PRP$"): "his", ("herself", "PRP"): "himself"},
}


def replace_object(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a noun (with its compounds) by one of the same group, in the same number."""
    for index, phrase in enumerate(caption.phrases):
        if (
            not caption.is_loose(phrase.unit, phrase.head)
            or _is_name(caption, phrase)
            or _is_colour(caption, phrase, words)
            or _is_tied(caption, index, words)
        ):
            continue
        known, slots = _known(caption, index, words), slots_of(caption, index)
        if known is None:
            yield from _neighbours(caption, phrase, slots, words, rng)
            continue
        near = tuple(dict.fromkeys(other for place in known.places for other in place.others))
        stands_alone = phrase.whole == phrase.head  # "a plate of food" is no bottle of food
        fitting, far = list[str](), tuple[str, ...]()
        if known.counted == "count" and stands_alone:
            fitting = [
                other
                for other in words.fitting(rng, slots, known.noun, PER_SLOT)
                if not _is_left_of(phrase.name, other)
            ]
            is_alike = words.lexicon.broad_class(known.noun) in ALIKE
            far = words.peers(known.noun) if is_alike or not words.knows_place(slots) else ()
        of_group = words.drawn_for(rng, slots, known.noun, near, PER_NOUN)
        drawn = dict.fromkeys((*of_group, *fitting, *words.drawn(rng, far, PER_CLASS)))
        as_plural = phrase.plural and known.counted == "count"
        has_sex = known.noun in words.vocabulary.sexes
        determiner = caption.tokens[phrase.determiner].text.lower() if phrase.determiner != NO else ""
        wants_mass = known.counted == "count" and _is_bare(caption, index)
        for other in drawn:
            if other in ONLY_THE and determiner in ("a", "an"):
                continue
            if wants_mass and other not in words.vocabulary.nouns["mass"]:
                continue
            keeps = _keeps_attributes(caption, phrase, known.noun, other, words)
            if not keeps or not _keeps_measure(caption, phrase, other, words):
                continue
            change = Change(phrase.unit, phrase.head, numbered(other, as_plural))
            repairs = _pronouns(caption, known.noun, other, words) if has_sex else ()
            yield Proposal(
                (change, *repairs),
                phrase.name,
                other,
                signs=words.vocabulary.noun_signs[other],
                filling=Filling(slots, other, phrase.name),
            )


def _is_bare(caption: Caption, index: int) -> bool:
    """Whether an object has no article although the caption gives its first noun one: eats cake, is at bat."""
    phrase = caption.phrases[index]
    is_object = any(relation.object == index for relation in caption.relations)
    is_listed = any(phrase.head in pair for pair in caption.conjuncts)
    has_none = phrase.determiner == NO and phrase.numeral == NO and not phrase.plural
    return has_none and is_object and not is_listed and caption.phrases[0].determiner != NO


def _is_left_of(name: str, other: str) -> bool:
    """Whether a noun is what is left of a unit without some of its words: a dog of a hot dog stand."""
    return set(other.split(" ")) <= set(name.split(" "))


def _keeps_measure(caption: Caption, phrase: Phrase, other: str, words: Words) -> bool:
    """Whether another noun can be measured as this one is: no herd of men, no crowd of swans."""
    measure = next((p.name for p in caption.phrases if p.whole == phrase.head and p.head != phrase.head), "")
    broad_class = "person" if other in ("people", "person") else words.lexicon.broad_class(other)
    return broad_class in MEASURED_BY.get(measure, {broad_class})


def _keeps_attributes(caption: Caption, phrase: Phrase, noun: str, other: str, words: Words) -> bool:
    """Whether what is said of a noun can be said of another: a brown dog becomes no brown man."""
    values = (words.vocabulary.attributes.get(caption.tokens[i].text.lower(), ()) for i in phrase.attributes)
    is_person = other in ("people", "person") or words.lexicon.broad_class(other) == "person"
    return not any(
        (is_person or any(fits(value, noun, words) for value in several))
        and not any(fits(value, other, words) for value in several)
        for several in values
        if several
    )


def _is_tied(caption: Caption, index: int, words: Words) -> bool:
    """Whether "of" makes one thing of a noun and another, so that neither is exchanged alone: the bed of a truck.

    A part is tied to its whole, a whole to the part that captions mostly name of it. A measure is no part.
    """
    phrase = caption.phrases[index]
    if phrase.whole != phrase.head:
        return False
    if of_phrase(caption, index) != NO:
        return True
    parts = (other for n, other in enumerate(caption.phrases) if of_phrase(caption, n) == index)
    return any(
        part.whole == part.head and words.slots.pmi(phrase.name, whole_of(last_word(part.name))) > TIED
        for part in parts
    )


def _neighbours(caption: Caption, phrase: Phrase, slots: Slots, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a noun of no curated group by what others have in its place, if it is a thing.

    Where nothing of its sort is known there, by its neighbours in WordNet, else by any thing of its broad class.
    """
    noun = phrase.name.rsplit(" ", 1)[-1]
    if (
        phrase.whole != phrase.head
        or not words.vocabulary.general.isdisjoint({phrase.name, noun})
        or phrase.name in words.vocabulary.uncounted
    ):
        return
    determiner = caption.tokens[phrase.determiner].text.lower() if phrase.determiner != NO else ""
    is_of = phrase.head + 1 < len(caption.tokens) and caption.tokens[phrase.head + 1].text.lower() == "of"
    stands_for_itself = (phrase.plural or bool(determiner)) and not is_of
    others: Sequence[str] = words.fitting(rng, slots, noun, PER_NEIGHBOUR) if stands_for_itself else ()
    if not others:
        others = words.clusters.neighbours(phrase.name) or words.clusters.neighbours(noun)
        if not others and stands_for_itself:
            others = words.peers(noun)
    is_counted = phrase.plural or determiner in _COUNTING
    fitting = [
        other
        for other in others
        if not _is_left_of(phrase.name, other)
        and not (is_counted and words.lexicon.broad_class(other) in _OFTEN_MASS)
        and (phrase.plural or plural(other) != other)
        and _keeps_measure(caption, phrase, other, words)
    ]
    for other in words.drawn_for(rng, slots, noun, fitting, PER_NEIGHBOUR):
        change = Change(phrase.unit, phrase.head, numbered(other, phrase.plural))
        signs = words.lexicon.entry(other).synonyms | words.vocabulary.noun_signs.get(other, NONE) | {other}
        yield Proposal((change,), old=phrase.name, new=other, signs=signs, filling=Filling(slots, other, phrase.name))


def _is_name(caption: Caption, phrase: Phrase) -> bool:
    """Whether a phrase is a proper name; taggers take lower-case "frisbee" for one."""
    return any(
        token.tag in ("NNP", "NNPS") and token.text[:1].isupper() and not caption.starts_sentence(phrase.unit)
        for token in caption.tokens[phrase.unit : phrase.head + 1]
    )


def _is_colour(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a noun is a colour beside another: "a black and silver motorcycle"."""
    if not words.vocabulary.is_of("colour", caption.tokens[phrase.head].text.lower()):
        return False
    joined = [place + step for step in (-1, 1) for place in [phrase.head + step] if _joins(caption, place)]
    return any(
        words.vocabulary.is_of("colour", caption.tokens[i].text.lower()) for i in joined if 0 <= i < len(caption.tokens)
    )


def _joins(caption: Caption, place: int) -> bool:
    return 0 <= place < len(caption.tokens) and (caption.tokens[place].tag == "CC" or caption.tokens[place].text == ",")


class _Known(NamedTuple):
    """The noun a phrase is known by, how it is counted, and the groups that allow a substitution here."""

    noun: str
    counted: str
    places: tuple[Place, ...]


def _known(caption: Caption, index: int, words: Words) -> _Known | None:
    phrase, governor = caption.phrases[index], governor_of(caption, index)
    for noun in _names(phrase, caption.tokens[phrase.head]):
        for counted in _countings(caption, phrase):
            places = tuple(
                place
                for place in words.vocabulary.nouns[counted].get(noun, ())
                if place.others and governor not in place.not_after and (not place.after or governor in place.after)
            )
            if places:
                return _Known(noun, counted, places)
        if words.vocabulary.names_concept(noun):
            break
    return None


def _names(phrase: Phrase, head: Token) -> Iterator[str]:
    """What a phrase may be known by: its unit, ever shorter ends of it, and the noun as it is written."""
    parts = phrase.name.split(" ")
    yield from (" ".join(parts[start:]) for start in range(len(parts)))
    yield head.text.lower()


def _countings(caption: Caption, phrase: Phrase) -> tuple[str, ...]:
    """The ways a phrase may count its noun: a bare singular is a mass before it is a headline's count noun."""
    if phrase.plural:
        return ("plural", "count")
    determiner = caption.tokens[phrase.determiner].text.lower() if phrase.determiner != NO else ""
    if determiner in _COUNTING:
        return ("count",)
    return ("count", "mass") if determiner not in ("", "some", "much") else ("mass", "count")


def _pronouns(caption: Caption, old: str, new: str, words: Words) -> Iterator[Change]:
    """Pronouns that follow when the only person of a caption changes sex."""
    sexes = words.vocabulary.sexes
    was = sexes[old]
    if sexes.get(new) in (None, was):
        return
    if sum(token.lemma in sexes for token in caption.tokens if token.pos == "NOUN") > 1:
        return
    for i, token in enumerate(caption.tokens):
        form = _PRONOUNS[was].get((token.text.lower(), token.tag))
        if form:
            yield Change(i, i, form)
