"""`benchmarks/proof_on_scenes.py`: negatives are read as the scene shows them, and those of the rules are false."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from negmine.stages.figures.scenes.figure import Item, Scene
from negmine.stages.negatives.rules import RULES

ROOT = Path(__file__).parents[2]

SCENE = Scene(
    (
        Item("star", "red", "plain", 0.1, -0.5 - 0.5j),
        Item("star", "blue", "striped", 0.05, 0.5 - 0.5j),
        Item("circle", "red", "dotted", 0.05, -0.5 + 0.5j),
    ),
    ((-0.5 + 0.5j, 0.1),),
)
"""A red star at the top left, a blue one at the top right, a red circle below the first and in the box."""


@pytest.fixture(scope="module")
def proof(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("proof_on_scenes")


@pytest.mark.parametrize(
    ("negative", "verdict"),
    [
        ("A red star is above a red circle.", "true"),
        ("A red star is below a red circle.", "false"),
        ("A red star is under a red circle.", "false"),
        ("A scarlet star is above a red circle.", "false"),  # nothing is called scarlet
        ("A red circle is in a field.", "false"),  # nor a field
        ("A red circle is outside the jar.", "false"),
        ("A red circle is next to a blue star.", "unread"),
        ("A red circle is behind the grey box.", "unread"),
        ("A red circle is in the grey box.", "true"),
        ("There are exactly several stars.", "false"),
        ("One can see many stars and no more.", "false"),
        ("A red star is not above a red circle.", "false"),
        ("A star is not to the left of a star.", "true"),
        ("A red star is not the lowest item.", "true"),
        ("The lowest object is not a red circle.", "false"),
        ("There is no star. Of red a above is.", "false"),
        ("Star red a above circle is.", "unread"),
    ],
)
def test_the_scene_decides(proof: Any, negative: str, verdict: str) -> None:
    assert proof.verdict(negative, SCENE) == verdict


@pytest.mark.parametrize(
    ("negative", "why"),
    [
        ("A circle above a red star.", "the caption's words in another order"),
        ("A red star is not near a circle.", "a denial"),
        ("A red star is behind the grey box.", "beside the grey box"),
        ("A red star near a circle.", "a relation that is not drawn"),
        ("Red stars galore.", "other words"),
    ],
)
def test_what_is_not_read_has_a_reason(proof: Any, negative: str, why: str) -> None:
    assert proof.why_unread(negative, "A red star above a circle.") == why


def test_a_hundred_captions(proof: Any) -> None:
    found = proof.Found.of([proof._batch(tuple(RULES), (level, range(20))) for level in range(1, 6)])
    said = Counter[str]()
    for (_, _, verdict), number in found.verdicts.items():
        said[verdict] += number
    assert found.captions.total() == 100
    assert said[proof.FALSE] > 2_000 and said[proof.TRUE] <= 0.005 * (said[proof.TRUE] + said[proof.FALSE])
    assert said[proof.IMPLIED] == 0  # no caption shows that one is true
    assert said[proof.UNREAD] == found.reasons.total() < 0.06 * said[proof.FALSE]
