"""What speaks against a caption being true of an image."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from math import log, sqrt
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from negmine.engine.local import LocalEngine
from negmine.language.analyse import load_model, parse
from negmine.language.caption import Caption
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.neighbours.entailment import Said, said
from negmine.stages.neighbours.evidence import Ground, Kinds, covered, grounds, untold, weight_of
from negmine.stages.neighbours.filters import FILTERS
from negmine.stages.neighbours.recipe import load_recipe, override
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve

from tests.pipeline.neighbours.conftest import candidates, make_work, pairs_of, table


@cache
def _model() -> Any:
    return load_model(None)


@cache
def read(text: str) -> Caption:
    return parse(_model(), [text], packaged_vocabulary())[text]


@cache
def reading(text: str) -> tuple[Said, frozenset[str], tuple[Ground, ...]]:
    what = said(read(text))
    return what, covered(read(text), what), grounds(read(text), what)


def evidence(candidate: str, captions: Sequence[str]) -> float:
    """In nats, in plain loops."""
    told = frozenset[str]().union(*(reading(text)[0].told for text in captions))
    there = frozenset[str]().union(*(reading(text)[1] for text in captions))
    total = 0
    for ground in reading(candidate)[2]:
        applies = ground.given in told if ground.holds else ground.given not in there
        if applies and ground.claim not in told and ground.claim not in there:
            total += weight_of(ground)
    return total / 100 * sqrt(len(captions))


KITCHEN = (
    "A kitchen with a stove and a refrigerator.",
    "A small white kitchen",
    "a stove in a kitchen",
    "There is a stove next to a refrigerator",
    "A clean kitchen with white cabinets",
)
RIDERS = (
    "A group of people riding horses on a beach",
    "Some people on horses by the sea",
    "People ride horses along the shore.",
    "Several horses with riders",
    "horses on the sand",
)
CATTLE = (
    "A herd of animals on a hill",
    "Two cows graze on a hill.",
    "Cattle on a green hill",
    "a couple of cows eating grass",
    "cows",
)


@pytest.mark.parametrize(
    ("candidate", "captions"),
    [
        ("A man with a pizza in a kitchen", KITCHEN),
        ("A toilet and a bathtub", KITCHEN),
        ("A giraffe in a field", CATTLE[1:]),
        ("People play tennis on a court", RIDERS),
        ("Two elephants in a field", RIDERS),
        ("A giraffe eats hay or leaves", KITCHEN),  # the giraffe is claimed
        ("Ein Hund auf dem Sofa und eine Katze mit dem Ball", KITCHEN),  # cannot be judged
    ],
)
def test_enough_speaks_against_what_captions_would_tell(candidate: str, captions: Sequence[str]) -> None:
    assert evidence(candidate, captions) >= 3


@pytest.mark.parametrize(
    ("candidate", "captions"),
    [
        ("A stove in a kitchen", KITCHEN),  # told
        ("A kitchen with a sink and a counter", KITCHEN),  # what kitchens have
        ("A kitchen with a window and a lamp", KITCHEN),  # what speakers leave out
        ("A tidy kitchen", KITCHEN),
        ("A man and a woman ride horses", RIDERS),  # may be among the people
        ("Two women on horses", RIDERS),
        ("A giraffe on a hill", CATTLE),  # may be among the animals
        ("A herd of cattle grazes on a hill", CATTLE),
        ("no dog", KITCHEN),  # may well be true
        ("A kitchen with a giraffe or an elephant", KITCHEN),  # what is left open is not read
        ("A kitchen without a giraffe", KITCHEN),
    ],
)
def test_too_little_speaks_against_what_may_be_so(candidate: str, captions: Sequence[str]) -> None:
    assert evidence(candidate, captions) < 3


def test_more_captions_that_leave_it_out_say_more() -> None:
    once, five = (evidence("A dog in a kitchen", KITCHEN[:n]) for n in (1, 5))
    assert five == pytest.approx(once * sqrt(5)) and once > 0


def test_one_number_is_left_out_only_where_its_thing_is_told() -> None:
    counts = [ground for ground in reading("three dogs on a couch")[2] if "=" in ground.claim]
    assert counts == [Ground("n dog=3", "n dog", True, ("=3",))]


def test_what_is_not_read_has_no_weight_in_a_new_table() -> None:
    images = [[read("a man pets a dog or a cat"), read("a man pets")]] * 40
    assert set(untold(images)) == {"n man", "v pet"}


def test_the_table_counts_who_leaves_out_what() -> None:
    images = [[read(text) for text in image] for image in (["a dog", "a dog and a ball", "a poodle"], ["a ball"])] * 40
    weights = untold(images)
    assert weights["n dog"] == pytest.approx(-log(1 / (40 * 4 + 2)))  # all tell it
    assert weights["n ball"] == pytest.approx(-log((80 + 1) / (80 + 2)))  # one says it, two leave it out
    assert weight_of(reading("a dog")[2][0], weights) == round(100 * log(162))


def test_what_is_rare_is_pooled() -> None:
    images = [[read(text) for text in image] for image in (["a dog", "a cat"], ["a sheep", "a zebra"])] * 15
    weights = untold(images)
    assert weights == {name: pytest.approx(-log(61 / 62)) for name in ("n :animal", "n")}
    assert weight_of(reading("a lion")[2][0], weights) == round(-100 * log(61 / 62))


def test_a_noun_names_one_kind() -> None:
    boats = frozenset({"boat", "vessel"})
    assert Kinds({"boat": boats, "container": frozenset({"container"})}).named_by("vessel") == "boat"
    with pytest.raises(ValueError, match="vessel"):
        Kinds({"boat": boats, "container": frozenset({"container", "vessel"})})


CAPTIONS = (
    *KITCHEN,
    "A man with a pizza in a kitchen",
    "A kitchen with a window",
    "two dogs on a couch",
    "three dogs",
    "some animals on furniture",
    "a cat on a couch",
    "Ein Hund auf dem Sofa und eine Katze mit dem Ball",
    "",
    "two people on horses",
)
IMAGES = (*"aaaaabccdefgh", "i")


@pytest.mark.parametrize(("part_size", "workers", "least"), [(4, 1, 3.0), (20, 1, 1.0)])
def test_the_table_says_what_loops_say(tmp_path: Path, part_size: int, workers: int, least: float) -> None:
    texts = [text or "a house" for text in CAPTIONS]
    name = make_work(tmp_path, [f"{image}.jpg" for image in IMAGES], texts, np.eye(len(texts)), part_size)
    settings = override(RetrieveSettings(), encoder=name, filters=[f"doubtful={least}"])
    manifest = retrieve(settings, tmp_path / "work", LocalEngine(workers))
    pairs, rows = pairs_of(tmp_path / "work"), table(tmp_path / "work" / "neighbours")
    captions: dict[str, list[str]] = {}
    for pair in pairs.values():
        captions.setdefault(pair["image_id"], []).append(pair["caption"])
    assert len(rows) == len(texts) ** 2
    for row in rows:
        pair, other = pairs[row["key"]], pairs[row["neighbour_key"]]
        if pair["image_id"] != other["image_id"]:
            enough = evidence(other["caption"], captions[pair["image_id"]]) >= least
            assert row["reason"] == (None if enough else "doubtful"), (pair["caption"], other["caption"])
    refused = sum(row["reason"] == "doubtful" for row in rows)
    assert 20 < refused == manifest.counts["refused:doubtful"] < len(rows) - 50


def test_images_are_not_asked() -> None:
    found = candidates([[0.5]], [0.9])
    images = type(found)(**{**vars(found), "images": True})
    assert FILTERS["doubtful"](images).tolist() == [[False]]


@pytest.mark.parametrize("recipe", ["default", "images_asked"])
def test_the_default_asks(recipe: str) -> None:
    assert load_recipe(recipe).settings.filters["doubtful"] == {"evidence": 3.0}
