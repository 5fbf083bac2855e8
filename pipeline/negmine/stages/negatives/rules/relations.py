"""A preposition replaced by one that says another place: on by under, in front of by behind."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.language.caption import NO, Caption, Relation
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Change, Proposal, Words

_EXACTLY = frozenset({"right", "just", "directly", "immediately", "close", "nearly"})
"""Words for a short way before a preposition: not "right far from"."""

SIDES = {"left": "right", "right": "left"}


def replace_relation(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a preposition, complex ones as a whole, by a contrary one that goes with its object."""
    for relation in caption.relations:
        if (
            relation.verb
            or not caption.is_loose(relation.first, relation.last)
            or _is_figurative(caption, relation, words)
        ):
            continue
        item = caption.phrases[relation.object].name
        options = sorted(_contraries(relation, item, words))
        if relation.first and caption.tokens[relation.first - 1].text.lower() in _EXACTLY:
            options = [other for other in options if not other.startswith(("far ", "away "))]
        for other in rng.sample(options, len(options)):
            yield Proposal(
                (Change(relation.first, relation.last, other),), old=relation.name, new=other, repeatable=True,
                substitution=(relation.name, other),
                facts=tuple((near, item) for near in sorted(words.vocabulary.near.get(other, NONE) | {other})),
            )  # fmt: skip


def _contraries(relation: Relation, item: str, words: Words) -> set[str]:
    is_unit = tuple(item.split(" ")) in words.vocabulary.units
    names = {item} if is_unit else {item, item.rsplit(" ", 1)[-1]}
    near = words.vocabulary.near.get(relation.name, NONE)
    return {
        other
        for contrary in words.vocabulary.contraries.get(relation.name, ())
        if not contrary.objects or not contrary.objects.isdisjoint(names)
        for other in contrary.to
        if other not in near
    }


def _is_figurative(caption: Caption, relation: Relation, words: Words) -> bool:
    """Prepositions before vague nouns, or in a caption that is about a picture or has no subject for them."""
    item = caption.phrases[relation.object]
    if item.name in words.vocabulary.vague - {"floor", "ground"} or relation.subject == NO:
        return True
    previous = caption.tokens[relation.first - 1] if relation.first else None
    return previous is not None and previous.tag in ("IN", "RP", "TO") and previous.dep in ("prep", "prt")
