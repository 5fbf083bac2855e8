"""An attribute replaced by another value of its dimension: red by green, wooden by metal, open by closed."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from negmine.language.caption import NO, Caption
from negmine.language.changes import Change
from negmine.language.vocabulary import NONE, Dimension, Value
from negmine.stages.negatives.proposal import Proposal, Words

PER_ATTRIBUTE = 8
"""Draws for one attribute."""

_CLOSE_TO_SHADE = {
    "dark": frozenset({"black", "gray"}),
    "deep": frozenset({"black", "gray"}),
    "light": frozenset({"white", "gray"}),
    "pale": frozenset({"white", "gray"}),
}
"""Values that a shade comes close to: "dark brown" may look black."""

_ANYTHING = frozenset({"object", "thing", "item", "one", "ones", "something"})
"""Nouns that may stand for any other."""


class Owned(NamedTuple):
    """An attribute's token, the lemma of the noun it describes, and whether it stands after "is"."""

    token: int
    noun: str
    predicate: bool


def replace_attribute(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace an attribute before a noun or after "is" by another value of its dimension."""
    for owned in _owned(caption):
        if owned.token in caption.bound or not caption.is_loose(owned.token, owned.token):
            continue
        value = _fitting(caption, owned, words)
        if value is None:
            continue
        dimension, broad_class = words.vocabulary.dimensions[value.dimension], words.lexicon.broad_class(owned.noun)
        others = [other for other in value.others if dimension.allows(other, owned.noun, broad_class)]
        first = owned.token - is_shaded(caption, owned.token, words)
        said = _said_beside(caption, owned.token) | _CLOSE_TO_SHADE.get(caption.tokens[first].text.lower(), NONE)
        signs = words.vocabulary.attribute_signs
        said |= _said_of_such(caption, owned)
        others = [other for other in others if other not in said and said.isdisjoint(signs[other])]
        for other in words.drawn(rng, others, PER_ATTRIBUTE):
            yield Proposal(
                (Change(first, owned.token, other),),
                old=value.name,
                new=other,
                repeatable=True,
                signs=words.vocabulary.attribute_signs[other],
                facts=((other, owned.noun),),
                substitution=(value.name, other),
            )


def _said_beside(caption: Caption, token: int) -> frozenset[str]:
    """The other words before the noun of an attribute: "pink and green" does not become "green and green"."""
    phrase = next((p for p in caption.phrases if p.first <= token <= p.head), None)
    return NONE if phrase is None else frozenset(t.text.lower() for t in caption.tokens[phrase.first : phrase.head])


def _said_of_such(caption: Caption, owned: Owned) -> frozenset[str]:
    """Attributes of the caption's other things of this name, or of any if the name says nothing: with "a red square"
    in it, "one green object" does not become "one red object"."""
    is_any = owned.noun in _ANYTHING
    return frozenset(
        caption.tokens[attribute].text.lower()
        for phrase in caption.phrases
        for attribute in phrase.attributes
        if attribute != owned.token and (is_any or phrase.name == owned.noun or phrase.name in _ANYTHING)
    )


def is_shaded(caption: Caption, token: int, words: Words) -> bool:
    """Whether the word before an attribute makes one name with it: "mint green" is no red with mint."""
    if token == 0 or not caption.is_loose(token - 1, token - 1):
        return False
    before, vocabulary = caption.tokens[token - 1].text.lower(), words.vocabulary
    values = vocabulary.attributes.get(caption.tokens[token].text.lower(), ())
    return any(before in vocabulary.dimensions[value.dimension].shades for value in values)


def _owned(caption: Caption) -> Iterator[Owned]:
    for phrase in caption.phrases:
        for attribute in phrase.attributes:
            yield Owned(attribute, phrase.name, predicate=False)
        yield from (
            Owned(i, caption.tokens[phrase.head].lemma, predicate=False) for i in range(phrase.unit, phrase.head)
        )
    for i, token in enumerate(caption.tokens):
        if token.dep == "acomp" and token.pos == "ADJ" and caption.tokens[token.head].lemma == "be":
            subject = next((c for c in caption.children[token.head] if caption.tokens[c].dep == "nsubj"), NO)
            if subject in caption.phrase_of:
                yield Owned(i, caption.phrases[caption.phrase_of[subject]].name, predicate=True)


def _fitting(caption: Caption, owned: Owned, words: Words) -> Value | None:
    """The value a word names of this noun."""
    token = caption.tokens[owned.token]
    for value in words.vocabulary.attributes.get(token.text.lower(), ()):
        in_unit = token.dep == "compound" and token.pos == "NOUN"
        if in_unit and (value.dimension != "material" or _is_named_unit(caption, owned.token, words)):
            continue
        if owned.predicate and not words.vocabulary.dimensions[value.dimension].predicate:
            continue
        if value.others and applies(words.vocabulary.dimensions[value.dimension], owned.noun, words):
            return value
    return None


def _is_named_unit(caption: Caption, token: int, words: Words) -> bool:
    """Whether a unit is more than a material and a noun ("wine glass", "toilet paper holder")."""
    phrase = next(p for p in caption.phrases if p.unit <= token <= p.head)
    return phrase.head != token + 1 or token != phrase.unit or words.vocabulary.names_concept(phrase.name)


def applies(dimension: Dimension, noun: str, words: Words) -> bool:
    """Whether one speaks of a noun in a dimension ("tall" of a building, not of a street)."""
    names = {noun, *noun.split(" ")}
    if not dimension.not_nouns.isdisjoint(names):
        return False
    if dimension.nouns or dimension.classes:
        last = noun.rsplit(" ", 1)[-1]
        return not dimension.nouns.isdisjoint({noun, last}) or words.lexicon.broad_class(noun) in dimension.classes
    return True


def fits(value: Value, noun: str, words: Words) -> bool:
    """Whether a value is a likely one of a noun."""
    dimension = words.vocabulary.dimensions[value.dimension]
    return applies(dimension, noun, words) and dimension.allows(value.name, noun, words.lexicon.broad_class(noun))
