"""Exact inner-product search, tile by tile, in bounded memory.

Products only find candidates. Every candidate that an error bound cannot rule out is scored again, pair by pair in
float32, and rows are ordered by that score, then by id. So the result does not depend on tiles, workers, or on how
the products were made (float32, bfloat16, FAISS on a GPU): only on the two vectors of each pair.

The bound. Let a be a product, s the score, |a - s| <= d + u |a|, where d covers rounded inputs and sums, and u a
rounded output. If k rows have a >= t, then s >= t - d - u |t| for them, and no row with a < t - 2 (d + u |t|) is
among the best k (a factor of 1.01 covers the bound's own rounding). If k rows are known to have s >= e, none with
a < e - (d + u |e|) is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Protocol

import numpy as np

from negmine.base.arrays import Ids, Places, Scores, Vectors
from negmine.base.console import note
from negmine.base.errors import UsageError

BUILDS: Final = ("faiss-cpu", "faiss-gpu", "faiss-gpu-cuvs", "faiss-gpu-cu11", "faiss-gpu-cu12")

NO_ID: Final = np.iinfo(np.int64).max
"""Fills the places of a row that found fewer than k; its score is -inf."""

QUERY_BLOCK: Final = 256
CORPUS_BLOCK: Final = 4_096
"""Rows of one product: its result, 4 MB, stays in the cache."""

MOST_HELD: Final = 1_000_000
"""Candidates of a block of queries that wait for their exact score."""

PAIR_BLOCK: Final = 512
"""Pairs scored at once."""

SAFETY: Final = 1.01

LARGE: Final = 2**28
"""Pairs of query and corpus row above which loading torch for bfloat16 products pays."""

GPU_K: Final = 2_048
"""The most neighbours that FAISS finds on a GPU."""


def search(
    queries: Vectors, tiles: Iterable[tuple[Ids, Vectors]], k: int, product: Product | None = None
) -> tuple[Scores, Ids]:
    """The k rows with the highest inner product, for each query.

    Args:
        queries: [Q, D].
        tiles: ids [N], ascending, and corpus rows [N, D] of each tile.
        product: how candidates are found; it cannot change the result.

    Returns:
        Scores and ids [Q, k], by score descending, then id ascending.
    """
    product = product or Float32()
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), NO_ID, dtype=np.int64)
    if not len(queries):
        return scores, ids
    asking = product.prepare(queries)
    for names, tile in tiles:
        if not len(tile):
            continue
        corpus = product.prepare(tile)
        for start in range(0, len(queries), product.block):
            at = slice(start, start + product.block)
            for rows, places in product.candidates(asking[at], corpus, k, scores[at, -1]):
                exact = pair_scores(queries[at], tile, rows, places)
                merge(scores[at], ids[at], rows, exact, names[places])
    return scores, ids


def pair_scores(queries: Vectors, corpus: Vectors, rows: Places, places: Places) -> Scores:
    """Inner products of ``queries[rows[i]]`` and ``corpus[places[i]]``, [n]: the score of a pair, wherever it is made.

    A BLAS dot product of two vectors, whose rounding depends on nothing but these vectors.
    """
    exact = np.empty(len(rows), dtype=np.float32)
    shape = min(PAIR_BLOCK, len(rows)), queries.shape[1]
    left, right = np.empty(shape, dtype=np.float32), np.empty(shape, dtype=np.float32)  # fresh memory costs more
    for start in range(0, len(rows), PAIR_BLOCK):
        at = slice(start, start + PAIR_BLOCK)
        size = len(rows[at])
        queries.take(rows[at], axis=0, out=left[:size], mode="clip")  # "raise" would copy
        corpus.take(places[at], axis=0, out=right[:size], mode="clip")
        np.vecdot(left[:size], right[:size], out=exact[at])
    return exact


def merge(scores: Scores, ids: Ids, rows: Places, more: Scores, more_ids: Ids) -> None:
    """Bring scored candidates into the best k of their rows, in place.

    Args:
        rows: row of each candidate, ascending; `more` its score and `more_ids` its id.
    """
    k = scores.shape[1]
    counts = np.bincount(rows, minlength=len(scores))
    width = int(counts.max(initial=0))
    within = np.arange(len(rows)) - (np.cumsum(counts) - counts)[rows]
    wide = np.full((len(scores), k + width), -np.inf, dtype=np.float32)
    wide_ids = np.full((len(scores), k + width), NO_ID, dtype=np.int64)
    wide[:, :k], wide_ids[:, :k] = scores, ids
    wide[rows, k + within], wide_ids[rows, k + within] = more, more_ids
    order = np.lexsort((wide_ids, -wide), axis=1)[:, :k]
    scores[:], ids[:] = np.take_along_axis(wide, order, axis=1), np.take_along_axis(wide_ids, order, axis=1)


# --- products --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Operand:
    """Rows ready to be multiplied.

    Attributes:
        rows: [n, D] in the type of the product.
        lengths: [n], of the rows as they were.
        moved: [n], how far the type's rounding moved them.
    """

    rows: Any  # an array, or torch's tensor
    lengths: Scores
    moved: Scores

    def __getitem__(self, at: slice) -> Operand:
        return Operand(self.rows[at], self.lengths[at], self.moved[at])

    def __len__(self) -> int:
        return len(self.rows)


class Product(Protocol):
    """Finds the candidates that an error bound cannot rule out.

    Attributes:
        block: queries that are multiplied at once.
    """

    @property
    def block(self) -> int: ...

    def prepare(self, rows: Vectors) -> Operand:
        """Queries or a tile of the corpus, ready to be multiplied."""
        ...

    def candidates(self, queries: Operand, corpus: Operand, k: int, kth: Scores) -> Iterator[tuple[Places, Places]]:
        """Places in `queries`, ascending, and in `corpus`, of all pairs that may be among the best k.

        Args:
            kth: [Q] k-th best score known so far; -inf where there are fewer.
        """
        ...


class Float32:
    """Products in float32, by NumPy's BLAS."""

    block = QUERY_BLOCK
    relative = 0.0
    """u, the rounding of a result relative to itself."""

    def prepare(self, rows: Vectors) -> Operand:
        rows = np.ascontiguousarray(rows)
        return Operand(rows, np.sqrt(np.vecdot(rows, rows)), np.zeros(len(rows), dtype=np.float32))

    def products(self, queries: Operand, corpus: Operand) -> Iterator[tuple[int, Scores]]:
        """First place and products [Q, n] of each block of the corpus."""
        out = np.empty(len(queries) * CORPUS_BLOCK, dtype=np.float32)
        for start in range(0, len(corpus), CORPUS_BLOCK):
            rows = corpus.rows[start : start + CORPUS_BLOCK]
            block = out[: len(queries) * len(rows)].reshape(len(queries), len(rows))
            yield start, np.matmul(queries.rows, rows.T, out=block)

    def candidates(self, queries: Operand, corpus: Operand, k: int, kth: Scores) -> Iterator[tuple[Places, Places]]:
        """See `Product`."""
        error, relative = SAFETY * product_error(queries, corpus), SAFETY * self.relative
        known = np.where(np.isfinite(kth), kth, np.float32(0))
        cut = np.where(np.isfinite(kth), known - error - relative * np.abs(known), -np.inf).astype(np.float32)
        best = np.full((len(queries), k), -np.inf, dtype=np.float32)
        held, number = list[tuple[Places, Places, Scores]](), 0
        for start, block in self.products(queries, corpus):
            best = _largest(block, best)
            reached = best.min(axis=1)
            if np.isfinite(reached).all():
                cut = np.maximum(cut, reached - 2 * (error + relative * np.abs(reached)))
            flat = np.flatnonzero(block >= cut[:, None])
            rows, places = np.divmod(flat, block.shape[1])
            held.append((rows, places + start, block.ravel()[flat]))
            number += len(flat)
            if number > MOST_HELD:
                yield _collect(held, cut)
                held, number = [], 0
        if held:
            yield _collect(held, cut)


def product_error(queries: Operand, corpus: Operand) -> Scores:
    """d [Q]: how far a product with any row of the corpus may be from the pair's score.

    q c - q' c' = (q - q') c + q' (c - c'), and the rounding of the sums of both.
    """
    longest, farthest = corpus.lengths.max(), corpus.moved.max()
    rounded = queries.moved * longest + (queries.lengths + queries.moved) * farthest
    sums = 4 * queries.rows.shape[1] * 2.0**-24 * (queries.lengths + queries.moved) * (longest + farthest)
    return np.asarray(rounded + sums)


def _largest(block: Scores, best: Scores) -> Scores:
    """[Q, k] different products that are about the largest, out of a block's and `best`, those of earlier blocks.

    Products are taken in groups, and of each group its largest.
    """
    columns, k = block.shape[1], best.shape[1]
    group = next(g for g in (16, 8, 4, 2, 1) if columns // g >= 4 * k or g == 1)
    groups = columns // group
    largest = block[:, : group * groups].reshape(len(block), group, groups).max(axis=1)
    both = np.concatenate([largest, best], axis=1)
    return np.partition(both, groups, axis=1)[:, groups:]


def _collect(held: list[tuple[Places, Places, Scores]], cut: Scores) -> tuple[Places, Places]:
    """What is held, without what the cut has overtaken, by row."""
    rows, places, values = (np.concatenate(column) for column in zip(*held, strict=True))
    still = np.flatnonzero(values >= cut[rows])
    still = still[np.argsort(rows[still], kind="stable")]
    return rows[still], places[still]


class BFloat16(Float32):
    """Products in bfloat16 with float32 sums, by torch: four times as fast on CPUs that have the instructions.

    The bound uses how far rounding moved these very vectors, which is half of how far it could have.
    """

    relative = 2.0**-8

    def prepare(self, rows: Vectors) -> Operand:
        import torch

        exact = super().prepare(rows)
        low = torch.from_numpy(exact.rows if exact.rows.flags.writeable else exact.rows.copy()).bfloat16()
        moved, block = np.empty(len(rows), dtype=np.float32), np.empty((PAIR_BLOCK, rows.shape[1]), dtype=np.float32)
        for start in range(0, len(rows), PAIR_BLOCK):
            at = slice(start, start + PAIR_BLOCK)
            difference = block[: len(exact.rows[at])]
            torch.from_numpy(difference).copy_(low[at])
            np.subtract(difference, exact.rows[at], out=difference)
            moved[at] = np.sqrt(np.vecdot(difference, difference))
        return Operand(low, exact.lengths, moved)

    def products(self, queries: Operand, corpus: Operand) -> Iterator[tuple[int, Scores]]:
        import torch

        half = torch.empty(len(queries) * CORPUS_BLOCK, dtype=torch.bfloat16)
        out = torch.empty(half.shape)
        for start in range(0, len(corpus), CORPUS_BLOCK):
            rows = corpus.rows[start : start + CORPUS_BLOCK]
            size, shape = len(queries) * len(rows), (len(queries), len(rows))
            torch.matmul(queries.rows, rows.T, out=half[:size].view(shape))
            yield start, out[:size].copy_(half[:size]).view(shape).numpy()


Knn = Callable[[Vectors, Vectors, int], tuple[Scores, Places]]
"""The k best of some rows for each query: products and places [Q, k], by product descending."""


@dataclass(frozen=True)
class Faiss(Float32):
    """Candidates from FAISS's ``knn`` (CPU) or ``knn_gpu``, which gives the best `slack` times k and no more.

    Rows in which that does not prove the best k (many equal scores, or k near `most`) are multiplied here.
    """

    block = 65_536  # a GPU gets a tile but once

    knn: Knn
    most: int = GPU_K
    slack: float = 1.25

    def candidates(self, queries: Operand, corpus: Operand, k: int, kth: Scores) -> Iterator[tuple[Places, Places]]:
        size = len(corpus)
        asked = min(max(k + 8, int(self.slack * k)), self.most, size)
        found, places = self.knn(np.ascontiguousarray(queries.rows), corpus.rows, asked)
        error = SAFETY * product_error(queries, corpus)
        cut = np.where(np.isfinite(kth), kth - error, -np.inf)
        if asked >= k:
            cut = np.maximum(cut, found[:, k - 1] - 2 * error)
        proven = (found[:, -1] < cut) if asked < size else np.ones(len(queries), dtype=np.bool_)
        rows, columns = np.nonzero((found >= cut[:, None]) & proven[:, None])
        yield rows, places[rows, columns]
        open_ = np.flatnonzero(~proven)
        if open_.size:
            rest = Operand(queries.rows[open_], queries.lengths[open_], queries.moved[open_])
            for rows, some in super().candidates(rest, corpus, k, kth[open_]):
                yield open_[rows], some


FLOAT32, BFLOAT16, GPU = "float32", "bfloat16", "gpu"
"""Names of products; a worker makes its own by name."""


def choose_product(pairs: int) -> str:
    """The fastest products for so many pairs of query and corpus row on this machine; a GPU that is missed is named."""
    import faiss

    if hasattr(faiss, "StandardGpuResources"):
        if faiss.get_num_gpus():
            return GPU
        note("this FAISS is built for GPUs and sees none: searching on the CPU")
    return BFLOAT16 if pairs >= LARGE and has_bfloat16() else FLOAT32


@cache
def make_product(name: str) -> Product:
    """Products by name, with one thread as every worker; made once a process."""
    if name == GPU:
        return Faiss(_gpu_knn())
    if name == FLOAT32:
        return Float32()
    import torch

    torch.set_num_threads(1)
    return BFloat16()


def has_bfloat16() -> bool:
    """Whether this machine's CPU multiplies in bfloat16."""
    try:
        return not {"avx512_bf16", "amx_bf16", "bf16"}.isdisjoint(Path("/proc/cpuinfo").read_text().split())
    except OSError:
        return False


def _gpu_knn() -> Knn:
    """FAISS's exact search on a GPU."""
    import faiss

    gpu: ModuleType = faiss  # this build has what the stubs of the other lack
    resources = gpu.StandardGpuResources()

    def knn(queries: Vectors, rows: Vectors, k: int) -> tuple[Scores, Places]:
        found: tuple[Scores, Places] = gpu.knn_gpu(resources, queries, rows, k, metric=gpu.METRIC_INNER_PRODUCT)
        return found

    return knn


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
