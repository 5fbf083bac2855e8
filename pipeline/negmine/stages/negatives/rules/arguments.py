"""Exchange of whole arguments: of one relation by role, and of prepositional phrases with each other."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random

from negmine.language.agreement import has_its_verb
from negmine.language.caption import NO, Caption, Phrase, Relation
from negmine.language.changes import Change, moved
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Level, Proposal, Swap, Words
from negmine.stages.negatives.roles import are_alike
from negmine.stages.negatives.rules.likely import COMITATIVE, goes_with, may_turn
from negmine.stages.negatives.rules.spans import has_pronoun, phrase_end
from negmine.stages.negatives.rules.swaps import claims, exchanged, is_movable, is_worn

SIDES = {"left": "right", "foreground": "background"}
STRICT = frozenset({"on", "on top of", "atop", "in", "inside", "under", "underneath", "beneath", "below", "above"})
"""Of contact, containment or height; of others it may be true either way ("near a pole, before a house")."""

_IN_OR_ON = frozenset({"in", "inside", "on", "on top of", "atop"})
_PEOPLE = frozenset({"people", "person"})


def swap_relation(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Exchange subject and object of a relation, each with all its modifiers, whatever the order it is told in."""
    relations = [r for r in caption.relations if r.subject not in (NO, r.object)]
    rng.shuffle(relations)
    for relation in relations:
        left, right = caption.phrases[relation.subject], caption.phrases[relation.object]
        if left.head > relation.first or not (is_movable(caption, left, words) and is_movable(caption, right, words)):
            continue
        ends = phrase_end(caption, left, relation.first), phrase_end(caption, right)
        if ends[0] >= right.first or is_worn(left, words) != is_worn(right, words):
            continue
        if not has_its_verb(caption, left.head) or not may_turn(caption, relation, words):
            continue
        if left.plural != right.plural and _is_predicate(caption, left):
            continue
        if has_pronoun(caption, left.first, ends[0]) or has_pronoun(caption, right.first, ends[1]):
            continue
        yield Proposal(
            exchanged(caption, left, right, *ends),
            swap=Swap(relation.subject, relation.object, Level.PHRASE),
            facts=claims(caption, relation.subject, relation.object),
        )


def _is_predicate(caption: Caption, phrase: Phrase) -> bool:
    """Whether a noun is said of a subject whose number it shares ("this is a salad")."""
    token = caption.tokens[phrase.head]
    return token.dep == "attr" and not any(caption.tokens[c].dep == "expl" for c in caption.children[token.head])


def swap_phrase(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Exchange two prepositional phrases of different nouns, the objects of two prepositions of place, or two sides."""
    yield from _sides(caption, words)
    pairs = [
        (one, other)
        for one, other in combinations([r for r in caption.relations if _is_movable_place(caption, r, words)], 2)
        if caption.tokens[caption.phrases[one.object].head].lemma
        != caption.tokens[caption.phrases[other.object].head].lemma
    ]
    rng.shuffle(pairs)
    for one, other in pairs:
        spans = _span(caption, one, other.first), _span(caption, other, len(caption.tokens))
        if spans[0][1] >= other.first or any(has_pronoun(caption, *span) for span in spans):
            continue
        if _belongs_to_noun(caption, one) and _belongs_to_noun(caption, other) and one.subject != other.subject:
            yield from _whole_phrases(caption, one, other, spans, words)
        yield from _objects(caption, one, other, spans, words)


def _is_movable_place(caption: Caption, relation: Relation, words: Words) -> bool:
    """Whether a relation is a preposition of place (or "with") whose object is a thing of its own."""
    if relation.verb or relation.subject == NO or not caption.is_loose(relation.first, relation.last):
        return False
    item = caption.phrases[relation.object]
    if not (relation.name in words.vocabulary.contraries or relation.name == COMITATIVE):
        return False
    noun = item.name.rsplit(" ", 1)[-1]
    if noun in words.vocabulary.vague or caption.tokens[item.head].pos == "PROPN":
        return False
    return not {item.name, noun}.isdisjoint(words.vocabulary.things)


def _span(caption: Caption, relation: Relation, limit: int) -> tuple[int, int]:
    return relation.first, phrase_end(caption, caption.phrases[relation.object], limit)


def _belongs_to_noun(caption: Caption, relation: Relation) -> bool:
    """Whether a preposition stands right behind the noun it tells of ("a man with a hat")."""
    return caption.phrases[relation.subject].whole == relation.first - 1


def _whole_phrases(
    caption: Caption, one: Relation, other: Relation, spans: tuple[tuple[int, int], tuple[int, int]], words: Words
) -> Iterator[Proposal]:
    """ "a man with a dog beside a woman on a bike" -> "a man on a bike beside a woman with a dog"."""
    owners = caption.phrases[one.subject], caption.phrases[other.subject]
    vague = any(owner.name.rsplit(" ", 1)[-1] in words.vocabulary.vague - _PEOPLE for owner in owners)
    if vague or one.object == other.subject or _worn(caption, one, words) != _worn(caption, other, words):
        return
    if not _are_told_of_two(caption, one, other, words):
        return
    items = caption.phrases[one.object], caption.phrases[other.object]
    are_told = goes_with(owners[0], other, items[1], words) and goes_with(owners[1], one, items[0], words)
    if not (are_told or are_alike(words.role(owners[0].name), words.role(owners[1].name))):
        return
    names = caption.phrases[one.object].name, caption.phrases[other.object].name
    (first, last), (second, end) = spans
    yield Proposal(
        (Change(first, last, moved(caption, second, end)), Change(second, end, moved(caption, first, last))),
        swap=Swap(one.object, other.object, Level.PHRASE),
        facts=((owners[0].name, other.name, names[1]), (owners[1].name, one.name, names[0])),
    )


def _are_told_of_two(caption: Caption, one: Relation, other: Relation, words: Words) -> bool:
    """Whether two phrases cannot both be said of one thing or event, as they can in "men on a beach riding on horses".

    They cannot where two conjuncts own them, or where a finite verb parts what is in or on one thing from what is in or
    on another. A place holds all that is told ("a person in a park with a laptop on a bench").
    """
    owners = caption.phrases[one.subject], caption.phrases[other.subject]
    items = caption.phrases[one.object], caption.phrases[other.object]
    if any(_is_scene(phrase, words) for phrase in (*owners, *items)):
        return False
    if caption.are_conjuncts(owners[0].head, owners[1].head):
        return True
    between = caption.tokens[items[0].head + 1 : owners[1].first]
    return {one.name, other.name} <= STRICT and any(token.tag in ("VBZ", "VBP", "VBD") for token in between)


def _is_scene(phrase: Phrase, words: Words) -> bool:
    return not words.vocabulary.scenes.isdisjoint({phrase.name, phrase.name.rsplit(" ", 1)[-1]})


def _objects(
    caption: Caption, one: Relation, other: Relation, spans: tuple[tuple[int, int], tuple[int, int]], words: Words
) -> Iterator[Proposal]:
    """ "a cat on a table under a lamp" -> "a cat on a lamp under a table"."""
    left, right = caption.phrases[one.object], caption.phrases[other.object]
    if (
        other.name in words.vocabulary.near.get(one.name, NONE)
        or _worn(caption, one, words)
        or (_worn(caption, other, words) or COMITATIVE in (one.name, other.name))
    ):
        return
    if {one.name, other.name} <= _IN_OR_ON and (_is_scene(left, words) or _is_scene(right, words)):
        return  # "in a boat on a river"
    if STRICT.isdisjoint({one.name, other.name}) or not words.vocabulary.symmetric.isdisjoint({one.name, other.name}):
        return
    if not (_same_article(caption, left, right) and _goes_with(one, right, words) and _goes_with(other, left, words)):
        return
    subjects = caption.phrases[one.subject], caption.phrases[other.subject]
    if not (goes_with(subjects[0], one, right, words) and goes_with(subjects[1], other, left, words)):
        return
    yield Proposal(
        exchanged(caption, left, right, spans[0][1], spans[1][1]),
        swap=Swap(one.object, other.object, Level.PHRASE),
        facts=((one.name, right.name), (other.name, left.name)),
    )


def _sides(caption: Caption, words: Words) -> Iterator[Proposal]:
    """ "a dog on the left and a cat on the right" -> "a dog on the right and a cat on the left"."""
    for side, opposite in SIDES.items():
        told = [r for r in caption.relations if caption.phrases[r.object].name in (side, opposite) and not r.verb]
        if len(told) != 2 or NO in (told[0].subject, told[1].subject) or told[0].name != told[1].name:
            continue
        places = [caption.phrases[relation.object].head for relation in told]
        owners = [caption.phrases[relation.subject] for relation in told]
        texts = [caption.tokens[place].text.lower() for place in places]
        if sorted(texts) != sorted((side, opposite)) or words.role(owners[0].name) == words.role(owners[1].name):
            continue
        yield Proposal(
            tuple(Change(place, place, text) for place, text in zip(places, reversed(texts), strict=True)),
            swap=Swap(told[0].object, told[1].object, Level.PHRASE),
            facts=tuple((owner.name, told[0].name, text) for owner, text in zip(owners, reversed(texts), strict=True)),
        )


def _same_article(caption: Caption, left: Phrase, right: Phrase) -> bool:
    """Whether each noun goes with the article of the other ("the snow" but no "a snow")."""
    articles = {caption.tokens[phrase.first].text.lower().replace("an", "a") for phrase in (left, right)}
    return len(articles) == 1


def _worn(caption: Caption, relation: Relation, words: Words) -> bool:
    return is_worn(caption.phrases[relation.object], words)


def _goes_with(relation: Relation, phrase: Phrase, words: Words) -> bool:
    """Whether a preposition is said of a noun: a class that its contraries ask for holds it."""
    names = {phrase.name, phrase.name.rsplit(" ", 1)[-1]}
    return any(
        not contrary.objects or not contrary.objects.isdisjoint(names)
        for contrary in words.vocabulary.contraries[relation.name]
    )
