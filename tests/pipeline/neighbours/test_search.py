"""Exact search: equal to brute force, whatever the tiles and however the products are made."""

from __future__ import annotations

import itertools
from importlib.metadata import PackageNotFoundError
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import ResourceError, UsageError
from negmine.stages.neighbours import search as module
from negmine.stages.neighbours.memory import Budget, read_bytes
from negmine.stages.neighbours.search import NO_ID, BFloat16, Faiss, Float32, Product, faiss_build, search

from tests.pipeline.neighbours.conftest import unit


def brute(queries: Any, corpus: Any, k: int) -> tuple[Any, Any]:
    """Every score by itself, then a stable sort."""
    scores = np.stack([np.vecdot(query, corpus) for query in queries])
    order = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(scores, order, axis=1), order


def faiss_cpu(most: int) -> Product:
    import faiss

    return Faiss(lambda q, rows, k: faiss.knn(q, rows, k, faiss.METRIC_INNER_PRODUCT), most=most)


PRODUCTS: list[Product] = [Float32(), BFloat16(), faiss_cpu(2048), faiss_cpu(6)]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60), st.integers(1, 12), st.integers(1, 20), st.booleans(), st.data())
def test_search_equals_brute_force(seed: int, n: int, q: int, k: int, ties: bool, data: st.DataObject) -> None:
    rng = np.random.default_rng(seed)
    corpus, queries = unit(rng, n, 8), unit(rng, q, 8)
    if ties:  # many rows are copies of few
        corpus = corpus[rng.integers(0, max(1, n // 6), n)]
    bounds = sorted({0, n, *data.draw(st.lists(st.integers(0, n), max_size=4))})
    tiles = [(np.arange(a, b), corpus[a:b]) for a, b in itertools.pairwise(bounds)]
    expected_scores, expected = brute(queries, corpus, k)
    for product in PRODUCTS:
        scores, ids = search(queries, tiles, k, product)
        assert ids[:, : expected.shape[1]].tolist() == expected.tolist()
        assert scores[:, : expected.shape[1]].tobytes() == expected_scores.tobytes()
        assert (ids[:, expected.shape[1] :] == NO_ID).all()


@pytest.mark.parametrize("product", PRODUCTS[:3])
def test_large_blocks_of_clustered_vectors(product: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neighbours closer to each other than bfloat16 tells apart, copies among them, more than one block each way."""
    rng = np.random.default_rng(3)
    centres = unit(rng, 20, 32)
    corpus = centres[rng.integers(0, 20, 9_000)] + 0.02 * unit(rng, 9_000, 32)
    corpus[5_000:5_300] = corpus[100]
    queries = corpus[rng.integers(0, 9_000, 300)] + np.float32(0.001)
    queries[0] = -corpus[100]
    monkeypatch.setattr(module, "MOST_HELD", 2_000)
    expected_scores, expected = brute(queries, corpus, 50)
    for size in (9_000, 4_100):
        tiles = ((np.arange(a, min(a + size, 9_000)), corpus[a : a + size]) for a in range(0, 9_000, size))
        scores, ids = search(queries, tiles, 50, product)
        assert np.array_equal(ids, expected)
        assert scores.tobytes() == expected_scores.tobytes()


def test_a_bound_that_is_too_small_is_noticed() -> None:
    """The proof does the work: without it bfloat16 loses neighbours on these vectors."""

    class Reckless(BFloat16):
        relative = 0.0

        def prepare(self, rows: Any) -> Any:
            operand = super().prepare(rows)
            return module.Operand(operand.rows, operand.lengths, operand.moved * 0)

    rng = np.random.default_rng(0)
    corpus = unit(rng, 1, 32) + 0.01 * unit(rng, 4_000, 32)
    tiles = [(np.arange(4_000), corpus)]
    right, wrong = search(corpus[:200], tiles, 20, BFloat16())[1], search(corpus[:200], tiles, 20, Reckless())[1]
    assert np.array_equal(right, brute(corpus[:200], corpus, 20)[1])
    assert not np.array_equal(wrong, right)


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


# --- memory ----------------------------------------------------------------------------------------------------------


def test_tiles_grow_with_the_budget_and_shrink_with_workers() -> None:
    def rows(total: str, processes: int) -> int:
        return Budget(read_bytes(total), processes).tile_rows(512, 4_096, 100, half=False)

    assert rows("300M", 1) < rows("400M", 1)
    assert rows("900M", 3) < rows("900M", 1)


def test_too_little_memory_is_refused_with_numbers() -> None:
    with pytest.raises(ResourceError, match=r"not enough memory: 300 MiB for 2 workers") as caught:
        Budget(read_bytes("300M"), 3).tile_rows(512, 4_096, 100, half=True)
    assert "take at least" in str(caught.value)
    with pytest.raises(ResourceError, match="indexes of 262,144 rows"):
        Budget(read_bytes("1G"), 1).check_index(262_144, 512)
    with pytest.raises(ResourceError, match="more than is free"):
        Budget.of("900T", 1)
    with pytest.raises(UsageError, match="no size"):
        read_bytes("much")
