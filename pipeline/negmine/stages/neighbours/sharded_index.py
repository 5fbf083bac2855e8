"""Exact search over a corpus that lies in the memory of Ray actors: each holds a run of it and answers every query.

What the actors find is merged by score, then by id, so that the answer does not depend on how many there are. One that
fails ends the run: there is never a "best of those who answered".
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from negmine.base.arrays import Ids, Scores, Vectors
from negmine.base.errors import NegmineError, ResourceError
from negmine.engine.ray import THREADS
from negmine.stages.neighbours.scorers import Dense, FirstOf
from negmine.stages.neighbours.search import NO_ID, make_product, merge, search

Load = Callable[[], tuple[Ids, Vectors]]
"""Gives the ids [N], ascending, and the rows [N, D] that an actor holds."""


@dataclass(frozen=True)
class ShardedIndex:
    """The actors, and how to ask them; may be pickled into a task."""

    actors: tuple[Any, ...]

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Ids]:
        """As `negmine.stages.neighbours.search.search`, over all that the actors hold.

        Raises:
            ResourceError: an actor died.
        """
        import ray

        scores = np.full((len(queries), k), -np.inf, dtype=np.float32)
        ids = np.full((len(queries), k), NO_ID, dtype=np.int64)
        asked = ray.put(np.ascontiguousarray(queries))
        answers = [actor.search.remote(asked, k) for actor in self.actors]
        for number, answer in enumerate(answers):
            try:
                more, more_ids = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, NegmineError) else error) from None
            except ray.exceptions.RayError as error:
                raise ResourceError(
                    f"actor {number} of {len(self.actors)}, which held a part of the corpus, died",
                    why=str(error).strip().splitlines()[0][:300],
                    fix="give the cluster more memory, or more --database-actors; the same command resumes",
                ) from None
            rows, columns = np.nonzero(more_ids != NO_ID)
            merge(scores, ids, rows, more[rows, columns], more_ids[rows, columns])
        return scores, ids


class _Holder:
    """Holds rows; runs in an actor."""

    def __init__(self, load: Load, product: str, home: str) -> None:
        os.chdir(home)
        self._tile, self._product = load(), make_product(product)

    def search(self, queries: Vectors, k: int) -> tuple[Scores, Ids]:
        return search(queries, [self._tile], k, self._product)


@contextmanager
def sharded_index(loads: Sequence[Load], product: str, cpus: float = 1) -> Iterator[ShardedIndex]:
    """Start an actor for each of `loads`, on a cluster that this process is connected to.

    Args:
        product: how they multiply, by name; it cannot change the result.
        cpus: of each actor.

    Raises:
        ResourceError: the cluster has no room for them and for a part beside them.
    """
    import ray

    have: dict[str, float] = ray.cluster_resources()
    if len(loads) * cpus >= have.get("CPU", 0):
        raise ResourceError(
            f"{len(loads)} actors and a part beside them do not fit",
            why=f"the cluster has {have.get('CPU', 0):g} CPUs",
            fix="use fewer --database-actors, or add machines",
        )  # fmt: skip
    holder = ray.remote(num_cpus=cpus, max_restarts=0, runtime_env={"env_vars": THREADS})(_Holder)
    held = ShardedIndex(tuple(holder.remote(load, product, str(Path.cwd())) for load in loads))
    try:
        yield held
    finally:
        for actor in held.actors:
            ray.kill(actor)


def shares_of(retriever: Dense, first_of: FirstOf | None, count: int) -> list[Load]:
    """What each of `count` actors loads of the targets: runs of parts with about as many pairs each."""
    starts = retriever.corpus.starts
    cuts = np.searchsorted(starts, np.linspace(0, starts[-1], count + 1))
    return [partial(_targets, retriever, first_of, range(a, b)) for a, b in pairwise(cuts.tolist()) if a < b]


def _targets(retriever: Dense, first_of: FirstOf | None, parts: range) -> tuple[Ids, Vectors]:
    ids, rows = list[Ids](), list[Vectors]()
    for part in parts:
        chosen = slice(None) if first_of is None else first_of(part)
        ids.append(retriever.corpus.ids(part)[chosen])
        rows.append(retriever.targets(part)[chosen])
    full = [one for one in rows if len(one)]
    return np.concatenate(ids), np.concatenate(full) if full else np.empty((0, retriever.dimensions), np.float32)
