"""What a rule proposes, and how a proposal becomes edits: articles, capitals, the smallest change that says it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from itertools import accumulate
from random import Random
from typing import Final, NamedTuple, TypeVar

import numpy as np

from negmine.base.arrays import Floats, Places
from negmine.base.folds import FOLDS
from negmine.language.caption import NO, Caption
from negmine.language.changes import Change
from negmine.language.co_mention import CoMention, concept_of, packaged_co_mention
from negmine.language.inflect import plural
from negmine.language.lexicon import Lexicon
from negmine.language.slot_table import FEWEST, FLOOR, NOT_KNOWN, SlotTable, old_share, packaged_slots
from negmine.language.slots import Slots
from negmine.language.vocabulary import NONE, Vocabulary, includes
from negmine.stages.negatives.clusters import Clusters, packaged_counts
from negmine.stages.negatives.roles import Attested, Role, group_names, packaged_triples, role_of

Option = TypeVar("Option")

UNSEEN: Final = 0.3
"""Frequency of a word that the counts do not know."""

SEEN: Final = 2
"""Times that captions use a noun of another group before it is put in, at least."""


SHARPNESS: Final = 0.5
"""How much a noun's score in its slots decides how often it is drawn: fully, few would flow back."""

ALIKE: Final = frozenset({"animal", "food"})
"""Broad classes whose things mostly stand in the same places."""

SIDES: Final = frozenset({"left_right"})
"""Groups of directions."""

THINGS: Final = frozenset({"animal", "artifact", "event", "food", "location", "object", "person", "plant", "substance"})
"""Broad classes of what stands somewhere."""

BESIDE: Final = 0.5
"""How much likelier a noun may be beside another than elsewhere, in nats, to stand in for it."""


@dataclass(frozen=True)
class Words:
    """Everything rules and guards know about words.

    Attributes:
        counts: how often captions use a noun; those of the corpus at hand, or the packaged ones.
        co_mention: nouns said of one image, by the packaged captions and the corpus at hand.
    """

    vocabulary: Vocabulary
    lexicon: Lexicon
    counts: Mapping[str, int] = field(default_factory=packaged_counts, repr=False)
    co_mention: CoMention = field(default_factory=packaged_co_mention, repr=False)
    _frequencies: dict[str, float] = field(default_factory=dict, repr=False, compare=False)
    _cumulative: dict[tuple[object, ...], list[float]] = field(default_factory=dict, repr=False, compare=False)
    _peers: dict[str, tuple[str, ...]] = field(default_factory=dict, repr=False, compare=False)
    _concepts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)
    _roles: dict[str, Role] = field(default_factory=dict, repr=False, compare=False)
    _stand_in_numbers: dict[str, Places] = field(default_factory=dict, repr=False, compare=False)
    _option_numbers: dict[tuple[str, ...], tuple[Places, Floats]] = field(
        default_factory=dict, repr=False, compare=False
    )
    _companions: dict[str, Floats] = field(default_factory=dict, repr=False, compare=False)

    def frequency(self, word: str) -> float:
        """How often captions use a noun in either number, or another word; a little above 0 for one never seen."""
        known = self._frequencies.get(word)
        if known is None:
            known = self._frequencies[word] = self.counts.get(word, 0) + self.counts.get(plural(word), 0) + UNSEEN
        return known

    def drawn(
        self, rng: Random, options: Sequence[Option], count: int, noun: Callable[[Option], str] = str
    ) -> list[Option]:
        """Some of the options: so many draws by frequency, those drawn twice once, and at least half as many.

        Args:
            noun: the word of an option whose frequency counts; the option itself by default.
        """
        if len(options) <= count // 2:
            return list(options)
        key = tuple(options)
        cumulative = self._cumulative.get(key)
        if cumulative is None:
            cumulative = self._cumulative[key] = list(accumulate(self.frequency(noun(option)) for option in options))
        found = dict.fromkeys(rng.choices(key, cum_weights=cumulative, k=count))
        while len(found) < count // 2:
            found[rng.choice(key)] = None
        return list(found)

    def peers(self, noun: str) -> tuple[str, ...]:
        """Things of a noun's kind that cannot be said of it; for a person, whom many nouns fit, animals.

        Those that captions use, if there are any.
        """
        found = self._peers.get(noun)
        if found is None:
            signs = self.vocabulary.noun_signs.get(noun, NONE)
            exclusive = tuple(
                other
                for other in self.vocabulary.kinds.get(self.kind(noun), ())
                if other not in signs and not includes(noun, other) and not self.lexicon.overlap(noun, other)
            )
            seen = tuple(other for other in exclusive if self.frequency(other) >= SEEN)
            found = self._peers[noun] = seen or exclusive
        return found

    def names_thing(self, noun: str) -> bool:
        """Whether a noun names something that other things stand in for: no direction, part of a body, time."""
        if self.kind(noun):
            return True
        groups = {place.group for place in self.vocabulary.nouns["count"].get(noun, ())}
        return bool(groups - SIDES) and self.lexicon.broad_class(noun) in THINGS

    def knows_place(self, slots: Slots) -> bool:
        """Whether anything is known of what fills these slots."""
        return any(self.slots.likely(slot, FOLDS) is not None for slot in slots)

    def fitting(self, rng: Random, slots: Slots, noun: str, count: int) -> list[str]:
        """Nouns that fill these slots in other captions, and that cannot be said of the noun that does in this one.

        So many draws by frequency and by how well they fit, those drawn twice once.
        """
        scores = self.slots.scores(slots) if self.names_thing(noun) else None
        allowed = self._stand_ins(noun)
        if scores is None or not len(allowed):
            return []
        odds = self.slots.mentions[FOLDS][allowed] * self._fits(scores, allowed, noun)
        names = self.slots.nouns.names
        return [names[number] for number in allowed[_drawn(rng, odds, count)].tolist()]

    def drawn_for(self, rng: Random, slots: Slots, noun: str, options: Sequence[str], count: int) -> list[str]:
        """Some of the nouns: so many draws by frequency and by how well they fit these slots, those drawn twice once.

        As `drawn` where nothing is known of the slots.
        """
        scores = self.slots.scores(slots)
        if scores is None or not options:
            return self.drawn(rng, options, count)
        numbers, frequencies = self._numbered(tuple(options))
        odds = frequencies * self._fits(scores, numbers, noun)
        return [options[place] for place in _drawn(rng, odds, count).tolist()]

    def _fits(self, scores: Floats, numbers: Places, old: str) -> Floats:
        """How much more often nouns are in these slots than elsewhere, 0 for those that are implausible there."""
        old_number = self.slots.nouns.number(old)
        found = np.where(numbers >= 0, scores[numbers], NOT_KNOWN)
        relative = found - old_share(scores[old_number] if old_number >= 0 else 0.0)
        return np.where(relative < FLOOR, 0.0, np.exp(SHARPNESS * found))

    def _numbered(self, options: tuple[str, ...]) -> tuple[Places, Floats]:
        """Numbers and frequencies of nouns."""
        known = self._option_numbers.get(options)
        if known is None:
            numbers = np.array([self.slots.nouns.number(noun) for noun in options], dtype=np.int64)
            known = self._option_numbers[options] = numbers, np.array([self.frequency(noun) for noun in options])
        return known

    def _stand_ins(self, noun: str) -> Places:
        """Numbers of the countable nouns of captions that an image of this noun need not show; no people."""
        found = self._stand_in_numbers.get(noun)
        if found is None:
            found = self._stand_in_numbers[noun] = np.array(
                [number for number, other in self._put_in if self._excludes(noun, number, other)], dtype=np.int64
            )
        return found

    @cached_property
    def _put_in(self) -> tuple[tuple[int, str], ...]:
        names, often = self.slots.nouns.names, self.slots.mentions[FOLDS]
        known = self.vocabulary.put_in - self.vocabulary.vague - self.vocabulary.measures
        return tuple(
            (number, name)
            for number, name in enumerate(names)
            if name in known and often[number] >= FEWEST and self._may_be_put_in(name)
        )

    def _may_be_put_in(self, noun: str) -> bool:
        return self.lexicon.broad_class(noun) != "person" and self.names_thing(noun)

    def _excludes(self, noun: str, number: int, other: str) -> bool:
        """Whether another noun is neither the same thing nor one that is often beside it."""
        vocabulary = self.vocabulary
        if not self._are_kin(noun, other):
            return False
        if self.lexicon.broad_class(noun) == "person" and self.lexicon.broad_class(other) != "animal":
            return False
        one_thing = (
            other in vocabulary.noun_signs.get(noun, NONE)
            or noun in vocabulary.noun_signs.get(other, NONE)
            or other in vocabulary.overlapping.get(noun, NONE)
            or includes(noun, other)
            or self.lexicon.overlap(noun, other)
        )
        return not one_thing and self._beside(noun)[number] <= BESIDE

    def _are_kin(self, noun: str, other: str) -> bool:
        """Whether two nouns are things of one sort, by a group, a kind or a class: no airport gives way to a tie."""
        groups = [{place.group for place in self.vocabulary.nouns["count"].get(name, ())} for name in (noun, other)]
        return (
            not groups[0].isdisjoint(groups[1])
            or self.kind(noun) == self.kind(other) != ""
            or self.lexicon.broad_class(noun) == self.lexicon.broad_class(other) in ALIKE
        )

    def _beside(self, noun: str) -> Floats:
        found = self._companions.get(noun)
        if found is None:
            found = self._companions[noun] = self.slots.companions(noun)
        return found

    def kind(self, noun: str) -> str:
        """The kind whose things stand in for a noun: its own, or that of its class if it is a person or in no group.

        None ("") for directions, parts of the body and what only goes after some words.
        """
        broad_class, vocabulary = self.lexicon.broad_class(noun), self.vocabulary
        if noun in vocabulary.kind_of:
            return vocabulary.kind_of[noun]
        is_known = vocabulary.names_concept(noun) and broad_class not in ("person", noun)
        return "" if is_known else vocabulary.kind_of_class.get(broad_class, "")

    @cached_property
    def attested(self) -> Attested:
        """Who does what to whom in captions."""
        return Attested(packaged_triples(), group_names(self.vocabulary))

    def role(self, noun: str) -> Role:
        """What a noun is in a triple."""
        known = self._roles.get(noun)
        if known is None:
            known = self._roles[noun] = role_of(noun, self.vocabulary, self.lexicon)
        return known

    def concept(self, noun: str) -> str:
        """The concept a noun names."""
        known = self._concepts.get(noun)
        if known is None:
            known = self._concepts[noun] = concept_of(noun, self.vocabulary)
        return known

    @cached_property
    def clusters(self) -> Clusters:
        """Neighbours of the nouns that no curated group knows."""
        return Clusters(packaged_counts(), self.lexicon)

    @property
    def slots(self) -> SlotTable:
        """Which nouns stand where."""
        return packaged_slots()


def _drawn(rng: Random, odds: Floats, count: int) -> Places:
    """So many draws of places by their odds, [at most `count`], those drawn twice once, in the order drawn."""
    bounds = np.cumsum(odds)
    if not bounds[-1]:
        return np.zeros(0, dtype=np.int64)
    places = np.searchsorted(bounds, [rng.random() * bounds[-1] for _ in range(count)], side="right")
    return np.array(list(dict.fromkeys(np.minimum(places, len(odds) - 1).tolist())), dtype=np.int64)


class Level(Enum):
    """What a swap substitutions."""

    PHRASE = "phrase"
    NOUN = "noun"
    ATTRIBUTE = "attribute"


class Swap(NamedTuple):
    """Two phrases (indices, in order) of which something is exchanged, and the relations that tie them."""

    one: int
    other: int
    level: Level


class Filling(NamedTuple):
    """A noun that is put in.

    Attributes:
        slots: what it fills there.
        old: the noun that stood in the same slots, "" if none did.
    """

    slots: Slots
    new: str
    old: str = ""


class Proposal(NamedTuple):
    """A way to make a caption false, before anybody looked whether it does.

    Attributes:
        changes: what to write where; never overlapping.
        old: the concept taken out ("" for a swap); new: the concept put in.
        repeatable: whether the new concept may be in the caption already (a second red thing, not a second dog).
        signs: words that, said of the same image, are a sign that the negative may be true of it.
        swap: what is exchanged, for a swap.
        facts: (modifier or relation, noun) or (subject, relation, noun) that the negative claims.
        substitution: words of a closed class taken out and put in (prepositions, counts, actions, attribute values),
            which must flow both ways in a corpus to tell nothing; empty for an open class and for swaps.
        filling: the noun that is put in, if one is.
    """

    changes: tuple[Change, ...]
    old: str = ""
    new: str = ""
    repeatable: bool = False
    signs: frozenset[str] = NONE
    swap: Swap | None = None
    facts: tuple[tuple[str, ...], ...] = ()
    substitution: tuple[str, str] | tuple[()] = ()
    filling: Filling | None = None

    @property
    def focus(self) -> tuple[int, ...]:
        """Last tokens of the changes that the proposal is about; the rest is repair."""
        if self.swap is None:
            return (self.changes[0].last,)
        return tuple(change.last for change in self.changes[:2])


def governor_of(caption: Caption, phrase: int) -> str:
    """The preposition ("in front of" as a whole) or the verb's lemma that a phrase is the object of, else ""."""
    relation = next((relation for relation in caption.relations if relation.object == phrase), None)
    if relation is None:
        return preposition_before(caption, phrase)
    before = caption.tokens[caption.phrases[phrase].first - 1]
    return before.text.lower() if relation.verb and before.tag in ("RP", "IN", "RB") else relation.name


def preposition_before(caption: Caption, phrase: int) -> str:
    """The preposition or "" that a phrase is the object of."""
    head = caption.phrases[phrase].head
    token = caption.tokens[head]
    return caption.tokens[token.head].text.lower() if token.dep == "pobj" and token.head != NO else ""
