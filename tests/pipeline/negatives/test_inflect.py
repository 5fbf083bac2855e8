"""Articles by sound, number, verb agreement, capitals."""

from __future__ import annotations

import pytest
from negmine.language.inflect import agreeing, article, in_case_of, lemma, numbered


@pytest.mark.parametrize(
    ("article_expected", "words"),
    [
        ("an", "apple orange egg igloo umbrella hour honest heir honor unidentified uncle urn"),
        ("an", 'MRI X-ray SUV suv LCD 8-foot 8 11 18 80 8,000 F-16 HD NBA "old"'),
        ("a", "dog uniform unicycle university one one-way once European ewe user used utensil ukulele UFO unique"),
        ("a", "house hotel horse year TV tv US-made 1 10 100 2-story urinal 180 1100 DVD"),
    ],
)
def test_article_follows_the_sound(article_expected: str, words: str) -> None:
    wrong = [word for word in words.split() if article(word) != article_expected]
    assert wrong == []


@pytest.mark.parametrize(
    ("singular", "plural"),
    [
        ("dog", "dogs"),
        ("man", "men"),
        ("knife", "knives"),
        ("sheep", "sheep"),
        ("bus", "buses"),
        ("fish", "fish"),
        ("child", "children"),
        ("fire hydrant", "fire hydrants"),
        ("policeman", "policemen"),
        ("mouse", "mice"),
        ("deer", "deer"),
        ("goose", "geese"),
        ("potato", "potatoes"),
        ("person", "people"),
    ],
)
def test_number(singular: str, plural: str) -> None:
    assert (numbered(singular, False), numbered(singular, True)) == (singular, plural)


@pytest.mark.parametrize(
    ("singular", "plural"),
    [("is", "are"), ("was", "were"), ("has", "have"), ("sits", "sit"), ("flies", "fly"), ("does", "do")],
)
def test_verbs_agree(singular: str, plural: str) -> None:
    assert agreeing(singular, True) == agreeing(plural, True) == plural
    assert agreeing(singular, False) == agreeing(plural, False) == singular


def test_people_have_a_singular() -> None:
    assert numbered("people", False) == "person"
    assert numbered("people", True) == "people"


@pytest.mark.parametrize(
    ("word", "pos", "expected"),
    [
        ("riding", "VERB", "ride"),
        ("Men", "NOUN", "man"),
        ("is", "AUX", "be"),
        ("The", "DET", "the"),
        ("geese", "NOUN", "goose"),
    ],
)
def test_lemma(word: str, pos: str, expected: str) -> None:
    assert lemma(word, pos) == expected


def test_case_is_that_of_the_word_replaced() -> None:
    assert [in_case_of(old, "bus") for old in ("car", "Car", "CAR", "A")] == ["bus", "Bus", "BUS", "Bus"]
