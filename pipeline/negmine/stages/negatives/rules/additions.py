"""Drop one, add one: a place exchanged for another, an adjective taken from one noun and one given to another.

A pure insertion is betrayed by its length, and a pure removal leaves the caption true.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from random import Random

from negmine.language.caption import Caption, Phrase, Relation
from negmine.language.changes import Change, moved
from negmine.language.inflect import article
from negmine.language.slots import slots_behind
from negmine.language.vocabulary import NONE, Value
from negmine.stages.negatives.proposal import Filling, Proposal, Words
from negmine.stages.negatives.rules.attributes import fits, is_shaded
from negmine.stages.negatives.rules.objects import ONLY_THE
from negmine.stages.negatives.rules.spans import phrase_end
from negmine.stages.negatives.rules.swaps import LOOKS

PER_KIND = 5
"""Proposals of each source of new phrases, and of new adjectives for one noun."""

MOST_PLACES = 2
"""Prepositional phrases of one caption that are exchanged, the last ones."""

BESIDE = ("next to", "behind", "in front of", "near", "beside")
"""Prepositions that go with any thing."""

_ARTICLES = frozenset({"a", "an", "the"})
_PLACES = frozenset({"room", "venue", "station", "in_place", "on_place", "court", "waters"})
"""Groups of places, which one is in and seldom beside."""

_PART_OF = frozenset({"some", "any"})
"""Determiners of a part, of which a narrower part may be told as well."""

_USUAL = frozenset({"black", "white", "brown", "gray"})
"""Colours so common that an unmentioned one may well be true."""


# --- phrases ---------------------------------------------------------------------------------------------------------


def add_object(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Exchange one of the last prepositional phrases for one of another setting, or of another thing of its group."""
    settings = _other_settings(caption, words)
    for relation, end in _last_places(caption, words):
        item = caption.phrases[relation.object]
        determiner = "the" if caption.tokens[item.first].text.lower() == "the" else "a"
        near = words.vocabulary.near.get(relation.name, NONE)
        beside = [preposition for preposition in BESIDE if preposition not in near]
        sources = (*settings.items(), (rng.choice(beside), _things(item.name, words)))
        for preposition, nouns in sources:
            slots = slots_behind(caption, relation.object, relation.name, preposition)
            for noun in words.drawn_for(rng, slots, "", nouns, PER_KIND):
                if determiner == "a" and noun in ONLY_THE:
                    continue
                yield Proposal(
                    (Change(relation.first, end, _phrase(preposition, determiner, noun)),),
                    old=item.name,
                    new=noun,
                    signs=words.vocabulary.noun_signs.get(noun, NONE) | words.lexicon.entry(noun).synonyms | {noun},
                    facts=((preposition, noun),),
                    substitution=(relation.name, preposition),
                    filling=Filling(slots, noun),
                )


def _phrase(preposition: str, determiner: str, noun: str) -> str:
    return f"{preposition} {article(noun) if determiner == 'a' else determiner} {noun}"


def _last_places(caption: Caption, words: Words) -> list[tuple[Relation, int]]:
    """The last prepositions of place whose phrases belong to no list, and where their phrases end."""
    found: list[tuple[Relation, int]] = []
    for relation in reversed(caption.relations):
        end = phrase_end(caption, caption.phrases[relation.object])
        if _is_place(caption, relation, words) and not _is_listed(caption, end):
            found.append((relation, end))
        if len(found) == MOST_PLACES:
            break
    return found


def _is_place(caption: Caption, relation: Relation, words: Words) -> bool:
    if relation.verb or not caption.is_loose(relation.first, relation.last):
        return False
    at_scene = relation.name == "at" and caption.phrases[relation.object].name in words.vocabulary.scenes
    known = at_scene or relation.name in words.vocabulary.contraries
    return (
        known
        and _is_put_in(caption, caption.phrases[relation.object], words)
        and not _belongs_to_verb(caption, relation, words)
    )


def _is_put_in(caption: Caption, item: Phrase, words: Words) -> bool:
    """Whether an article and a noun that this rule also puts in: what is only ever dropped would tell."""
    if item.plural or caption.tokens[item.first].text.lower() not in _ARTICLES:
        return False
    is_thing = item.name in words.vocabulary.put_in and item.name not in words.vocabulary.vague
    return is_thing or item.name in words.vocabulary.places


def _is_listed(caption: Caption, end: int) -> bool:
    """Whether a phrase goes on in a list behind its end, or in words the parser did not give it."""
    following = caption.tokens[end + 1] if end + 1 < len(caption.tokens) else None
    return following is not None and (following.text == "," or following.tag == "CC" or following.pos == "NOUN")


def _belongs_to_verb(caption: Caption, relation: Relation, words: Words) -> bool:
    """Whether a verb asks for the phrase ("covered in snow", "picks up from")."""
    before = caption.tokens[relation.first - 1] if relation.first else None
    if before is None or before.tag in ("IN", "RP", "TO", "JJ"):
        return True
    governor = caption.tokens[caption.tokens[relation.first].head]
    return governor.tag == "VBN" and governor.text.lower() not in words.vocabulary.participles


def _other_settings(caption: Caption, words: Words) -> dict[str, list[str]]:
    """Places of the settings that no word of the caption belongs to, or goes with, by their prepositions."""
    found = defaultdict[str, list[str]](list)
    for setting in words.vocabulary.settings:
        if caption.words.isdisjoint(setting.nouns | setting.signs):
            for preposition, noun in setting.places:
                found[preposition].append(noun)
    return found


def _things(noun: str, words: Words) -> tuple[str, ...]:
    places = words.vocabulary.nouns["count"]
    found = places.get(noun) or places.get(noun.rsplit(" ", 1)[-1], ())
    others = dict.fromkeys(other for place in found if place.group not in _PLACES for other in place.others)
    return tuple(other for other in others if other not in words.vocabulary.scenes)


# --- adjectives ------------------------------------------------------------------------------------------------------


def add_attribute(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Drop an adjective and give another noun the same one, or another of its dimension."""
    dropped = [
        (n, a) for n, phrase in enumerate(caption.phrases) for a in phrase.attributes if _may_drop(caption, a, words)
    ]
    bare = [n for n, phrase in enumerate(caption.phrases) if _may_gain(caption, phrase, words)]
    for owner, attribute in dropped:
        value = _value(caption, owner, attribute, words)
        if value is None:
            continue
        drop = Change(attribute, attribute + 1, moved(caption, attribute + 1, attribute + 1))
        for gains in bare:
            if gains != owner and caption.phrases[gains].unit != attribute + 1 and not _is_told(caption, gains):
                yield from _given(caption, gains, value, drop, words, rng)


def _is_told(caption: Caption, phrase: int) -> bool:
    """Whether another phrase has the same noun and may tell of the same thing: "a red star ... exactly one star"."""
    name = caption.phrases[phrase].name
    return any(other.name == name for n, other in enumerate(caption.phrases) if n != phrase)


def _value(caption: Caption, owner: int, attribute: int, words: Words) -> Value | None:
    """What an adjective says of its noun: "old" is an age of a man, and an era of a bus."""
    values = words.vocabulary.attributes[caption.tokens[attribute].text.lower()]
    return next((value for value in values if fits(value, caption.phrases[owner].name, words)), None)


def _given(caption: Caption, gains: int, value: Value, drop: Change, words: Words, rng: Random) -> Iterator[Proposal]:
    phrase = caption.phrases[gains]
    unit, taken = moved(caption, phrase.unit, phrase.unit), caption.tokens[drop.first].text.lower()

    def proposal(word: str, old: str, signs: frozenset[str]) -> Proposal:
        gain = Change(phrase.unit, phrase.unit, f"{word} {unit}")
        facts = ((word, phrase.name),)
        return Proposal(
            (gain, drop), old=old, new=word, repeatable=True, signs=signs, facts=facts, substitution=(taken, word)
        )

    if value.dimension not in LOOKS:
        return  # of size, age and style two things of an image often share one
    dimension = words.vocabulary.dimensions[value.dimension]

    def is_told(name: str) -> bool:
        """Whether a value is a likely one of the noun, and one that would be said."""
        is_usual = name in _USUAL or dimension.is_usual(name, phrase.name)
        return not is_usual and fits(Value(value.dimension, name, ()), phrase.name, words)

    if is_told(value.name):
        yield proposal(taken, "", NONE)
    others = [other for other in value.others if is_told(other)]
    for other in words.drawn(rng, others, PER_KIND):
        yield proposal(other, value.name, words.vocabulary.attribute_signs[other])


def _may_drop(caption: Caption, attribute: int, words: Words) -> bool:
    """Whether an adjective is one we know and stands alone, so that the rest reads on without it."""
    tokens = caption.tokens
    if attribute in caption.bound or tokens[attribute].text.lower() not in words.vocabulary.attributes:
        return False
    after, before = tokens[attribute + 1], tokens[attribute - 1].text.lower() if attribute else ""
    in_list = after.tag in ("CC", ",", "HYPH") or before in ("and", ",", "or", "very", "-", "so")
    return not in_list and not is_shaded(caption, attribute, words) and caption.is_loose(attribute, attribute)


def _may_gain(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a noun is a thing without an adjective, and told of whole: of "at least two dogs" two may be black."""
    vocabulary, before = words.vocabulary, caption.tokens[phrase.first].text.lower()
    if before in _PART_OF or not caption.scopes.isdisjoint(range(phrase.first, phrase.head + 1)):
        return False
    if phrase.attributes or phrase.whole != phrase.head or phrase.name in vocabulary.scenes:
        return False
    if phrase.name in vocabulary.vague:
        return False
    named = any(token.pos == "PROPN" for token in caption.tokens[phrase.unit : phrase.head + 1])
    return words.vocabulary.names_concept(phrase.name) and not named and caption.is_loose(phrase.unit, phrase.head)
