"""Search and filters against thirty lines of brute force."""

from __future__ import annotations

import itertools
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.errors import UsageError
from negmine.retrieval import search as module
from negmine.retrieval.filters import FILTERS, Candidates, FilterSettings, refuse
from negmine.retrieval.search import NO_ID, faiss_build, search
from negmine.retrieval.stage import mean_positive, normalised, positive_scores
from negmine.store import part_name


def unit(rng: np.random.Generator, n: int, d: int) -> Any:
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40), st.integers(1, 30), st.integers(1, 12), st.data())
def test_search_equals_brute_force(seed: int, n: int, q: int, k: int, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    corpus, queries = unit(rng, n, 8), unit(rng, q, 8)
    bounds = sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=4))})
    tiles = [(np.arange(a, b), corpus[a:b]) for a, b in itertools.pairwise(bounds)]
    scores, ids = search(queries, tiles, k)
    truth = queries.astype(np.float64) @ corpus.T.astype(np.float64)
    for row in range(q):
        expected = np.argsort(-truth[row], kind="stable")[:k]
        np.testing.assert_allclose(scores[row, : len(expected)], truth[row, expected], atol=1e-5)
        assert sorted(ids[row, : len(expected)]) == sorted(expected)
        assert (ids[row, len(expected) :] == NO_ID).all()


def test_equal_scores_are_ordered_by_id_whatever_the_tiles() -> None:
    queries = np.array([[1.0, 0.0]], dtype=np.float32)
    corpus = np.array([[0.5, 0.1], [1.0, 0.0], [0.5, 0.2], [1.0, 0.0], [1.0, 0.0]], dtype=np.float32)
    for bounds in ([0, 5], [0, 1, 2, 3, 4, 5], [0, 3, 5]):
        tiles = [(np.arange(a, b), corpus[a:b]) for a, b in itertools.pairwise(bounds)]
        assert search(queries, reversed(tiles), 4)[1].tolist() == [[1, 3, 4, 0]]


def candidates(score: list[list[float]], positive: list[float], **given_: Any) -> Candidates:
    shape = np.array(score).shape
    far = np.arange(shape[0] * shape[1]).reshape(shape) + 1000
    return Candidates(
        np.array(score, dtype=np.float32), np.array(positive, dtype=np.float32),
        given_.get("image", far), np.arange(shape[0]), given_.get("text", far), np.arange(shape[0]),
    )  # fmt: skip


def names(reason: Any) -> list[list[str | None]]:
    return [[list(FILTERS)[r] if r >= 0 else None for r in row] for row in reason.tolist()]


def test_positive_aware_margin_is_right_for_negative_scores() -> None:
    found = candidates([[0.77, 0.75], [-0.22, -0.2], [0.01, -0.01]], [0.8, -0.2, 0.0])
    assert names(refuse(found, FilterSettings(0.05))) == [
        ["too_similar", None],  # the bound is 0.76
        [None, "too_similar"],  # the bound is -0.21: below the positive, not above it
        ["too_similar", None],
    ]


def test_first_filter_gives_the_reason() -> None:
    found = candidates([[0.99, 0.99, 0.99, 0.1]], [0.5], image=np.array([[0, 7, 8, 9]]), text=np.array([[0, 0, 8, 9]]))
    assert names(refuse(found, FilterSettings())) == [["same_image", "same_text", "too_similar", None]]


@given(st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=8), st.floats(-1, 1, width=32))
def test_a_wider_margin_only_refuses_more(scores: list[float], positive: float) -> None:
    found = candidates([scores], [positive])
    refused = [refuse(found, FilterSettings(margin)) >= 0 for margin in (0.0, 0.05, 0.3, 1.0)]
    for narrow, wide in itertools.pairwise(refused):
        assert (wide | ~narrow).all()


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


def test_mean_positive_skips_the_unknown(tmp_path: Any) -> None:
    from negmine.retrieval.stage import FACT

    for index, values in enumerate(([0.5, np.nan], [0.7, np.nan], [np.nan])):
        facts = np.zeros(len(values), dtype=FACT)
        facts["positive"] = values
        np.save(tmp_path / part_name(index, "npy"), facts)
    assert mean_positive(tmp_path, 3) == pytest.approx(0.6, abs=1e-6)
    (tmp_path / "lone").mkdir()
    np.save(tmp_path / "lone" / part_name(0, "npy"), facts)
    assert mean_positive(tmp_path / "lone", 1) == 1.0


def test_normalised_captions() -> None:
    assert normalised("A cat, on a MAT .") == normalised("a cat on a mat") == "a cat on a mat"
    assert normalised("a cat on a hat") != normalised("a cat on a mat")


@pytest.mark.parametrize(
    ("installed", "message"),
    [((), "not installed"), (("faiss-cpu", "faiss-gpu"), "several FAISS builds")],
)
def test_faiss_builds(installed: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def version(name: str) -> str:
        if name not in installed:
            raise PackageNotFoundError(name)
        return "1.15"

    assert faiss_build().startswith("faiss-")
    monkeypatch.setattr(module, "version", version)
    with pytest.raises(UsageError, match=message) as caught:
        faiss_build()
    assert "pip" in str(caught.value.fix)
