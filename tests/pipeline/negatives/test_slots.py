"""Which nouns stand where: slots of a phrase, and how plausible a noun is in them."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.folds import FOLDS
from negmine.language.caption import Caption
from negmine.language.slot_table import (
    FEWEST,
    NOT_KNOWN,
    OLD_NOUN,
    PRIOR,
    UNSEEN,
    Nouns,
    SlotTable,
    added,
    alike,
    counted,
    packaged_slots,
    plausibility,
    without_rare,
)
from negmine.language.slots import ANY, KIND_BITS, companion, kind_of, part_of, slot, slots_of, whole_of
from negmine.stages.negatives.proposal import Words

Parsed = Callable[[str], Caption]


def slots(caption: Caption, noun: str) -> tuple[int, ...]:
    return slots_of(caption, next(n for n, phrase in enumerate(caption.phrases) if phrase.name == noun))


# --- slots -----------------------------------------------------------------------------------------------------------


def test_a_noun_has_the_slots_of_what_governs_it_and_of_what_it_governs(parsed: Parsed) -> None:
    caption = parsed("A man in a red hat rides a horse on the beach.")
    assert {slot("dobj", "ride"), companion("beach"), ANY} <= set(slots(caption, "horse"))
    assert {slot("nsubj", "ride"), slot("rel_s", "ride", "horse"), slot("mod", "in")} <= set(slots(caption, "man"))
    assert {slot("amod", "red"), slot("pobj", "in")} <= set(slots(caption, "hat"))
    assert companion("horse") not in slots(caption, "horse")


def test_measures_and_parts(parsed: Parsed) -> None:
    assert slot("gov_pobj", "herd", "of") in slots(parsed("A herd of cows on a field."), "cow")
    assert slot("measures", "cow") in slots(parsed("A herd of cows on a field."), "herd")
    caption = parsed("A man sits in the bed of a truck.")
    assert part_of("truck") in slots(caption, "bed") and whole_of("bed") in slots(caption, "truck")


# --- counts ----------------------------------------------------------------------------------------------------------

MENTIONS = st.lists(st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, FOLDS - 1)), min_size=1)


@given(MENTIONS, st.integers(0, 50))
def test_counts_of_parts_add_up(mentions: list[tuple[int, int, int]], cut: int) -> None:
    whole = counted(*map(np.array, zip(*mentions, strict=True)))
    parts = [counted(*map(np.array, zip(*some, strict=True))) for some in (mentions[:cut], mentions[cut:]) if some]
    again = added(parts)
    assert (again.slot == whole.slot).all() and (again.noun == whole.noun).all() and (again.times == whole.times).all()
    expected = Counter(mentions)
    for s, n, times in zip(whole.slot.tolist(), whole.noun.tolist(), whole.times.tolist(), strict=True):
        assert times == [expected[s, n, fold] for fold in range(FOLDS)]
    often = Counter(s for s, _, _ in mentions)
    assert set(without_rare(whole).slot.tolist()) == {s for s, number in often.items() if number >= FEWEST}


# --- scores ----------------------------------------------------------------------------------------------------------

NAMES = ("bike", "horse", "oven", "person")
RIDDEN, BAKED = slot("dobj", "ride"), slot("pobj", "in")
CAPTIONS = [  # noun, its slot, fold
    *[(name, RIDDEN, n % FOLDS) for name in ("bike", "horse") for n in range(10)],
    *[("oven", BAKED, n % FOLDS) for n in range(10)],
    *[("person", slot("nsubj", "ride"), n % FOLDS) for n in range(20)],
]
WEIGHTS = np.zeros(1 << KIND_BITS)
WEIGHTS[[kind_of(RIDDEN), kind_of(BAKED)]] = 2.0, 0.5
VECTORS = np.array([[9, 1, 0], [9, 0, 1], [0, 9, 0], [0, 0, 9]])


def table() -> SlotTable:
    rows = [(s, NAMES.index(name), fold) for name, own, fold in CAPTIONS for s in (own, ANY)]
    return SlotTable(Nouns(NAMES, alike(VECTORS)), counted(*map(np.array, zip(*rows, strict=True))), WEIGHTS)


def by_hand(noun: str, asked: int, fold: int) -> float:
    """The score from its definition, with plain loops."""

    def cosine(one: str, other: str) -> float:
        a, b = (VECTORS[NAMES.index(name)].tolist() for name in (one, other))
        return sum(x * y for x, y in zip(a, b, strict=True)) / math.sqrt(sum(x * x for x in a) * sum(y * y for y in b))

    def kin(one: str, other: str) -> float:
        return 1.0 if one == other else max(cosine(one, other), 0.0) ** 2

    times = defaultdict[str, float](float)
    own = dict.fromkeys(NAMES, UNSEEN)
    for name, place, where in CAPTIONS:
        if where != fold:
            own[name] += 1
            times[name] += place == asked
    base = sum(kin(noun, name) * own[name] / sum(own.values()) for name in NAMES)
    spread = sum(kin(noun, name) * times[name] for name in NAMES)
    return math.log((spread + PRIOR * base) / ((sum(times.values()) + PRIOR) * base))


@pytest.mark.parametrize("fold", [0, 3, FOLDS])
def test_a_score_is_what_its_definition_says(fold: int) -> None:
    for asked in (RIDDEN, BAKED):
        expected = [by_hand(name, asked, fold) for name in NAMES]
        assert table().likely(asked, fold) == pytest.approx(expected, abs=1e-3)
    both = [2 * by_hand(name, RIDDEN, fold) + 0.5 * by_hand(name, BAKED, fold) for name in NAMES]
    assert table().scores((ANY, RIDDEN, BAKED, slot("dobj", "never")), fold) == pytest.approx(both, abs=2e-3)


def test_slots_of_one_kind_say_much_the_same() -> None:
    again = slot("dobj", "mount")
    rows = [(s, NAMES.index("bike"), 0) for s in (RIDDEN, again) for _ in range(9)] + [(ANY, n, 0) for n in range(4)]
    two = SlotTable(Nouns(NAMES, alike(VECTORS)), counted(*map(np.array, zip(*rows, strict=True))), WEIGHTS)
    assert two.scores((RIDDEN, again)) == pytest.approx(math.sqrt(2) * two.scores((RIDDEN,)), abs=1e-6)


def test_the_old_noun_counts_in_part_and_the_unknown_are_told(parsed: Parsed) -> None:
    places, none = [((ANY, RIDDEN), FOLDS)], [((slot("dobj", "never"),), FOLDS)]
    bike, oven, person = (NAMES.index(name) for name in ("bike", "oven", "person"))
    place, new, old = np.array([-1, 0, 0, 0]), np.array([-1, bike, oven, -1]), np.array([-1, person, -1, -1])
    found = plausibility(table(), places, place, new, old)
    scores = [2 * by_hand(name, RIDDEN, FOLDS) for name in NAMES]
    before = min(max(scores[person], -2.0), 4.0)
    assert found == pytest.approx([0, scores[bike] - OLD_NOUN * before, scores[oven], NOT_KNOWN], abs=2e-3)
    assert not plausibility(table(), none, place, new, old).any()


def test_no_caption_is_judged_by_its_own_image() -> None:
    seen = slot("dobj", "sell")
    rows = [(seen, 0, 2)] * 6 + [(ANY, n, fold) for n in range(4) for fold in range(FOLDS) for _ in range(4)]
    one = SlotTable(Nouns(NAMES, alike(VECTORS)), counted(*map(np.array, zip(*rows, strict=True))), WEIGHTS)
    assert one.likely(seen, 2) is None
    assert one.likely(seen, 1)[0] > 0.3


# --- the packaged table ----------------------------------------------------------------------------------------------


def test_the_packaged_table_is_about_as_large_as_it_was_made() -> None:
    packaged = packaged_slots()
    assert len(packaged.nouns.names) > 1_000 and list(packaged.nouns.names) == sorted(set(packaged.nouns.names))
    assert (np.diff(packaged.counts.slot) >= 0).all() and packaged.counts.noun.max() < len(packaged.nouns.names)
    assert packaged.counts.times.min() >= 0 and (packaged.counts.times.sum(axis=1) > 0).all()


@pytest.mark.parametrize(
    ("text", "noun", "likely", "unlikely"),
    [
        ("A person rides a horse outside.", "horse", ("bike", "motorcycle", "skateboard"), ("oven", "pizza", "sink")),
        ("A plate with a slice of pizza and a fork.", "fork", ("knife", "spoon"), ("train", "wave", "zebra")),
        ("A man in a hat talks on a phone.", "hat", ("shirt", "tie"), ("toilet", "zebra", "wave")),
        ("A herd of cows standing in a field.", "cow", ("sheep", "zebra", "elephant"), ("surfboard", "cake", "laptop")),
    ],
)
def test_what_stands_there_in_other_captions_is_likelier(
    parsed: Parsed, text: str, noun: str, likely: tuple[str, ...], unlikely: tuple[str, ...]
) -> None:
    scores, number = packaged_slots().scores(slots(parsed(text), noun)), packaged_slots().nouns.number
    assert min(scores[number(other)] for other in likely) > max(scores[number(other)] for other in unlikely)


def test_nouns_are_drawn_for_their_place(parsed: Parsed, words: Words) -> None:
    place = slots(parsed("A man rides a horse down the street."), "horse")
    drawn = Counter(other for seed in range(60) for other in words.fitting(Random(seed), place, "horse", 8))
    assert drawn["motorcycle"] + drawn["bike"] + drawn["skateboard"] > 20 * (drawn["oven"] + drawn["pizza"])
    assert not {"horse", "man", "person", "woman"} & drawn.keys()


def test_what_is_often_beside_a_noun_does_not_stand_in_for_it(words: Words) -> None:
    names = packaged_slots().nouns.names
    allowed = {names[number] for number in words._stand_ins("bed").tolist()}
    assert "pillow" not in allowed and "bench" in allowed


def test_only_things_of_one_sort_stand_in_for_each_other(words: Words) -> None:
    names = packaged_slots().nouns.names
    allowed = {names[number] for number in words._stand_ins("airport").tolist()}
    assert "tie" not in allowed and "harbor" in allowed


def test_a_noun_without_an_article_gives_way_to_none_that_needs_one(produced: Any) -> None:
    negatives = produced("A girl eats cake at a table.", rules=("replace_object",))
    assert "A girl eats pizza at a table." in negatives
    assert not {"A girl eats sandwich at a table.", "A girl eats apple at a table."} & negatives
    assert "A player is at tennis racket." not in produced("A player is at bat.", rules=("replace_object",))


@pytest.mark.parametrize(
    ("text", "kept"),
    [("A cat sleeps on the hood of a car.", ("hood", "car")), ("A man sits in the bed of a truck.", ("bed",))],
)
def test_what_of_ties_together_is_not_cut(produced: Any, text: str, kept: tuple[str, ...]) -> None:
    negatives = produced(text, rules=("replace_object",))
    assert negatives
    for noun in kept:
        assert all(noun in negative for negative in negatives), noun


def test_a_whole_that_many_parts_are_of_is_exchanged(produced: Any) -> None:
    assert any(
        "of a train" in negative for negative in produced("A dog by the door of a bus.", rules=("replace_object",))
    )
