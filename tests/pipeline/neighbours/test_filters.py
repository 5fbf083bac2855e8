"""Filters: each refuses what it says and nothing else, and more only when it is tightened."""

from __future__ import annotations

import itertools
from inspect import signature
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.stages.neighbours.filters import ALWAYS, FILTERS, OUTSIDE, reasons, refuse
from negmine.stages.neighbours.scorers import positive_scores
from negmine.stages.neighbours.word_sets import Sets, Texts, normalised, parsed_sets, plain_sets, to_columns

from tests.pipeline.neighbours.conftest import candidates, unit


def names(reason: Any, filters: Any) -> list[list[str | None]]:
    known = reasons(filters)
    return [[known[r] if r >= 0 else None for r in row] for row in reason.tolist()]


def test_percentage_is_right_for_negative_scores() -> None:
    found = candidates([[0.77, 0.75], [-0.22, -0.2], [0.01, -0.01]], [0.8, -0.2, 0.0])
    assert FILTERS["percentage"](found, share=0.95).tolist() == [
        [True, False],  # the bound is 0.76
        [False, True],  # the bound is -0.21: below the positive, not above it
        [True, False],
    ]


def test_first_filter_gives_the_reason_and_two_are_always_asked() -> None:
    found = candidates(
        [[0.99, 0.99, 0.98, 0.97, 0.1, 0.05]],
        [0.5],
        theirs={"key": [[0, 6, 7, 8, 9, 10]], "image": [[0, 0, 7, 8, 9, 10]], "text": [[0, 0, 0, 8, 9, 10]]},
    )
    filters = {"percentage": {"share": 0.95}, "same_text": {}}
    assert names(refuse(found, filters, skip=3), filters) == [["itself", "same_image", OUTSIDE, OUTSIDE, OUTSIDE, None]]
    assert names(refuse(found, filters), filters) == [["itself", "same_image", "same_text", "percentage", None, None]]
    assert names(refuse(found, {}), {}) == [["itself", "same_image", None, None, None, None]]
    assert reasons({})[:2] == ALWAYS


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8), st.floats(-1, 1, width=32))
def test_a_tighter_threshold_only_refuses_more(scores: list[float], positive: float) -> None:
    found = candidates([sorted(scores, reverse=True)], [positive])
    steps = {
        "percentage": [{"share": s} for s in (1.0, 0.95, 0.7, 0.0)],
        "margin": [{"below": m} for m in (0.0, 0.05, 0.3)],
        "adaptive_margin": [{"base": m} for m in (0.0, 0.05, 0.3)],
        "ceiling": [{"score": s} for s in (0.9, 0.5, -0.5)],
        "floor": [{"score": s} for s in (-0.5, 0.0, 0.5)],
        "mistaken": [{"margin": m} for m in (0.5, 0.1, 0.0)],
        "consistency": [{"rank": r} for r in (5, 2, 1)],
    }
    for name, options in steps.items():
        refused = [FILTERS[name](found, **one) for one in options]
        for loose, tight in itertools.pairwise(refused):
            assert (tight | ~loose).all(), name
    assert np.array_equal(FILTERS["adaptive_margin"](found, spread=0), FILTERS["margin"](found))
    assert np.array_equal(FILTERS["percentage"](found, share=1.0), FILTERS["margin"](found, below=0.0))


def test_adaptive_margin_by_hand() -> None:
    found = candidates([[0.9, 0.6, 0.3]], [1.2], to_truth=np.array([[0.9, 0.5, 0.7]]))
    # the standard deviation of the scores is sqrt(0.06) = 0.245, so the margin is 0.295: up to 0.905 is kept
    assert FILTERS["adaptive_margin"](found).tolist() == [[False, False, False]]
    assert FILTERS["adaptive_margin"](found, base=0.1).tolist() == [[True, False, False]]
    assert FILTERS["adaptive_margin"](found, anchor=0).tolist() == [[True, False, False]]  # above 1 - 0.295
    assert FILTERS["near_truth"](found, score=0.7).tolist() == [[True, False, True]]


def test_near_image_counts_differing_bits_and_needs_both_images() -> None:
    signatures = {"signature": [[0b0, 0b1111, 0b11111]], "seen": [[True, True, True]]}
    found = candidates([[0.3, 0.2, 0.1]], [0.5], theirs=signatures, own={"signature": 0, "seen": True})
    assert FILTERS["near_image"](found, bits=4).tolist() == [[True, True, False]]
    blind = candidates([[0.3, 0.2, 0.1]], [0.5], theirs=signatures)
    assert not FILTERS["near_image"](blind, bits=64).any()


def test_near_text_is_the_share_of_words() -> None:
    captions = ["a dog on the grass"], ["The dog on a grass!", "a dog on the sofa", "two cats"]
    found = candidates([[0.3, 0.2, 0.1]], [0.5], captions=captions)
    assert found.texts.jaccard("words").tolist() == [[1.0, 4 / 6, 0.0]]
    assert FILTERS["near_text"](found, overlap=0.6).tolist() == [[True, True, False]]


def test_consistency_refuses_all_or_nothing() -> None:
    found = candidates([[0.9, 0.8, 0.1]] * 2, [0.85, 0.5])
    assert FILTERS["consistency"](found, rank=2).tolist() == [[False] * 3, [True] * 3]
    assert FILTERS["consistency"](found, rank=9, score=0.6).tolist() == [[False] * 3, [True] * 3]


def parsed(query: str, others: list[str]) -> Texts:
    sets = [to_columns(parsed_sets(texts)) for texts in ([query], others)]
    return Texts(lambda n: Sets.of(sets[0][n]), lambda n: Sets.of(sets[1][n]), (1, len(others)))


def test_concepts_that_follow_from_the_query() -> None:
    others = ["an animal on a couch", "a puppy on a couch", "a cat on a couch", "a dog on a couch under a lamp"]
    assert parsed("a small dog on a couch", others).implied().tolist() == [[True, False, False, False]]


def test_structure_tells_exchanged_attributes_apart() -> None:
    texts = parsed("a black dog on a white couch", ["a white dog on a black couch", "a black dog on a white couch"])
    exchanged, same = texts.structure()[0]
    assert same == 1
    assert 0.5 < exchanged < 0.8  # objects and relations agree, attributes do not
    assert texts.jaccard("concepts")[0].tolist() == [1.0, 1.0]


def test_every_threshold_has_a_default() -> None:
    for name, filter_ in FILTERS.items():
        parameters = list(signature(filter_).parameters.values())[1:]
        assert all(isinstance(p.default, (int, float)) for p in parameters), name


def test_normalised_captions() -> None:
    assert normalised("A cat, on a MAT .") == normalised("a cat on a mat") == "a cat on a mat"
    assert normalised("a cat on a hat") != normalised("a cat on a mat")
    assert plain_sets(["A cat. a CAT"])["words"] == plain_sets(["cat a"])["words"]


def test_positive_scores_by_direction() -> None:
    rng = np.random.default_rng(0)
    text, image = unit(rng, 6, 4), unit(rng, 6, 4)
    first = np.array([True, False, False, True, True, False])
    t2t = positive_scores("t2t", text, text, first)
    assert t2t[0] == pytest.approx((text[0] @ text[1] + text[0] @ text[2]) / 2, abs=1e-6)
    assert t2t[4] == pytest.approx(text[4] @ text[5], abs=1e-6)
    assert np.isnan(t2t[3])
    np.testing.assert_allclose(positive_scores("t2i", text, image, first), (text * image).sum(1), atol=1e-6)
    assert positive_scores("i2i", image, image, first).tolist() == [1.0] * 6
    lowest = positive_scores("t2t", text, text, first, lowest=True)
    assert lowest[0] == pytest.approx(min(text[0] @ text[1], text[0] @ text[2]), abs=1e-6)
    assert np.isnan(lowest[3])
    assert positive_scores("i2t", image, text, first, lowest=True)[5] == pytest.approx(
        min(image[5] @ text[4], image[5] @ text[5]), abs=1e-6
    )
