"""What captions often say of one image does not stand in for one another."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from negmine.language.co_mention import concept_of, packaged_co_mention, said_together
from negmine.stages.negatives.proposal import Words

Produced = Callable[..., set[str]]


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A truck on a bridge", "A car on a bridge"),
        ("A person with a pizza", "A person with a pie"),
        ("A tall building beside a road", "A tall clock tower beside a road"),
        ("A goat in a pen", "A sheep in a pen"),
        ("A man near a desk", "A man near a laptop"),
    ],
)
def test_what_a_image_often_holds_too_is_not_put_in(produced: Produced, caption: str, negative: str) -> None:
    assert negative not in produced(caption, rules=["replace_object", "add_object"])


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A truck on a bridge", "A boat on a bridge"),
        ("A person with a pizza", "A person with a cake"),
        ("A person with a kite", "A person with a balloon"),
    ],
)
def test_other_things_are(produced: Produced, caption: str, negative: str) -> None:
    assert negative in produced(caption, rules=["replace_object"])


@pytest.mark.parametrize(
    ("caption", "negative"),
    [
        ("A boy plays a game", "A boy plays a video game"),
        ("A player on a court", "A baseball player on a court"),
        ("A black bicycle near a car", "A bicycle near a metal car"),
        ("A red car near a bicycle", "A car near a metal bicycle"),
    ],
)
def test_neither_a_kind_of_it_nor_what_it_is_by_default(produced: Produced, caption: str, negative: str) -> None:
    assert negative not in produced(caption, rules=["replace_object", "add_attribute"])


def test_a_share_is_of_captions_that_say_the_one_alone_beside_one_that_says_the_other() -> None:
    truck, car, dog = (frozenset({name}) for name in ("truck", "car", "dog"))
    images = [[truck, car], [truck, car], [truck, car], *[[truck, truck]] * 4, *[[dog, dog]] * 40]
    assert said_together(images, frozenset({"car", "dog"})) == {("truck", "car"): 3 / 11}
    assert said_together(images, frozenset({"dog"})) == {}
    assert said_together([[truck, truck | car]] * 20, frozenset({"car"})) == {}, "it is in every image"


def test_few_images_are_no_evidence() -> None:
    truck, car, dog = (frozenset({name}) for name in ("truck", "car", "dog"))
    images = [[truck, truck, truck, truck, truck, car]] * 2 + [[dog, dog]] * 100
    assert said_together(images, frozenset({"car"})) == {}


def test_the_table_names_concepts(words: Words) -> None:
    table = packaged_co_mention()
    assert "car" in table["truck"] and len(table) > 200
    assert all(concept_of(noun, words.vocabulary) == noun for others in table.values() for noun in others)
