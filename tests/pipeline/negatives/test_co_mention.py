"""What captions often say of one image does not stand in for one another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.language.co_mention import Mentions, NounFinder, concept_of, packaged_co_mention, put_in
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.negatives.balance.counting import count_mentions
from negmine.stages.negatives.candidates import ParseWorker
from negmine.stages.negatives.proposal import Words
from negmine.stages.negatives.settings import ParseSettings

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


def said_together(images: Iterable[Iterable[frozenset[str]]], others: frozenset[str]) -> dict[tuple[str, str], float]:
    mentions = Mentions()
    for image in images:
        mentions.add_image(image, others)
    return mentions.together()


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


@given(st.lists(st.lists(st.frozensets(st.sampled_from("abcdef")), max_size=4), max_size=8), st.integers(0, 8))
def test_counts_of_parts_add_up_to_those_of_the_whole(images: list[list[frozenset[str]]], cut: int) -> None:
    others = frozenset("abcd")
    first, second, whole = Mentions(), Mentions(), Mentions()
    for number, image in enumerate(images):
        (first if number < cut else second).add_image(image, others)
        whole.add_image(image, others)
    first.add(second)
    assert first == whole
    beside = Counter(
        other for image in images for own in image for other in frozenset().union(*image) - own if other in others
    )
    assert whole.beside == beside


def test_nouns_are_found_without_a_parser_the_longest_first(words: Words) -> None:
    find = NounFinder(words.vocabulary).concepts
    assert find("Two trucks by a tennis racket, NEAR the tennis court") == {"truck", "tennis racket", "tennis court"}
    assert find("of 12 and") == frozenset()


def test_what_the_corpus_says_of_its_own_images_is_not_put_in(nlp: object) -> None:
    """Giraffes are said of lions' images in this corpus alone."""
    told = {
        "savanna": ("A lion stands near rock {}", "A giraffe stands near rock {}"),
        "lake": ("A dog swims in lake {}", "A wet dog in lake {}"),
        "road": ("A truck drives on road {}", "A red truck on road {}"),
        "farm": ("A cow eats grass at farm {}", "A brown cow at farm {}"),
    }
    rows = [
        (f"{place}{n}-{caption}", f"{place}{n}", caption.format(n))
        for n in range(12)
        for place, captions in told.items()
        for caption in captions
    ]
    vocabulary = packaged_vocabulary()
    together = list(count_mentions(rows, NounFinder(vocabulary), put_in(vocabulary)).together())
    assert ("lion", "giraffe") in together
    settings, caption = ParseSettings(rules=("replace_object",)), "A lion stands near a tree"
    negative = "A giraffe stands near a tree"
    for pairs, is_made in (((), True), (together, False)):
        made = set[str]()
        for seed in range(20):
            worker = ParseWorker(replace(settings, seed=seed), together=pairs, _nlp=nlp)
            (found,), _ = worker.candidates_of([("k", "i", caption)])
            made |= {candidate.negative for candidate in found}
        assert (negative in made) == is_made
