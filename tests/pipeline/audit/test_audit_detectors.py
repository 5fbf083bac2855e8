"""Each detector on good and bad negatives: real outputs of published generators, and their cures."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.language.difference import tokens
from negmine.stages.audit.article import wants_an, wrong_articles
from negmine.stages.audit.defects import DETECTORS, any_visible, suspected_true
from negmine.stages.audit.differences import Change, Judged, differences, lower, stem
from negmine.stages.audit.exchange import exchanges, is_coordination_swap
from negmine.stages.audit.grammar import has_link_grammar


def judged(caption: str, negative: str, *siblings: str) -> Judged:
    return Judged("key", "image", caption, negative, "kind", siblings)


def has(detector: str, caption: str, negative: str, *siblings: str) -> bool | None:
    return DETECTORS[detector].find([judged(caption, negative, *siblings)])[0]


BAD = [
    ("a_an", "a woman holding an orange umbrella", "a woman holding a orange street"),
    ("a_an", "A person riding a skateboard", "A able person riding a skateboard"),
    ("a_an", "playing with a friend", "playing with an friend"),
    ("a_an", "a small clock", "a hour clock"),
    ("agreement", "Two men and a baby at a party.", "Two baby and a men at a party."),
    ("agreement", "Two girls are sitting on top of the desk.", "Two boy scout are sitting on top of the desk."),
    ("agreement", "a kitchen with very clean appliances", "stainless steel appliances has a very clean kitchen."),
    ("agreement", "Two men are on a bus", "Two men is on a bus"),
    ("coordination", "A man and a boy next to a bus.", "A boy and a man next to a bus."),
    ("coordination", "This is a black and white photo.", "This is a white and black photo."),
    (
        "coordination",
        "A bathroom with a tub, toilet, mirror and sink.",
        "A bathroom with a sink, toilet, mirror and tub.",
    ),
    ("coordination", "An apple and a dog", "A dog and an apple"),
    ("symmetric", "A dog standing next to a cat in a field.", "A cat standing next to a dog in a field."),
    ("symmetric", "There are bikes parked next to the cars.", "There are cars parked next to the bikes."),
    ("symmetric", "A coaster is near a remote.", "A remote is near a coaster."),
    ("identical", "A dog on a red rug.", "a dog on a red rug ."),
    ("identical", "a dog " * 40 + "cat", "a dog " * 40 + "bird"),
    ("near_synonym", "A large dog", "A immense dog"),
    ("near_synonym", "a cat on a couch", "a cat on a sofa"),
    ("near_synonym", "a dog on a mat", "an animal on a mat"),
    ("near_synonym", "a cup next to a plate", "a cup beside a plate"),
    ("near_synonym", "a girl holding a bag", "a girl carrying a bag"),
    ("near_synonym", "two men on a bench", "a couple of men on a bench"),
    ("near_synonym", "the small dogs on a mat", "the small dog on a mat"),
    ("unit_cut", "a fire hydrant next to a stop sign", "a stop hydrant next to a fire sign"),
    ("unit_cut", "a man in front of a tent", "a front in man of a tent"),
    ("unknown_word", "A woman and a man hold each other", "A woman and a wowoman hold each other"),
    ("unknown_word", "A man sits against a mirror", "A man sits dagainster a mirror"),
    ("placeholder", "A bus getting ready", "A bus <mask> ready"),
    ("capital", "A giraffe next to a trunk.", "a trunk next to A giraffe."),
    ("capital", "A giraffe next to a trunk.", "A trunk next to A giraffe."),
    ("full_stop", "A cat on a mat.", "A dog on a mat"),
    ("spacing", "A boy, in a red hat.", "A boy , in a blue hat ."),
    ("implausible", "A man rides a horse on the beach.", "A man rides a refrigerator on the beach."),
    ("implausible", "A herd of cows grazing in a field.", "A herd of laptops grazing in a field."),
    ("implausible", "A slice of pizza on a plate", "A slice of zebra on a plate"),
    ("said_together", "A truck on a bridge", "A car on a bridge"),
    ("said_together", "A man eating pie", "A man eating pizza"),
    ("spacing", "a semi-truck on a road", "a semi - truck on a path"),
]

GOOD = [
    ("a_an", "an orange umbrella on a table", "a table on an orange umbrella"),
    ("a_an", "a red one-way sign", "a one-way red sign"),
    ("a_an", "a big horse", "an 8-foot horse"),
    ("agreement", "two dogs and a cat on a bed", "two cats and a dog on a bed"),
    ("agreement", "A dog is chasing two cats", "A cat is chasing two dogs"),
    ("agreement", "Two men are on a bus", "Two women are on a bus"),
    ("agreement", "Two boy is here", "Two girl is here"),
    ("coordination", "a black cat and a white dog", "a white cat and a black dog"),
    ("coordination", "a man in a hat and a woman in a scarf", "a man in a scarf and a woman in a hat"),
    ("coordination", "a red cup and a plate", "a red plate and a cup"),
    ("symmetric", "a dog on a skateboard", "a skateboard on a dog"),
    ("symmetric", "a man behind a bus", "a bus behind a man"),
    ("symmetric", "a red cup next to a plate", "a red plate next to a cup"),
    ("identical", "A cat on a mat", "A dog on a mat"),
    ("near_synonym", "a man in a park", "a woman in a park"),
    ("near_synonym", "a cat on a table", "a cat under a table"),
    ("near_synonym", "a small dog", "a large dog"),
    ("near_synonym", "a small dog is here", "two small dogs are here"),
    ("near_synonym", "a man on a person", "a person on a man"),
    ("near_synonym", "a horse in a field", "a cow in a field"),
    ("unit_cut", "a fire hydrant next to a bus", "a parking meter next to a bus"),
    ("unknown_word", "a man near a truck", "a giraffe near a truck"),
    ("placeholder", "A cat on a mat", "A dog on a mat"),
    ("capital", "Big Ben behind a red bus.", "A red bus behind Big Ben."),
    ("full_stop", "A cat on a mat", "A dog on a mat"),
    ("spacing", "a man's hat (left).", "a woman's hat (left)."),
    ("spacing", "A boy , in a red hat .", "A boy , in a blue hat ."),
    ("implausible", "A man rides a horse on the beach.", "A man rides a bike on the beach."),
    ("implausible", "A herd of cows grazing in a field.", "A herd of sheep grazing in a field."),
    ("said_together", "A truck on a bridge", "A boat on a bridge"),
]


def test_where_no_noun_is_put_in_none_is_judged() -> None:
    assert has("implausible", "A red bus", "A green bus") is None
    assert has("said_together", "A red bus", "A green bus") is None


@pytest.mark.parametrize(("detector", "caption", "negative"), BAD)
def test_a_defect_is_found(detector: str, caption: str, negative: str) -> None:
    assert has(detector, caption, negative) is True


@pytest.mark.parametrize(("detector", "caption", "negative"), GOOD)
def test_a_good_negative_is_left_alone(detector: str, caption: str, negative: str) -> None:
    assert has(detector, caption, negative) is False


def test_other_captions_of_the_image_tell_what_is_true() -> None:
    caption, negative = "a man in a blue jacket", "a man in a white jacket"
    assert has("sibling_word", caption, negative, "a guy wears a white coat") is True
    assert has("sibling_word", caption, negative, "a guy wears a coat") is False
    assert has("sibling_word", "a plate", "two bowls", "soup in a bowl") is True, "an inflection of it counts too"
    assert has("sibling_word", "a plate on it", "a plate under it", "grass under a tree") is False, "no content word"
    assert has("sibling_implied", "a woman on a chair", "a woman on a sofa", "she sits on a couch") is True
    assert has("equals_sibling", caption, "A dog runs .", "a dog  runs .") is True
    assert has("equals_sibling", caption, "A dog runs.", "A cat runs.") is False


def test_the_second_of_two_equal_negatives_is_the_repeated_one() -> None:
    items = [judged("a cat", text) for text in ("a dog", "a cow", "A dog")]
    assert DETECTORS["repeated"].find(items) == [False, False, True]


@pytest.mark.skipif(not has_link_grammar(), reason="link-grammar is not installed")
def test_link_grammar_finds_what_it_cannot_connect() -> None:
    found = DETECTORS["link_grammar"].find(
        [
            judged("a man is riding a horse.", "a horse is riding a man."),
            judged("a man is riding a horse.", "a man is riding is horse of."),
            judged("a of man the is under.", "a horse."),
        ]
    )
    assert found == [False, True, None]


def test_sums_over_detectors() -> None:
    items = [judged("a cat and a dog", "a dog and a cat"), judged("a cat", "a bus"), judged("a man", "a orange man")]
    verdicts = {name: one.find(items) for name, one in DETECTORS.items() if one.available()}
    assert list(any_visible(verdicts)) == [True, False, True]
    assert list(suspected_true(verdicts)) == [True, False, False]


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("hour", True),
        ("uniform", False),
        ("unidentified", True),
        ("umbrella", True),
        ("European", False),
        ("11", True),
        ("180", False),
        ("x-ray", True),
        ("t-shirt", False),
        ("one-way", False),
        ("only", True),
        ("MRI", None),
    ],
)
def test_article_by_sound(word: str, expected: bool | None) -> None:
    assert wants_an(word) is expected


def test_wrong_articles_are_counted() -> None:
    assert wrong_articles(tokens("An dog, a apple and an apple on a.")) == 2


_WORD = st.sampled_from(["a", "red", "blue", "dog", "cat", "and", ",", "on", "near"])
_WORDS = st.lists(_WORD, min_size=1, max_size=6).map(tuple)


@given(_WORDS, _WORDS, _WORDS, _WORDS, _WORDS)
def test_an_exchange_puts_the_text_together_again(head, one, middle, other, tail) -> None:  # type: ignore[no-untyped-def]
    before, after = head + one + middle + other + tail, head + other + middle + one + tail
    found = list(exchanges(before, after))
    assert found or before == after
    for e in found:
        assert e.head + e.one + e.middle + e.other + e.tail == before


@given(_WORDS, _WORDS)
def test_differences_rebuild_both_sides(before: tuple[str, ...], after: tuple[str, ...]) -> None:
    changes = differences(before, after)
    assert len(before) - sum(len(c.old) for c in changes) == len(after) - sum(len(c.new) for c in changes)
    assert (changes == ()) == (before == after)


def test_small_things() -> None:
    assert tokens("A man's semi-truck, <mask>.") == ("A", "man's", "semi-truck", ",", "<mask>", ".")
    assert differences(("a", "red", "bus"), ("a", "blue", "bus")) == (Change(("red",), ("blue",)),)
    assert [stem(word) for word in ("dogs", "Women", "glasses", "bus", "ponies", "grass", "man's")] == [
        "dog",
        "woman",
        "glass",
        "bus",
        "pony",
        "grass",
        "man",
    ]
    assert not is_coordination_swap(lower(tokens("a cat")), lower(tokens("a dog")))
