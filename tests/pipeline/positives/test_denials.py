"""True denials: beside each false one another image of which it is true, as far as its captions say."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from negmine.base.counts import Counts
from negmine.contract.records import apply_edits
from negmine.language.analyse import load_model, parse
from negmine.language.negations import claims
from negmine.stages.positives.choose import positives_of
from negmine.stages.positives.denials import Denial, true_denials
from negmine.stages.positives.rewording import Words

Row = tuple[str, str, str]


@pytest.fixture(scope="module")
def words() -> Words:
    return Words.packaged()


def answers(rows: Sequence[Row], false: dict[str, list[str]], words: Words) -> tuple[dict[str, list[Denial]], Counts]:
    captions = parse(load_model(None), (text for _, _, text in rows), words.vocabulary)
    return true_denials(rows, captions, false, words, 0)


@pytest.mark.parametrize(
    ("caption", "denials"),
    [
        ("a man with a dog on a beach", ["without a dog"]),
        ("a man riding a horse", ["not riding a horse"]),
        ("A man is riding a horse.", ["not riding a horse"]),
        ("there is a dog on a bed", ["no dog"]),
        ("a man with a hat", []),  # a garment is often there unsaid
        ("a cat with a tree in the background", []),
        ("a plate with a knife and a fork", []),  # "without a knife and a fork" denies both
        ("a plate filled with bananas", []),
        ("a man without a dog", []),
        ("a man swinging a bat at a ball", []),
        ("a beach with a kite flying in the sky", []),
        ("a dog with a tennis player", []),
    ],
)
def test_what_can_be_denied(words: Words, caption: str, denials: list[str]) -> None:
    parsed = parse(load_model(None), [caption], words.vocabulary)[caption]
    assert [claim.denial for claim in claims(parsed, words.vocabulary)] == denials


ROWS = [
    ("a", "1", "a man with a dog on a beach"),
    ("b", "2", "a man with a surfboard on a beach"),
    ("c", "3", "a woman with a kite in a park"),
    ("d", "3", "a lady and her puppy in a park"),
    ("e", "4", "a boy with an umbrella"),
]


def test_the_same_words_are_true_of_another_image(words: Words) -> None:
    found, counts = answers(ROWS, {"a": ["a man without a dog on a beach"]}, words)
    assert {key: [one.text for one in of] for key, of in found.items()} == {"b": ["a man without a dog on a beach"]}
    assert apply_edits(ROWS[1][2], found["b"][0].edits) == found["b"][0].text
    assert counts == {"denied": 1, "answered": 1}


def test_no_image_that_may_show_it(words: Words) -> None:
    """Not of one of whose captions names a kind of dog; of another class than the owner's where there is no other."""
    rows = [ROWS[0], *ROWS[2:]]
    found, counts = answers(rows, {"a": ["a man without a dog on a beach"]}, words)
    assert {key: [one.text for one in of] for key, of in found.items()} == {"e": ["a boy without a dog"]}
    found, counts = answers(
        [*rows[:-1], ("f", "5", "a table with a cake")], {"a": [rows[0][2].replace("with", "without")]}, words
    )
    assert {key: [one.text for one in of] for key, of in found.items()} == {"f": ["a table without a dog"]}
    found, counts = answers(rows[:-1], {"a": ["a man without a dog on a beach"]}, words)
    assert not found and counts == {"denied": 1, "unanswered": 1}


def test_what_denies_nothing_needs_no_answer(words: Words) -> None:
    rows = [("x", "9", "a man without a dog"), *ROWS]
    found, counts = answers(rows, {"x": ["a man with a dog"]}, words)
    assert not found and counts == {"denied": 1, "affirmed": 1}


def test_denials_come_first_and_count_among_the_positives(words: Words) -> None:
    captions = parse(load_model(None), (text for _, _, text in ROWS), words.vocabulary)
    denials, _ = answers(ROWS, {"a": ["a man without a dog on a beach"]}, words)
    found, counts = positives_of(ROWS, captions, words, 1, 0, denials)
    assert [(one.kind, one.rule, one.slot) for one in found if one.key == "b"] == [("negate", "deny", 0)]
    counts.check_sum("accepted", "positives", "not_selected")
    assert counts["kind:negate"] == 1
