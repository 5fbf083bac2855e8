"""Which captions are true of an image, by what its captions say of it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.engine.local import LocalEngine
from negmine.language.analyse import load_model, parse
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.neighbours.entailment import UNREAD, Said, follows, said
from negmine.stages.neighbours.filters import FILTERS
from negmine.stages.neighbours.recipe import load_recipe, override
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.neighbours.word_sets import Sets, found_in

from tests.pipeline.neighbours.conftest import candidates, make_work, pairs_of, table


@cache
def reading(text: str) -> Said:
    return said(parse(_model(), [text], packaged_vocabulary())[text])


@cache
def _model() -> Any:
    return load_model(None)


@pytest.mark.parametrize(
    ("caption", "claims"),
    [
        ("a man in a red shirt pets a dog or a cat", {"n man", "n shirt", "a red shirt", "v pet"}),
        ("at least three dogs on a couch", {"n dog", "n couch"}),
        ("a man without a red hat rides a horse", {"n man", "n horse", "v ride"}),
        ("no dog", set()),
    ],
)
def test_what_is_denied_or_left_open_is_no_claim(caption: str, claims: set[str]) -> None:
    assert reading(caption).claims == claims | {UNREAD}


def is_true(candidate: str, captions: Sequence[str]) -> bool:
    one = reading(candidate)
    return follows(one.claims, one.contrary, frozenset().union(*(reading(text).told for text in captions)))


BUS = ("A large red public bus drives on a city road.", "A bus with two people in front of a tall building")
GIRL = ("a girl standing in a field in a dress",)


@pytest.mark.parametrize(
    ("candidate", "captions"),
    [
        ("a young woman stands still on a grassy patch", GIRL),
        ("the city bus is travelling down the street", BUS),
        ("A vehicle next to a building", BUS),  # of two captions together
        ("a couple of people near a bus", BUS),
        ("some animals", ("two small dogs on a couch",)),
        ("two people sit at a table", ("a man and a woman sitting at a wooden table",)),
        ("a wooden table", ("a dinner table",)),
        ("a person riding skis", ("a skier on a slope",)),
        ("A motorcycle sitting on the street", ("a motorcycle parked on a road",)),
    ],
)
def test_what_follows(candidate: str, captions: Sequence[str]) -> None:
    assert is_true(candidate, captions)


@pytest.mark.parametrize(
    ("candidate", "captions"),
    [
        ("a dog in a field", GIRL),
        ("a blue bus on a road", BUS),
        ("a small bus on a road", BUS),
        ("three people and a bus", BUS),
        ("several buses on a road", BUS),
        ("an old man on a road", BUS),
        ("four people on horses", ("three people riding horses",)),
        ("a cat under a table", ("a cat on a table",)),
        ("a man lying on a bench", ("a man sitting on a bench",)),
        ("a dog", ("a hot dog on a plate",)),
        ("a poodle on a couch", ("a dog on a couch",)),  # more special
        ("no dog on a couch", ("a dog on a couch",)),
        ("a giraffe eats hay or leaves", ("a giraffe eats grass",)),
        ("a couch without a dog", ("a dog on a couch",)),
        ("what a lovely day", ("a dog on a couch",)),  # claims nothing
        ("ein Hund auf dem Sofa und eine Katze", ("a dog on a couch",)),
    ],
)
def test_what_does_not_follow(candidate: str, captions: Sequence[str]) -> None:
    assert not is_true(candidate, captions)


@given(
    st.lists(st.sets(st.integers(0, 9)), min_size=1, max_size=6),
    st.lists(st.tuples(st.sets(st.integers(0, 9)), st.integers(0, 5)), max_size=8),
)
def test_found_in_is_an_intersection(whole: list[set[int]], asked: list[tuple[set[int], int]]) -> None:
    which = [number % len(whole) for _, number in asked]
    found = found_in(_sets([one for one, _ in asked]), _sets(whole), np.array(which, dtype=np.int64))
    assert found.tolist() == [len(one & whole[at]) for (one, _), at in zip(asked, which, strict=True)]


def _sets(several: Sequence[set[int]]) -> Sets:
    values = np.array([number for one in several for number in sorted(one)], dtype=np.int32)
    return Sets(values, np.concatenate([[0], np.cumsum([len(one) for one in several])]).astype(np.int64))


CAPTIONS = (
    "a red bus on a road",
    "two people near a building",
    "a bus by a building",
    "two people",
    "a blue bus",
    "a dog on a couch",
    "a puppy on a sofa",
    "an animal on furniture",
    "three dogs",
    "a cat under a table",
    "a cat on a table",
    "a cat near a table",
    "a bus",
    "a vehicle on a street",
)
IMAGES = (*"aabccdddeffghi",)


@pytest.mark.parametrize(("part_size", "workers", "missing"), [(4, 1, 0), (20, 1, 1), (3, 2, 0)])
def test_the_table_says_what_loops_say(tmp_path: Path, part_size: int, workers: int, missing: int) -> None:
    vectors = np.eye(len(CAPTIONS), dtype=np.float32)
    name = make_work(tmp_path, [f"{image}.jpg" for image in IMAGES], CAPTIONS, vectors, part_size)
    settings = override(RetrieveSettings(), encoder=name, filters=[f"entailed={missing}"])
    manifest = retrieve(settings, tmp_path / "work", LocalEngine(workers))
    pairs, rows = pairs_of(tmp_path / "work"), table(tmp_path / "work" / "neighbours")
    told = {
        image: frozenset().union(*(reading(p["caption"]).told for p in pairs.values() if p["image_id"] == image))
        for image in {p["image_id"] for p in pairs.values()}
    }
    assert len(rows) == len(CAPTIONS) ** 2
    for row in rows:
        pair, other = pairs[row["key"]], pairs[row["neighbour_key"]]
        one, known = reading(other["caption"]), told[pair["image_id"]]
        untold = len(one.claims - known)
        refused = untold <= missing < len(one.claims) and one.contrary.isdisjoint(known)
        if pair["image_id"] == other["image_id"]:
            assert row["reason"] in ("itself", "same_image")
        else:
            assert row["reason"] == ("entailed" if refused else None), (pair["caption"], other["caption"])
    refused = sum(row["reason"] == "entailed" for row in rows)
    assert refused == manifest.counts["refused:entailed"] > 3


def test_images_are_not_asked() -> None:
    found = candidates([[0.5]], [0.9])
    images = type(found)(**{**vars(found), "images": True})
    assert FILTERS["entailed"](images).tolist() == [[False]]


def test_the_default_asks() -> None:
    assert "entailed" in load_recipe("default").settings.filters
