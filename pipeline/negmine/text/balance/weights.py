"""Weights under which nothing flows one way: what negatives introduce is as common as what they remove.

Each round chooses with the weights so far and counts, for every feature and fold, how often the chosen negatives
remove and introduce it. A feature that is removed more often than introduced gains weight, so that candidates which
introduce it are preferred. A fold's weights never see the fold's own counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any, Final

import numpy as np

from negmine.text.balance.ngrams import SLOTS
from negmine.text.balance.pool import FOLDS, Pool

RATE: Final = 0.3
"""Of the log ratio that a round adds to the weights; overlapping n-grams move together, so it is well below 1."""

PRIOR: Final = 2.0
"""Added to both counts of a feature, so that rare ones stay near zero."""

ENOUGH: Final = 0.505
"""Share of choices that a naive Bayes reader gets right at which the rounds end; beyond lies the inverted signal."""


@dataclass(frozen=True)
class Flow:
    """How often chosen negatives remove and introduce each feature.

    Attributes:
        place: [M], fold x `SLOTS` + slot, ascending.
        removed, introduced: [M], counts.
    """

    place: Any
    removed: Any
    introduced: Any

    def save(self, stream: IO[bytes]) -> int:
        for column in (self.place, self.removed, self.introduced):
            np.save(stream, column, allow_pickle=False)
        return len(self.place)

    @classmethod
    def load(cls, stream: IO[bytes]) -> Flow:
        return cls(*(np.load(stream, allow_pickle=False) for _ in range(3)))


def flow(pool: Pool, chosen: Any) -> Flow:
    """The flow of the chosen candidates of a part; flows of parts add up."""
    sizes = pool.starts[chosen + 1] - pool.starts[chosen]
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    at = np.repeat(pool.starts[chosen], sizes) + within
    place = np.repeat(pool.fold[chosen].astype(np.int64), sizes) * SLOTS + pool.slots[at]
    values = pool.values[at].astype(np.int64)
    distinct, inverse = np.unique(place, return_inverse=True)
    removed = np.bincount(inverse, np.maximum(-values, 0), len(distinct)).astype(np.int64)
    introduced = np.bincount(inverse, np.maximum(values, 0), len(distinct)).astype(np.int64)
    return Flow(distinct, removed, introduced)


def merge(flows: Iterable[Flow]) -> tuple[Any, Any]:
    """Removed and introduced over all parts, each [FOLDS, SLOTS]."""
    removed, introduced = (np.zeros(FOLDS * SLOTS, dtype=np.int64) for _ in range(2))
    for one in flows:
        removed[one.place] += one.removed
        introduced[one.place] += one.introduced
    return removed.reshape(FOLDS, SLOTS), introduced.reshape(FOLDS, SLOTS)


def log_ratio(removed: Any, introduced: Any) -> Any:
    """Log odds of removal for each feature as the other folds saw it, [FOLDS, SLOTS] float32."""
    others_removed, others_introduced = removed.sum(0) - removed, introduced.sum(0) - introduced
    ratio = np.log((others_removed + PRIOR) / (others_introduced + PRIOR))
    return ratio.astype(np.float32)


def scores(pool: Pool, table: Any) -> Any:
    """Sum of a table's entries over each candidate's features, with its own fold's row of the table, [C]."""
    result = np.empty(len(pool.caption))
    for fold in range(FOLDS):
        mine = pool.fold == fold
        result[mine] = pool.rows.weigh(table[fold])[mine]
    return result


def spotted(pool: Pool, chosen: Any, ratio: Any) -> float:
    """How many of the chosen a reader of these log odds would tell from their captions; ties count half."""
    found = scores(pool, ratio)[chosen]
    return float((found < 0).sum() + 0.5 * (found == 0).sum())
