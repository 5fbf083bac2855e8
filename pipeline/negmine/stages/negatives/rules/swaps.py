"""Exchange of two nouns or two attributes of one caption: the same words, another image."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from random import Random

from negmine.language.agreement import has_its_verb, number_changes
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change, moved
from negmine.language.inflect import numbered
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.proposal import Level, Proposal, Swap, Words
from negmine.stages.negatives.roles import are_alike
from negmine.stages.negatives.rules.attributes import fits, is_shaded
from negmine.stages.negatives.rules.counts import swapped_counts
from negmine.stages.negatives.rules.likely import COMITATIVE, goes_with, may_take_part, may_turn, ties

LOOKS = frozenset({"colour", "material", "pattern"})
"""Dimensions that go with any thing, so that attributes of different ones may be exchanged."""

ARTICLES = frozenset({"a", "an", "the"})


def swap_object(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Exchange two noun phrases, or their nouns alone, that a relation or a conjunction ties together."""
    pairs = sorted(_tied(caption))
    rng.shuffle(pairs)
    for one, other in pairs:
        left, right = caption.phrases[one], caption.phrases[other]
        if not (is_movable(caption, left, words) and is_movable(caption, right, words)) or left.whole >= right.first:
            continue
        if is_worn(left, words) != is_worn(right, words) or not has_its_verb(caption, left.head):
            continue
        told, facts = list(ties(caption, one, other)), claims(caption, one, other)
        turns = bool(told) and all(may_turn(caption, relation, words) for relation in told)
        if _nouns_may_part(caption, left, right, words) and (turns or _stand_together(caption, one, other, words)):
            yield Proposal(
                (_noun(caption, left, right), _noun(caption, right, left)),
                swap=Swap(one, other, Level.NOUN),
                facts=(*facts, *_counted(caption, left, right, words)),
            )
        if turns or _are_parted(caption, one, other, words):
            yield Proposal(exchanged(caption, left, right), swap=Swap(one, other, Level.PHRASE), facts=facts)


def swap_attribute(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Exchange one attribute of each of two phrases, of one dimension or both about looks; or how many there are."""
    yield from swapped_counts(caption, words, rng)
    phrases = enumerate(caption.phrases)
    owners = [(n, a) for n, phrase in phrases for a in phrase.attributes if not is_shaded(caption, a, words)]
    pairs = [(x, y) for x, y in combinations(owners, 2) if x[0] != y[0]]
    rng.shuffle(pairs)
    for (one, first), (other, second) in pairs:
        left, right = caption.tokens[first].text.lower(), caption.tokens[second].text.lower()
        if not _exchangeable(caption, (one, left), (other, right), words) or not (
            caption.is_loose(first, first) and caption.is_loose(second, second)
        ):
            continue
        names = caption.phrases[one].name, caption.phrases[other].name
        changes = (
            Change(first, first, moved(caption, second, second)),
            Change(second, second, moved(caption, first, first)),
        )
        yield Proposal(
            changes,
            old=left,
            new=right,
            swap=Swap(one, other, Level.ATTRIBUTE),
            facts=((right, names[0]), (left, names[1])),
        )


# --- which ones ------------------------------------------------------------------------------------------------------


def _tied(caption: Caption) -> set[tuple[int, int]]:
    """Pairs of phrases, in order, that a relation ties, that depend on one word alike, or that are conjuncts."""
    pairs = {(r.subject, r.object) for r in caption.relations if r.subject != NO}
    by_preposition = [r for r in caption.relations if not r.verb]
    pairs |= {
        (x.object, y.object)
        for x, y in combinations(by_preposition, 2)
        if _alike(caption, x.subject, y.subject, x.name, y.name)
    }
    pairs |= {
        (caption.phrase_of[a], caption.phrase_of[b])
        for a, b in caption.conjuncts
        if a in caption.phrase_of and b in caption.phrase_of
    }
    return {(min(pair), max(pair)) for pair in pairs if pair[0] != pair[1]}


def _suit(caption: Caption, phrase: Phrase, other: Phrase, words: Words) -> bool:
    """Whether the attributes of a phrase, as far as they are known, can be said of another's noun: no red man."""
    several = (words.vocabulary.attributes.get(caption.tokens[i].text.lower(), ()) for i in phrase.attributes)
    return all(any(fits(value, other.name, words) for value in values) for values in several if values)


def _alike(caption: Caption, one: int, other: int, first: str, second: str) -> bool:
    """Objects of one preposition said of two conjuncts ("a man in a hat and a woman in a scarf")."""
    if NO in (one, other) or first != second or one == other:
        return False
    return caption.are_conjuncts(caption.phrases[one].head, caption.phrases[other].head)


def is_movable(caption: Caption, phrase: Phrase, words: Words) -> bool:
    vocabulary, head = words.vocabulary, caption.tokens[phrase.head]
    last = caption.tokens[phrase.whole].lemma
    name = phrase.name.rsplit(" ", 1)[-1]
    if name in vocabulary.vague and phrase.whole == phrase.head and name not in ("people", "person"):
        return False
    if not vocabulary.scenes.isdisjoint({phrase.name, name, last}) or head.tag in ("NNP", "NNPS"):
        return False
    known = vocabulary.names_concept(phrase.name) or vocabulary.names_concept(last) or last in ("people", "person")
    return known and caption.is_loose(phrase.first, phrase.whole) and caption.is_loose(phrase.unit, phrase.head)


def _can_change_number(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether a phrase is a noun that stands for itself and has both numbers."""
    plural_only = words.vocabulary.nouns["plural"]
    head = caption.tokens[phrase.head]
    if phrase.whole != phrase.head or head.text.lower() in plural_only or phrase.name + "s" in plural_only:
        return False
    return numbered(head.lemma, phrase.plural) == head.text.lower()


def is_worn(phrase: Phrase, words: Words) -> bool:
    """Whether a noun is a garment: nobody is worn by a hat."""
    name = phrase.name if words.vocabulary.names_concept(phrase.name) else phrase.name.rsplit(" ", 1)[-1]
    return name in words.vocabulary.worn


def _stand_together(caption: Caption, one: int, other: int, words: Words) -> bool:
    """Whether a list or a relation that holds both ways joins two things, so that either may be the other."""
    left, right = caption.phrases[one], caption.phrases[other]
    if caption.are_conjuncts(left.head, right.head):
        is_list = all(token.tag == "CC" for token in caption.tokens[left.head + 1 : right.first])
        is_of_living = words.role(left.name).animate or words.role(right.name).animate
        return is_list and (not is_of_living or may_take_part(caption, left, right, words))
    told = list(ties(caption, one, other))
    beside = words.vocabulary.symmetric - (NONE if words.role(left.name).animate else {COMITATIVE})
    is_beside = bool(told) and all(not relation.verb and relation.name in beside for relation in told)
    return is_beside and may_take_part(caption, left, right, words)


def _are_parted(caption: Caption, one: int, other: int, words: Words) -> bool:
    """Whether two things that one preposition tells of two alike owners may be exchanged: hats, or what they are on."""
    owners = [
        (caption.phrases[r.subject], r)
        for item in (one, other)
        for r in caption.relations
        if r.object == item and r.subject != NO and not r.verb
    ]
    if len(owners) != 2 or any(True for _ in ties(caption, one, other)):
        return False
    (first, before), (second, behind) = owners
    left, right = caption.phrases[one], caption.phrases[other]
    if are_alike(words.role(first.name), words.role(second.name)) and is_worn(left, words) and is_worn(right, words):
        return True
    return goes_with(first, before, right, words) and goes_with(second, behind, left, words)


def _nouns_may_part(caption: Caption, left: Phrase, right: Phrase, words: Words) -> bool:
    """Whether two nouns can be exchanged without what stands before them, and something is said by it."""
    if _modifiers(caption, left) == _modifiers(caption, right):
        return False
    suit = _suit(caption, left, right, words) and _suit(caption, right, left, words)
    return suit and all(
        _can_change_number(caption, phrase, words) and _is_plain(caption, phrase, words) for phrase in (left, right)
    )


def _is_plain(caption: Caption, phrase: Phrase, words: Words) -> bool:
    """Whether nothing stands before a noun but an article, a number and looks: "restored" goes with its noun."""
    before = caption.tokens[phrase.first : phrase.unit]
    return words.vocabulary.names_concept(phrase.name) and all(
        token.text.lower() in ARTICLES
        or words.vocabulary.number(token.text.lower()) is not None
        or any(words.vocabulary.is_of(dimension, token.text.lower()) for dimension in LOOKS)
        for token in before
    )


def _counted(caption: Caption, left: Phrase, right: Phrase, words: Words) -> tuple[tuple[str, str], ...]:
    """What a negative claims of numbers where the nouns behind them are exchanged."""
    pairs = ((left, right.name), (right, left.name))
    numbers = (
        (words.vocabulary.number(caption.tokens[p.numeral].text.lower()), name) for p, name in pairs if p.numeral != NO
    )
    return tuple((words.vocabulary.counts[number][0], name) for number, name in numbers if number is not None)


def _modifiers(caption: Caption, phrase: Phrase) -> tuple[object, ...]:
    """What stands before the noun, articles aside, and its number."""
    before = [
        t.text.lower() for t in caption.tokens[phrase.first : phrase.unit] if t.text.lower() not in ("a", "an", "the")
    ]
    return (phrase.plural, *before)


def _exchangeable(caption: Caption, one: tuple[int, str], other: tuple[int, str], words: Words) -> bool:
    """Whether each attribute, of the phrase given with it, says something likely of the other's noun."""
    (left, was), (right, becomes) = one, other
    first, second = words.vocabulary.value_of(was), words.vocabulary.value_of(becomes)
    if first is None or second is None or was == becomes:
        return False
    if first.dimension != second.dimension and not {first.dimension, second.dimension} <= LOOKS:
        return False
    phrases = caption.phrases[left], caption.phrases[right]
    if any(word in _attributes(caption, phrase) for word, phrase in zip((becomes, was), phrases, strict=True)):
        return False  # "a striped red ball" does not become "a red red ball"
    return fits(second, phrases[0].name, words) and fits(first, phrases[1].name, words)


def _attributes(caption: Caption, phrase: Phrase) -> set[str]:
    return {caption.tokens[attribute].text.lower() for attribute in phrase.attributes}


def claims(caption: Caption, one: int, other: int) -> tuple[tuple[str, ...], ...]:
    names = caption.phrases[one].name, caption.phrases[other].name
    return tuple(
        (names[1], r.name, names[0]) if r.subject == one else (names[0], r.name, names[1])
        for r in caption.relations
        if {r.subject, r.object} == {one, other}
    )


# --- how -------------------------------------------------------------------------------------------------------------


def _noun(caption: Caption, place: Phrase, moving: Phrase) -> Change:
    """The noun of one phrase in the place of the other's, in the number of the place."""
    if place.plural == moving.plural:
        return Change(place.unit, place.head, moved(caption, moving.unit, moving.head))
    return Change(place.unit, place.head, numbered(moving.name, place.plural))


def exchanged(
    caption: Caption, left: Phrase, right: Phrase, left_end: int | None = None, right_end: int | None = None
) -> tuple[Change, ...]:
    """Whole phrases exchanged; where their numbers differ, verbs follow their new subjects.

    The ends are the last tokens that move, those of the phrases themselves by default.
    """
    ends = (left.whole if left_end is None else left_end, right.whole if right_end is None else right_end)
    starts = [_after_article(caption, left), _after_article(caption, right)]
    if left.first in starts or right.first in starts or _is_plural(caption, left) != _is_plural(caption, right):
        starts = [left.first, right.first]  # articles stay in place only if both phrases have one and agree
    changes = [
        Change(starts[0], ends[0], moved(caption, starts[1], ends[1])),
        Change(starts[1], ends[1], moved(caption, starts[0], ends[0])),
    ]
    for place, moving in ((left, right), (right, left)):
        if _is_plural(caption, place) != _is_plural(caption, moving):
            verbs = number_changes(caption, place.head, _is_plural(caption, moving))
            changes += [c for c in verbs if not any(s <= c.first <= e for s, e in zip(starts, ends, strict=True))]
    return tuple(dict.fromkeys(changes))


def _after_article(caption: Caption, phrase: Phrase) -> int:
    return phrase.first + (caption.tokens[phrase.first].text.lower() in ARTICLES)


def _is_plural(caption: Caption, phrase: Phrase) -> bool:
    """By its verb: "a group of people" and "pieces of cake" are plural."""
    return any(caption.tokens[place].tag in ("NNS", "NNPS") for place in (phrase.head, phrase.whole))
