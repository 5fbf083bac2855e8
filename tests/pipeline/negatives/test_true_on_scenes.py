"""What rules made of captions of drawn scenes and the oracle found true; see ``benchmarks/proof_on_scenes.py``."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest
from negmine.stages.negatives.rules import RULES

Produced = Callable[..., set[str]]

TRUE = [
    ("A black cat is behind a black cat.", "A black cat is in front of a black cat."),
    ("A man to the left of a man.", "A man to the right of a man."),
    ("A purple square is below a purple square.", "A purple square is above a purple square."),
    (
        "There is exactly one star. There is a hollow red star above a cross.",
        "There is exactly one red star. There is a hollow star above a cross.",
    ),
    (
        "One can see one green object. A red square is to the left of a green cross.",
        "One can see one red object. A red square is to the left of a green cross.",
    ),
    (
        "An orange star is above a triangle. The highest object is a small pink star.",
        "A pink star is above a triangle. The highest object is a small pink star.",
    ),
    ("There are exactly two red circles.", "There are exactly two blue circles."),
    ("There are exactly two circles.", "There are exactly two squares."),
    ("One can see two red circles and no more.", "One can see two blue circles and no more."),
    (
        "A striped purple square left of a black diamond. A striped purple square right of a black circle.",
        "A purple purple square left of a black diamond. A striped striped square right of a black circle.",
    ),
    ("A red cross is above a black diamond.", "A cross red is above a diamond black."),
    (
        "One can see a yellow square. There are at least two circles.",
        "One can see a square. There are at least two yellow circles.",
    ),
    ("A blue star. Some triangles are not plain.", "A star. Some blue triangles are not plain."),
]


@pytest.mark.parametrize(("caption", "negative"), TRUE)
def test_what_stays_true_is_not_made(produced: Produced, caption: str, negative: str) -> None:
    assert negative not in produced(caption, rules=tuple(RULES))


STILL_MADE = [
    ("replace_relation", "A cat is behind a dog.", ["A cat is in front of a dog."]),
    ("replace_relation", "A black cat is behind a white cat.", ["A black cat is in front of a white cat."]),
    ("replace_attribute", "A red star is above a black square.", ["A blue star is above a black square."]),
    ("replace_count", "There are exactly two circles.", ["There are exactly three circles."]),
    ("swap_attribute", "A red ball next to a blue box", ["A blue ball next to a red box"]),
    ("add_attribute", "A red chair in front of a wall and a table", ["A chair in front of a wall and a red table"]),
]


@pytest.mark.parametrize(("rule", "caption", "negatives"), STILL_MADE)
def test_what_becomes_false_is_made(produced: Produced, rule: str, caption: str, negatives: Sequence[str]) -> None:
    assert not produced(caption, rules=[rule]).isdisjoint(negatives), produced(caption, rules=[rule])
