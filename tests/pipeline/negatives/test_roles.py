"""Swaps are made where the turned scene is one that captions tell, or that alike things may be in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from negmine.language.analyse import parse
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.roles import Attested, Role, role_of, told, triple_of

Produced = Callable[..., set[str]]

SWAPS = ("swap_relation", "swap_object", "swap_attribute", "swap_phrase")


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A man chases a dog.", "A dog chases a man."),
        ("A woman helps a boy.", "A boy helps a woman."),
        ("A player being watched by people", "People being watched by a player"),
        ("A bus behind a black car.", "A black car behind a bus."),
        ("Two dogs and a cat sleeping on a bed", "Two cats and a dog sleeping on a bed"),
        ("A man with two dogs", "Two men with a dog"),
        ("Three men are petting an elephant", "A man is petting three elephants"),
        (
            "A girl in the foreground and a bus in the background",
            "A girl in the background and a bus in the foreground",
        ),
        ("A man in a red shirt and blue pants", "A man in a blue shirt and red pants"),
    ],
)
def test_a_likely_swap_is_made(produced: Produced, caption: str, negative: str) -> None:
    assert negative in produced(caption, rules=SWAPS)


@pytest.mark.parametrize(
    "caption",
    [
        "A man riding a horse",
        "A woman holding a game controller",
        "A cat on a skateboard",
        "A plate of food on a table",
        "A man sitting in front of a computer",
        "A man riding a skateboard behind a dog.",
        "A man holding a baby",
        "A man at a desk on a laptop computer",
        "A table with a wooden chair",
        "A boat under a bridge",
        "A room with chairs and a large mirror.",
        "Two cats on the keyboard of a computer",
        "A clock under a blue sky above green bushes",
        "A man in a hat and a gray jacket",
        "A child and a young man",
    ],
)
def test_no_unlikely_one_is(produced: Produced, caption: str) -> None:
    assert produced(caption, rules=SWAPS) == set()


@pytest.mark.parametrize(
    ("caption", "sibling", "negative"),
    [
        ("A desk with two dogs and a cat", "Two cats on a desk", "A desk with two cats and a dog"),
        ("A man with two dogs", "Several men with their dogs", "Two men with a dog"),
    ],
)
def test_a_sibling_that_counts_so_forbids_it(produced: Produced, caption: str, sibling: str, negative: str) -> None:
    assert negative in produced(caption, rules=SWAPS)
    assert negative not in produced(caption, [sibling], rules=SWAPS)


def test_one_side_takes_all_that_has_the_number_of_it(produced: Produced) -> None:
    assert "A woman that is standing in front of three tables" not in produced(
        "Three women that are standing in front of a table", rules=SWAPS
    )


@pytest.mark.parametrize(
    ("noun", "role"),
    [
        ("man", Role("adult", "adult", True)),
        ("people", Role("adult", "adult", True)),
        ("girl", Role("child", "child", True)),
        ("baby", Role("baby", "baby", True)),
        ("kitten", Role("pet", "pet", True)),
        ("teddy bear", Role("teddy bear", "", False)),
        ("game controller", Role("controller", "handheld", False)),
        ("baseball bat", Role("tennis racket", "racket", False)),
    ],
)
def test_what_a_noun_is(words: Words, noun: str, role: Role) -> None:
    found = role_of(noun, words.vocabulary, words.lexicon)
    assert found.animate == role.animate
    if found.animate:
        assert found == role


def test_a_triple_is_told_one_way() -> None:
    assert triple_of("car", "in front of", "bus") == ("bus", "behind", "car")
    assert triple_of("cat", "on top of", "table") == ("cat", "on", "table")


def test_what_a_caption_tells(nlp: Any, words: Words) -> None:
    text = "A man rides a horse in front of a red truck"
    caption = parse(nlp, [text], words.vocabulary)[text]
    triples = set(told(caption, words.vocabulary, words.lexicon))
    assert ("adult", "ride", "farm") in triples
    assert all(relation != "in front of" for _, relation, _ in triples)


def test_evidence_is_of_two_images_and_not_rare_beside_its_reverse() -> None:
    cat, bed, box = Role("pet", "pet", True), Role("bed", "seat", False), Role("box", "vessel", False)
    attested = Attested({("pet", "on", "bed"): 90, ("bed", "on", "pet"): 2, ("pet", "in", "box"): 1}, {})
    assert attested.tells(cat, "on", bed)
    assert not attested.tells(bed, "on", cat)
    assert not attested.turns(cat, "on", bed)
    assert not attested.tells(cat, "in", box)


def test_things_of_one_group_need_evidence_of_their_own() -> None:
    cup, plate = Role("cup", "vessel", False), Role("plate", "vessel", False)
    groups = {"cup": "vessel", "plate": "vessel"}
    attested = Attested({("cup", "on", "plate"): 90}, groups)
    assert attested.tells(cup, "on", plate)
    assert not attested.tells(plate, "on", cup)
