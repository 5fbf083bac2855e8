"""A noun replaced by another of its group: a dog by a cat, a bus by a truck."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.text.caption import NO, Caption, Phrase, Token
from negmine.text.inflect import numbered
from negmine.text.proposal import Change, Proposal, Words, preposition_before
from negmine.text.vocabulary import Place

PER_NOUN = 6
"""Proposals for one noun."""

PER_NEIGHBOUR = 4
"""Proposals for a noun of no curated group."""

_OFTEN_MASS = frozenset({"food", "substance", "phenomenon"})
_COUNTING = frozenset({"a", "an", "one", "each", "another", "this", "that", "every"})
_PRONOUNS = {
    "male": {("he", "PRP"): "she", ("him", "PRP"): "her", ("his", "PRP$"): "her", ("himself", "PRP"): "herself"},
    "female": {("she", "PRP"): "he", ("her", "PRP"): "him", ("her", "PRP$"): "his", ("herself", "PRP"): "himself"},
}


def replace_object(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a noun (with its compounds) by one of the same group, in the same number."""
    for index, phrase in enumerate(caption.phrases):
        if not caption.is_loose(phrase.unit, phrase.head) or _is_name(caption, phrase):
            continue
        noun, place = _place(caption, index, words)
        if place is None:
            yield from _neighbours(caption, phrase, words, rng)
            continue
        for other in rng.sample(place.others, min(PER_NOUN, len(place.others))):
            as_plural = phrase.plural and noun == phrase.name[-len(noun) :] and noun in words.vocabulary.nouns["count"]
            changes = (
                Change(phrase.unit, phrase.head, numbered(other, as_plural)),
                *_pronouns(caption, noun, other, words),
            )
            yield Proposal(changes, old=phrase.name, new=other, signs=words.vocabulary.noun_signs[other])


def _neighbours(caption: Caption, phrase: Phrase, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a noun of no curated group by its neighbours in WordNet of about the same frequency."""
    vocabulary, noun = words.vocabulary, phrase.name.rsplit(" ", 1)[-1]
    general = vocabulary.vague | vocabulary.measures | vocabulary.scenes
    if (
        phrase.whole != phrase.head
        or not general.isdisjoint({phrase.name, noun})
        or phrase.name in vocabulary.uncounted
    ):
        return
    determiner = caption.tokens[phrase.determiner].text.lower() if phrase.determiner != NO else ""
    others = words.clusters.neighbours(phrase.name) or words.clusters.neighbours(noun)
    is_counted = phrase.plural or determiner in _COUNTING
    fitting = [other for other in others if not is_counted or words.lexicon.broad_class(other) not in _OFTEN_MASS]
    for other in rng.sample(fitting, min(PER_NEIGHBOUR, len(fitting))):
        change = Change(phrase.unit, phrase.head, numbered(other, phrase.plural))
        yield Proposal((change,), old=phrase.name, new=other, signs=words.lexicon.entry(other).synonyms | {other})


def _is_name(caption: Caption, phrase: Phrase) -> bool:
    return any(token.tag in ("NNP", "NNPS") for token in caption.tokens[phrase.unit : phrase.head + 1])


def _place(caption: Caption, index: int, words: Words) -> tuple[str, Place | None]:
    """The noun a phrase is known by and the first group that allows an exchange here."""
    phrase, preposition = caption.phrases[index], preposition_before(caption, index)
    head = caption.tokens[phrase.head]
    for noun in _names(phrase, head):
        for counted in _countings(caption, phrase):
            for place in words.vocabulary.nouns[counted].get(noun, ()):
                if (
                    place.others
                    and preposition not in place.not_after
                    and (not place.after or preposition in place.after)
                ):
                    return noun, place
        if words.vocabulary.names_concept(noun):
            break
    return "", None


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
    was = _sex(old, words)
    if was is None or sexes.get(new) in (None, was):
        return
    if sum(_sex(token.lemma, words) is not None for token in caption.tokens if token.pos == "NOUN") > 1:
        return
    for i, token in enumerate(caption.tokens):
        form = _PRONOUNS[was].get((token.text.lower(), token.tag))
        if form:
            yield Change(i, i, form)


def _sex(noun: str, words: Words) -> str | None:
    return words.vocabulary.sexes.get(noun)
