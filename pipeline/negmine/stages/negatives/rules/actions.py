"""An action replaced by one that excludes it: sitting by lying, riding by pushing, throwing by catching."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random

from negmine.language.analyse import subject_of
from negmine.language.caption import NO, Caption
from negmine.language.changes import Change
from negmine.language.inflect import inflected
from negmine.language.vocabulary import Action
from negmine.stages.negatives.proposal import Proposal, Words

PER_VERB = 6
"""Draws for one verb."""

_TAGS = frozenset({"VB", "VBD", "VBG", "VBP", "VBZ"})
"""Forms that are exchanged; passive participles change roles and are left alone, those of states are listed."""

_COMPLEMENTS = frozenset({"dobj", "prt", "acomp", "xcomp", "ccomp", "attr", "oprd", "dative", "agent"})
_GOALS = frozenset({"to", "into", "onto", "toward", "towards", "across", "through", "down", "up", "along"})
_MOVING = frozenset(
    {"throw", "kick", "push", "pull", "carry", "chase", "lead", "ride", "drive", "fly", "pitch", "hit", "take", "bring"}
)
"""Actions that have a goal: one kicks a ball to somebody, and does not catch it to him."""

_PEOPLE = frozenset({"people", "person"})


def replace_action(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Replace a verb by one of a set whose actions exclude each other; tense, number and valence stay."""
    for i, token in enumerate(caption.tokens):
        if token.tag[:2] != "VB" or i in caption.bound or not caption.is_loose(i, i) or _is_purpose(caption, i):
            continue
        actions, moves = _fitting(caption, i, words), _is_moved(caption, i)
        names = dict.fromkeys(
            other
            for action in actions
            for other in action.others
            if not _is_form(actions, other) and (other in _MOVING or not moves)
        )
        states = words.vocabulary.participles.get(token.text.lower(), ())
        as_written = {other for state in states if state in actions for other in state.others}
        for other in words.drawn(rng, tuple(names), PER_VERB):
            text = other if other in as_written else inflected(other, token.tag)
            yield Proposal(
                (Change(i, i, text),),
                old=actions[0].name,
                new=other,
                signs=words.vocabulary.action_signs[other],
                substitution=(actions[0].name, other),
            )


def _is_purpose(caption: Caption, verb: int) -> bool:
    """Whether a verb says what another action is for: "rocks her baby to sleep"."""
    token = caption.tokens[verb]
    has_object = any(caption.tokens[c].dep == "dobj" and c < verb for c in caption.children[token.head])
    return token.tag == "VB" and token.dep in ("xcomp", "advcl", "relcl", "acl") and has_object


def _is_moved(caption: Caption, verb: int) -> bool:
    """Whether a verb and its object are followed by where the object goes: "throws a frisbee to a dog"."""
    below = {verb, *(c for c in caption.children[verb] if caption.tokens[c].dep == "dobj")}
    has_object = len(below) > 1
    return has_object and any(
        caption.tokens[c].text.lower() in _GOALS and c > verb for above in below for c in caption.children[above]
    )


def _is_form(actions: Sequence[Action], name: str) -> bool:
    return any(action.name == name for action in actions)


def _fitting(caption: Caption, verb: int, words: Words) -> list[Action]:
    """The verb's places in the sets that fit its subject, its object and what follows it."""
    token, vocabulary = caption.tokens[verb], words.vocabulary
    roles = {caption.tokens[child].dep: child for child in caption.children[verb] if child > verb}
    following = _word_after(caption, verb)
    states = [
        state
        for state in vocabulary.participles.get(token.text.lower(), ())
        if _has_subject(caption, verb, state, words)
        and (not state.after or (following in state.after and roles.keys().isdisjoint(_COMPLEMENTS)))
    ]
    if token.tag not in _TAGS or (states and not states[0].after):
        return states
    if "dobj" in roles:
        places = vocabulary.transitive.get(token.lemma, ())
        fitting = [action for action in places if _has_object(caption, roles["dobj"], action, words)]
        return [action for action in fitting if _has_subject(caption, verb, action, words, unknown=True)]
    if not roles.keys().isdisjoint(_COMPLEMENTS):
        return []
    return states + [
        action
        for action in vocabulary.intransitive.get(token.lemma, ())
        if following in action.after and _has_subject(caption, verb, action, words)
    ]


def _word_after(caption: Caption, index: int) -> str:
    """The lower-case word that follows, "" before a full stop, a comma or the end."""
    following = caption.tokens[index + 1].text.lower() if index + 1 < len(caption.tokens) else ""
    return following if following.isalpha() else ""


def _has_subject(caption: Caption, verb: int, action: Action, words: Words, *, unknown: bool = False) -> bool:
    """Whether the verb's subject is of a class the action asks for; `unknown`: what holds if there is none."""
    index = subject_of(caption, verb)
    if index == NO:
        return unknown
    phrase = caption.phrases[index]
    noun = caption.tokens[phrase.whole].lemma if phrase.whole != phrase.head else phrase.name
    if noun in words.vocabulary.lifeless or not action.not_subjects.isdisjoint((noun, noun.rsplit(" ", 1)[-1])):
        return False
    broad_class = "person" if noun in _PEOPLE else words.lexicon.broad_class(noun)
    return broad_class in action.subjects


def _has_object(caption: Caption, item: int, action: Action, words: Words) -> bool:
    if item not in caption.phrase_of:
        return False
    phrase = caption.phrases[caption.phrase_of[item]]
    head = caption.tokens[phrase.head]
    names = {phrase.name, head.lemma, head.text.lower()}
    if phrase.name not in words.vocabulary.lifeless:
        names.add(words.lexicon.broad_class(phrase.name).upper())
    return not names.isdisjoint(action.objects)
