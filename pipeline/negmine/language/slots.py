"""Where a noun stands: the dependency slots that a phrase of a caption fills, each as a hash.

A slot is what governs the noun (ridden, sat on, grazing), what it governs (with a hat), what measures it (a herd of),
its adjectives, its conjuncts, and the other nouns of the caption. Nouns that fill the same slots can stand in for each
other there (Harris, 1954; Erk, 2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from negmine.base.hashing import hash64
from negmine.language.analyse import subject_of
from negmine.language.caption import NO, Caption, Phrase

BITS: Final = 47
"""Of a slot's hash, so that it fits beside a noun and a fold in 63 bits."""

Slots = tuple[int, ...]

_LIGHT: Final = frozenset({"be", "have"})
"""Verbs that say nothing of their subjects."""


@lru_cache(maxsize=1 << 17)
def slot(*parts: str) -> int:
    """The hash of a slot: its kind, and the words that make it."""
    return hash64("\0".join(parts)) >> (64 - BITS)


ANY: Final = slot("any")
"""The slot that every noun fills, whose counts are the nouns' own."""


def companion(noun: str) -> int:
    """The slot of being said in one caption with a noun."""
    return slot("with", noun)


def part_of(noun: str) -> int:
    """The slot before "of" and a noun: the bed of a truck."""
    return slot("of", noun)


def whole_of(noun: str) -> int:
    """The slot behind a noun and "of": the bed of a truck."""
    return slot("whose", noun)


def last_word(noun: str) -> str:
    return noun.rsplit(" ", 1)[-1]


def slots_of(caption: Caption, index: int) -> Slots:
    """The slots that a phrase fills, ascending."""
    found = {ANY, *_relations(caption, index), *_verbs(caption, index), *_inside(caption, index)}
    return tuple(sorted(found.union(_companions(caption, index))))


def slots_behind(caption: Caption, index: int, old: str, preposition: str) -> Slots:
    """The slots that a phrase would fill if another preposition took the place of the old one."""
    found = {ANY, *_companions(caption, index)}
    for relation in caption.relations:
        if relation.object == index and not relation.verb and relation.name == old:
            found.update(_behind(caption, relation.first, relation.subject, preposition))
    return tuple(sorted(found))


def of_phrase(caption: Caption, index: int) -> int:
    """The phrase that "of" ties to a phrase right behind it, or `NO`."""
    head = caption.phrases[index].head
    return next((r.object for r in caption.relations if r.name == "of" and not r.verb and r.first == head + 1), NO)


def _relations(caption: Caption, index: int) -> Iterator[int]:
    for relation in caption.relations:
        if relation.object == index and relation.verb:
            yield slot("dobj", relation.name)
            if relation.subject != NO:
                yield slot("rel_o", _noun(caption, relation.subject), relation.name)
        elif relation.object == index:
            yield from _behind(caption, relation.first, relation.subject, relation.name)
        elif relation.subject == index:
            yield slot("rel_s", relation.name, _noun(caption, relation.object))
            if not relation.verb:
                yield slot("mod", relation.name)
        if relation.name == "of" and not relation.verb:
            if relation.first == caption.phrases[index].head + 1:
                yield part_of(_noun(caption, relation.object))
            if relation.object == index:
                before = next((p for p in caption.phrases if p.head == relation.first - 1), None)
                if before is not None:
                    yield whole_of(last_word(before.name))


def _behind(caption: Caption, first: int, subject: int, preposition: str) -> Iterator[int]:
    """Slots of what stands behind a preposition."""
    yield slot("pobj", preposition)
    governor = caption.tokens[first].head
    if governor != first:
        yield slot("pobj", caption.tokens[governor].lemma, preposition)
    if subject != NO:
        yield slot("rel_o", _noun(caption, subject), preposition)


def _verbs(caption: Caption, index: int) -> Iterator[int]:
    tokens = caption.tokens
    for verb, token in enumerate(tokens):
        if token.pos == "VERB" and token.lemma not in _LIGHT and subject_of(caption, verb) == index:
            yield slot("nsubj", token.lemma)
            for child in caption.children[verb]:
                if tokens[child].dep in ("prep", "prt") and child > verb:
                    yield slot("nsubj", token.lemma, tokens[child].text.lower())


def _inside(caption: Caption, index: int) -> Iterator[int]:
    phrase, tokens = caption.phrases[index], caption.tokens
    for attribute in phrase.attributes:
        yield slot("amod", tokens[attribute].lemma)
    if phrase.whole != phrase.head:
        yield slot("measures", tokens[phrase.whole].lemma)
    for other in caption.phrases:
        if other is not phrase and other.whole == phrase.head and other.whole != other.head:
            yield slot("measure", other.name)
    for one, two in caption.conjuncts:
        if phrase.head in (one, two):
            joined = caption.phrase_of.get(two if phrase.head == one else one)
            if joined is not None:
                yield slot("conj", _noun(caption, joined))


def _companions(caption: Caption, index: int) -> Iterator[int]:
    return (companion(_noun(caption, other)) for other in range(len(caption.phrases)) if other != index)


def _noun(caption: Caption, index: int) -> str:
    phrase: Phrase = caption.phrases[index]
    return last_word(phrase.name)
