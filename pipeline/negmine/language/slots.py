"""Where a noun stands: the dependency slots that a phrase of a caption fills, each as a hash.

A slot is what governs the noun (ridden, sat on, grazing), what it governs (with a hat), its adjectives, its conjuncts,
and the other nouns of the caption. Nouns that fill the same slots can stand in for each other there (Harris, 1954; Erk,
2007).
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from negmine.base.hashing import hash64
from negmine.language.analyse import subject_of
from negmine.language.caption import NO, Caption, Phrase

BITS: Final = 47
"""Of a slot, so that it fits beside a noun and a fold in 63 bits."""

KIND_BITS: Final = 4

KINDS: Final = (
    "any",  # every noun
    "dobj",  # ridden
    "pobj",  # under
    "gov_pobj",  # sat on, a herd of
    "rel_s",  # in front of a bus, riding a horse
    "mod",  # in front of something
    "nsubj",  # grazes
    "amod",  # red
    "measures",  # of cows
    "conj",  # and a dog
    "of",  # of a truck, right behind
    "whose",  # the bed of
    "with",  # a noun elsewhere in the caption
)
"""What a slot may be; its place here is in the lowest bits of the slot."""

Slots = tuple[int, ...]

_LIGHT: Final = frozenset({"be", "have"})
"""Verbs that say nothing of their subjects."""


@lru_cache(maxsize=1 << 17)
def slot(kind: str, *words: str) -> int:
    """The hash of a slot: its kind, and the words that make it."""
    return hash64("\0".join((kind, *words))) >> (64 - BITS + KIND_BITS) << KIND_BITS | KINDS.index(kind)


def kind_of(slot: int) -> int:
    """The place of a slot's kind in `KINDS`."""
    return slot & ((1 << KIND_BITS) - 1)


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
    """The slots that a phrase fills if another preposition, one that goes with it, takes the place of the old one."""
    found = {ANY, *_companions(caption, index)}
    for relation in caption.relations:
        if relation.object == index and not relation.verb and relation.name == old:
            found.update(_governed(caption, relation.first, preposition))
    return tuple(sorted(found))


def of_phrase(caption: Caption, index: int) -> int:
    """The phrase that "of" ties to a phrase right behind it, or `NO`."""
    head = caption.phrases[index].head
    return next((r.object for r in caption.relations if r.name == "of" and not r.verb and r.first == head + 1), NO)


def _relations(caption: Caption, index: int) -> Iterator[int]:
    for relation in caption.relations:
        if relation.object == index and relation.verb:
            yield slot("dobj", relation.name)
        elif relation.object == index:
            yield from _behind(caption, relation.first, relation.name)
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


def _behind(caption: Caption, first: int, preposition: str) -> Iterator[int]:
    """Slots of what stands behind a preposition."""
    yield slot("pobj", preposition)
    yield from _governed(caption, first, preposition)


def _governed(caption: Caption, first: int, preposition: str) -> Iterator[int]:
    governor = caption.tokens[first].head
    if governor != first:
        yield slot("gov_pobj", caption.tokens[governor].lemma, preposition)


def _verbs(caption: Caption, index: int) -> Iterator[int]:
    for verb, token in enumerate(caption.tokens):
        if token.pos == "VERB" and token.lemma not in _LIGHT and subject_of(caption, verb) == index:
            yield slot("nsubj", token.lemma)


def _inside(caption: Caption, index: int) -> Iterator[int]:
    phrase, tokens = caption.phrases[index], caption.tokens
    for attribute in phrase.attributes:
        yield slot("amod", tokens[attribute].lemma)
    if phrase.whole != phrase.head:
        yield slot("measures", tokens[phrase.whole].lemma)
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
