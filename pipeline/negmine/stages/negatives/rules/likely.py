"""Which exchanges make a scene that somebody might see: who may do to whom, and what goes with which."""

from __future__ import annotations

from collections.abc import Iterator

from negmine.language.caption import AGENT, Caption, Phrase, Relation
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.roles import BABY, Role, are_alike

_FACING = frozenset({"in front of", "ahead of", "on the front of"})
"""Of two unlike things it may hold both ways: a man in front of a screen has a screen in front of him."""

_BEHIND = frozenset({"behind", "in back of"})
"""What any two things that stand somewhere may be to each other."""

_OF_ALL_LIVING = frozenset(
    {
        "be",
        "stand",
        "sit",
        "lie",
        "lay",
        "walk",
        "run",
        "wait",
        "rest",
        "look",
        "stare",
        "face",
        "sleep",
        "play",
        "move",
        "relax",
    }
)
"""What a person does and an animal as well."""

COMITATIVE = "with"


def may_turn(caption: Caption, relation: Relation, words: Words) -> bool:
    """Whether the two sides of a relation might stand in each other's roles."""
    subject, item = caption.phrases[relation.subject], caption.phrases[relation.object]
    one, other = role_in(caption, subject, words), role_in(caption, item, words)
    if relation.verb or relation.name == AGENT:
        return _may_do(caption, relation, one, other, words)
    if are_alike(one, other):
        if relation.name in words.vocabulary.reversible_places:
            return may_take_part(caption, subject, item, words)
        return not one.animate and words.attested.turns(one, relation.name, other)
    if relation.name in _FACING or _does_something(caption, relation):
        return False
    if relation.name in _BEHIND and one.group and other.group:
        return True
    return words.attested.turns(one, relation.name, other)


def _may_do(caption: Caption, relation: Relation, one: Role, other: Role, words: Words) -> bool:
    verb = relation.name if relation.verb else caption.tokens[relation.first - 1].lemma
    classes = words.vocabulary.reversible.get(verb, NONE)
    if BABY not in (one.name, other.name) and {_class_of(one), _class_of(other)} <= classes:
        return True
    return relation.verb and words.attested.turns(one, verb, other)


def role_in(caption: Caption, phrase: Phrase, words: Words) -> Role:
    """The role of a phrase: of what it measures, if it does ("a pair of men")."""
    return words.role(phrase.name if phrase.whole == phrase.head else caption.tokens[phrase.whole].lemma)


def may_take_part(caption: Caption, one: Phrase, other: Phrase, words: Words) -> bool:
    """Whether each of two alike things may do, have and wear what is told of the other: dogs ride no skateboards."""
    roles = role_in(caption, one, words), role_in(caption, other, words)
    if not are_alike(*roles):
        return False
    if _class_of(roles[0]) == _class_of(roles[1]):
        return True
    return not any(_is_for_one_kind(caption, phrase, words) for phrase in (one, other))


def _is_for_one_kind(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a person does what animals do not, or has something, or the other way round."""
    tokens, head = caption.tokens, phrase.head
    verbs = [i for i in caption.children[head] if tokens[i].dep in ("acl", "relcl")]
    verbs += [tokens[head].head] if tokens[head].dep in ("nsubj", "nsubjpass") else []
    verbs += [i for verb in verbs for i in caption.children[verb] if tokens[i].dep in ("conj", "xcomp", "advcl")]
    deeds = {tokens[i].lemma for i in verbs if tokens[i].pos == "VERB"}
    joined = {tokens[i].text.lower() for i in caption.children[head] if tokens[i].dep == "prep"}
    has = {caption.phrases[r.object].name for r in caption.relations if r.subject == caption.phrase_of[head]}
    return not deeds <= _OF_ALL_LIVING or COMITATIVE in joined or not words.vocabulary.worn.isdisjoint(has)


def _class_of(role: Role) -> str:
    """The broad class of a living thing, as `reversible` names it."""
    return "" if not role.animate else "person" if role.is_person else "animal"


def goes_with(subject: Phrase, relation: Relation, item: Phrase, words: Words) -> bool:
    """Whether a preposition is told of two nouns, or may be of any two."""
    scenes = words.vocabulary.scenes
    if relation.name in words.vocabulary.reversible_places:
        return scenes.isdisjoint({item.name, item.name.rsplit(" ", 1)[-1]})
    return words.attested.tells(words.role(subject.name), relation.name, words.role(item.name))


def _does_something(caption: Caption, relation: Relation) -> bool:
    """Whether a verb parts a preposition from its subject: what rides, stands or lies there is no other thing."""
    head = caption.phrases[relation.subject].head
    return any(t.pos == "VERB" for t in caption.tokens[head + 1 : relation.first])


def ties(caption: Caption, one: int, other: int) -> Iterator[Relation]:
    """The relations between two phrases."""
    return (relation for relation in caption.relations if {relation.subject, relation.object} == {one, other})
