"""A word for another that captions use of the same things."""

from __future__ import annotations

from collections.abc import Iterator

from negmine.language.caption import Caption
from negmine.language.changes import Change, realise
from negmine.language.inflect import numbered
from negmine.stages.positives.rewording import Rewording, Words


def same_noun(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a couch" -> "a sofa"."""
    for phrase in caption.phrases:
        for other in words.same.nouns.get(phrase.name, ()):
            told = caption.span(phrase.unit, phrase.head).lower()
            if told == numbered(phrase.name, phrase.plural) and caption.is_loose(phrase.unit, phrase.head):
                new = numbered(other, phrase.plural)
                yield _put(caption, Change(phrase.unit, phrase.head, new), (phrase.name, other))


def same_attribute(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "a large dog" -> "a big dog"."""
    for phrase in caption.phrases:
        for i in phrase.attributes:
            old = caption.tokens[i].text.lower()
            if i not in caption.bound and caption.is_loose(i, i) and caption.tokens[i + 1].pos in ("NOUN", "ADJ"):
                for other in words.same.adjectives.get(old, ()):
                    yield _put(caption, Change(i, i, other), (old, other))


def same_preposition(caption: Caption, words: Words) -> Iterator[Rewording]:
    """ "next to a dog" -> "beside a dog"."""
    for relation in caption.relations:
        if relation.verb or not caption.is_loose(relation.first, relation.last):
            continue
        before = caption.tokens[relation.first - 1].text.lower() if relation.first else ""
        for other in words.same.prepositions.get(relation.name, ()):
            if before not in ("right", "just", "very", "so", "from", "too"):
                yield _put(caption, Change(relation.first, relation.last, other), (relation.name, other))


def _put(caption: Caption, change: Change, flow: tuple[str, str]) -> Rewording:
    return Rewording(realise(caption, [change]), range(change.first, change.last + 1), flow)
