"""A preposition replaced by one that says another place: on by under, in front of by behind."""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from negmine.language.caption import NO, Caption, Relation
from negmine.language.changes import Change
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Proposal, Words

_EXACTLY = frozenset({"right", "just", "directly", "immediately", "close", "nearly"})
"""Words for a short way before a preposition: not "right far from"."""

AWAY = " away from"
LIVING = "living"
_FACES = frozenset({"face", "faces", "faced", "facing"})


def replace_relation(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a preposition, complex ones as a whole, by a contrary one that goes with its object.

    Also a phrase of place as a whole ("in the air"), and a side that something shows.
    """
    yield from _other_places(caption, words)
    yield from _turned(caption)
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
                (Change(relation.first, relation.last, other),),
                old=relation.name,
                new=other,
                repeatable=True,
                substitution=(relation.name, other),
                facts=tuple((near, item) for near in sorted(words.vocabulary.near.get(other, NONE) | {other})),
            )


def _other_places(caption: Caption, words: Words) -> Iterator[Proposal]:
    """ "a kite in the air" -> "a kite on the ground", and back."""
    for relation in caption.relations:
        item = caption.phrases[relation.object]
        if relation.verb or relation.subject == NO or caption.phrases[relation.subject].whole != relation.first - 1:
            continue
        groups, text = _groups(caption, relation.subject, words), caption.span(relation.first, item.whole).lower()
        for place, other, subjects in words.vocabulary.exclusive_places:
            new = {place: other, other: place}.get(text)
            if new and not subjects.isdisjoint(groups):
                change, signs = Change(relation.first, item.whole, new), frozenset({new.rsplit(" ", 1)[-1]})
                yield Proposal((change,), old=text, new=new, signs=signs, substitution=(text, new))


def _groups(caption: Caption, phrase: int, words: Words) -> set[str]:
    """The groups a phrase's noun is in; of a person and an animal "living"."""
    name = caption.phrases[phrase].name
    groups = {place.group for place in words.vocabulary.nouns["count"].get(name, ())}
    return {LIVING} if words.role(name).animate else groups - {LIVING}


def _turned(caption: Caption) -> Iterator[Proposal]:
    """ "facing the camera" -> "facing away from the camera", and back."""
    for relation in caption.relations:
        verb = caption.tokens[relation.first]
        if relation.verb and relation.name == "face" and relation.first == relation.last and verb.tag != "VBN":
            yield _facing(relation.first, relation.first, verb.text.lower(), verb.text.lower() + AWAY)
        elif (
            relation.name == AWAY.strip()
            and relation.first
            and caption.tokens[relation.first - 1].text.lower() in _FACES
        ):
            text = caption.tokens[relation.first - 1].text.lower()
            yield _facing(relation.first - 1, relation.last, text + AWAY, text)


def _facing(first: int, last: int, old: str, new: str) -> Proposal:
    """What turns away names its side, so that one is no kind of the other."""
    is_away = new.endswith(AWAY)
    one, other = (old, AWAY.strip()) if is_away else (AWAY.strip(), new)
    signs = frozenset({"away", "back", "backs"}) if is_away else NONE
    return Proposal((Change(first, last, new),), one, other, repeatable=True, signs=signs, substitution=(old, new))


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
    """Prepositions before vague nouns, or in a caption that is about an image or has no subject for them."""
    item = caption.phrases[relation.object]
    if item.name in words.vocabulary.vague - {"floor", "ground"} or relation.subject == NO:
        return True
    previous = caption.tokens[relation.first - 1] if relation.first else None
    return previous is not None and previous.tag in ("IN", "RP", "TO") and previous.dep in ("prep", "prt")
