"""Exact inner-product search with FAISS, tile by tile, so that memory depends on the tile and not on the corpus."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.metadata import PackageNotFoundError, version
from typing import Any, Final

import numpy as np

from negmine.errors import UsageError
from negmine.retrieval.encoders.base import Vectors

BUILDS: Final = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs", "faiss-gpu-cu11", "faiss-gpu-cu12")

Scores = np.ndarray[tuple[int, int], np.dtype[np.float32]]
Ids = np.ndarray[tuple[int, int], np.dtype[np.int64]]

NO_ID: Final = np.iinfo(np.int64).max
"""Fills the places of a row that found fewer than k; its score is -inf."""


def faiss_build() -> str:
    """Name and version of the one FAISS build that is installed.

    Raises:
        UsageError: none, or several: they all bring the same module and overwrite each other.
    """
    found = {}
    for name in BUILDS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    if not found:
        raise UsageError(
            "FAISS is not installed", fix="pip install 'negmine[cpu]', or 'negmine[gpu]' where there is a GPU"
        )
    if len(found) > 1:
        raise UsageError(
            "several FAISS builds are installed",
            why=", ".join(found) + " overwrite each other",
            fix=f"pip uninstall {' '.join(found)}, then install one of them",
        )
    return " ".join(*found.items())


def search(queries: Vectors, tiles: Iterable[tuple[Any, Vectors]], k: int) -> tuple[Scores, Ids]:
    """The k rows with the highest inner product, for each query.

    Args:
        queries: [Q, D].
        tiles: ids [N], ascending, and corpus rows [N, D] of each tile.

    Returns:
        Scores and ids [Q, k], by score descending, then id ascending.
    """
    import faiss

    faiss.omp_set_num_threads(1)
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), NO_ID, dtype=np.int64)
    for names, tile in tiles if len(queries) else ():
        if not len(tile):
            continue
        found, places = _search_tile(queries, np.ascontiguousarray(tile), min(k, len(tile)))
        scores, ids = _merge(scores, ids, found, names[places])
    return scores, ids


def _search_tile(queries: Vectors, tile: Vectors, k: int) -> tuple[Any, Any]:
    """FAISS keeps any of the rows that tie for the last place; where that matters, sort the whole row instead."""
    import faiss

    found, places = faiss.knn(queries, tile, min(k + 1, len(tile)), faiss.METRIC_INNER_PRODUCT)
    if len(tile) == k:
        return found, places
    tied = np.flatnonzero(found[:, k - 1] == found[:, k])
    found, places = found[:, :k], places[:, :k]
    if tied.size:
        all_scores = queries[tied] @ tile.T
        places[tied] = np.argsort(-all_scores, axis=1, kind="stable")[:, :k]
        found[tied] = np.take_along_axis(all_scores, places[tied], axis=1)
    return found, places


def _merge(scores: Scores, ids: Ids, more: Any, more_ids: Any) -> tuple[Scores, Ids]:
    k = scores.shape[1]
    scores, ids = np.concatenate([scores, more], axis=1), np.concatenate([ids, more_ids], axis=1)
    order = np.lexsort((ids, -scores), axis=1)[:, :k]
    return np.take_along_axis(scores, order, axis=1), np.take_along_axis(ids, order, axis=1)
