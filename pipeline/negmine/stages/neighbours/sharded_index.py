"""Exact search over a corpus that lies in the memory of servers: each holds a run of it and answers every query.

What they find is merged by score, then by id, so that the answer does not depend on how many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np

from negmine.base.arrays import Ids, Places, Scores, Vectors
from negmine.engine import Load, Served
from negmine.stages.neighbours.scorers import Dense, FirstOf, Found
from negmine.stages.neighbours.search import NO_ID, make_product, merge, search


@dataclass(frozen=True)
class ShardedIndex:
    """Asks the servers with the vectors of the queries."""

    vectors: Dense
    served: Served

    def load(self) -> None:
        """Nothing: the servers have loaded the corpus."""

    def search(self, part: int, rows: Places, k: int) -> Found:
        return Found(*nearest(self.served, self.vectors.queries(part)[rows], k))


def nearest(served: Served, queries: Vectors, k: int) -> tuple[Scores, Ids]:
    """As `negmine.stages.neighbours.search.search`, over all that the servers hold.

    Raises:
        ResourceError: a server died.
    """
    scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
    ids = np.full((len(queries), k), NO_ID, dtype=np.int64)
    for more, more_ids in served.ask(np.ascontiguousarray(queries), k):
        rows, columns = np.nonzero(more_ids != NO_ID)
        merge(scores, ids, rows, more[rows, columns], more_ids[rows, columns])
    return scores, ids


def shares_of(vectors: Dense, first_of: FirstOf | None, count: int, product: str) -> list[Load]:
    """What each of `count` servers loads of the targets: runs of parts with about as many pairs each.

    Args:
        product: how they multiply, by name; it cannot change the result.
    """
    starts = vectors.corpus.starts
    cuts = np.searchsorted(starts, np.linspace(0, starts[-1], count + 1))
    runs = (range(a, b) for a, b in pairwise(cuts.tolist()) if a < b)
    return [partial(hold, partial(_targets, vectors, first_of, parts), product) for parts in runs]


def hold(rows: Callable[[], tuple[Ids, Vectors]], product: str) -> Callable[[Vectors, int], tuple[Scores, Ids]]:
    """Load the ids [N], ascending, and rows [N, D] of one server; gives the search over them."""
    tile = rows()
    return partial(_search, tile, product)


def _search(tile: tuple[Ids, Vectors], product: str, queries: Vectors, k: int) -> tuple[Scores, Ids]:
    return search(queries, [tile], k, make_product(product))


def _targets(vectors: Dense, first_of: FirstOf | None, parts: range) -> tuple[Ids, Vectors]:
    ids, rows = list[Ids](), list[Vectors]()
    for part in parts:
        chosen = slice(None) if first_of is None else first_of(part)
        ids.append(vectors.corpus.ids(part)[chosen])
        rows.append(vectors.targets(part)[chosen])
    full = [one for one in rows if len(one)]
    return np.concatenate(ids), np.concatenate(full) if full else np.empty((0, vectors.dimensions), np.float32)
