"""Weights under which nothing flows one way: what negatives put in is as common as what they take out.

Each round chooses with the weights so far and counts, for every feature and fold, how often the chosen negatives take
it out and put it in. A feature that is taken out more often gains weight, so that candidates which put it in are
preferred. A fold's weights never see the fold's own counts.

Closed classes need more than preference: most captions that say "on" could say "under", and few the reverse. A
substitution of such words is refused as often as it would outnumber its reverse (Metropolis and others, 1953).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from negmine.base.arrays import Floats, Hashes, Places, Scores
from negmine.base.folds import FOLDS
from negmine.stages.negatives.balance.corpus import Tally, tally
from negmine.stages.negatives.balance.ngrams import ragged, summed
from negmine.stages.negatives.balance.pool import SLOTS, Pool

ROUNDS: Final = 10
"""At most."""

RATE: Final = 1.3
"""Of the log ratio that a round adds to the weights; overlapping features move together, so more overshoots."""

CAUTIOUS_RATE: Final = 0.4
"""The same where what would tell is left out: there a weight works twice, by what is preferred and by what may stay."""

PRIOR: Final = 2.0
"""Added to both counts of a feature, so that rare ones stay near zero."""

ENOUGH: Final = 0.505
"""Share of choices that a naive Bayes reader gets right at which the rounds end; beyond lies the inverted signal."""

LIKELIHOOD: Final = 0.2
"""Weight of the likelihood gap, in log weight a nat: of equals the likelier text is preferred."""

PMI: Final = 0.3
"""Weight of the words' association with the rest of the caption: of equals the one that fits in is preferred."""

PLAUSIBILITY: Final = 0.7
"""Weight of the log odds that a candidate reads well: of equals the one that does is preferred."""

PLAUSIBLE: Final = 1.0
"""Log odds of reading well from which on a candidate is as welcome as any."""

STRICTNESS: Final = 2.0
"""Of what lies so far below `PLAUSIBLE`, in nats, the log share that is refused."""

UNKNOWN: Final = 1e-3
"""Share kept of a substitution that was not seen where they were counted."""

# --- substitutions ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Substitutions:
    """Shares of the candidates that make a substitution of closed-class words which are not refused.

    Attributes:
        substitution: [E] uint64, ascending.
        kept: [E], 0 to 1.
    """

    substitution: Hashes
    kept: Floats


def count_substitutions(pools: Iterable[Pool]) -> Substitutions:
    """Each substitution is kept as often as its reverse is found, at most always."""
    found, reverse = Counter[int](), dict[int, int]()
    for pool in pools:
        forth, first, numbers = np.unique(pool.substitution[:, 0], return_index=True, return_counts=True)
        found.update(dict(zip(forth.tolist(), numbers.tolist(), strict=True)))
        reverse.update(zip(forth.tolist(), pool.substitution[first, 1].tolist(), strict=True))
    del found[0]  # of an open class
    kept = {forth: min(1.0, (found[reverse[forth]] + 0.5) / (found[forth] + 0.5)) for forth in sorted(found)}
    return Substitutions(np.array(list(kept), dtype=np.uint64), np.array(list(kept.values())))


def acceptance(pool: Pool, substitutions: Substitutions) -> Floats:
    """Of each candidate, how often substitutions like it are kept, [C], 0 to 1."""
    if not len(substitutions.substitution):
        return np.ones(len(pool))
    substitution = pool.substitution[:, 0]
    place = np.minimum(np.searchsorted(substitutions.substitution, substitution), len(substitutions.substitution) - 1)
    known = substitutions.substitution[place] == substitution
    return np.where(substitution == 0, 1.0, np.where(known, substitutions.kept[place], UNKNOWN))


def thinned(kept: Floats, thinning: float, preference: Floats) -> Floats:
    """Shares that are kept where thinning is less than full, [C].

    Args:
        thinning: 0 to 1; in log shares, 0 keeps all.
        preference: [C], log weights of the candidates' rules: a rule that is twice as welcome is thinned half as much.
    """
    return kept ** (thinning * np.exp(-preference))


# --- weights ---------------------------------------------------------------------------------------------------------


def take_put_counts(pool: Pool, chosen: Places) -> Tally:
    """How often the chosen take out and put in each feature, by fold x `SLOTS` + slot; flows of parts add up."""
    rows, features = ragged(pool.starts[chosen], np.diff(pool.starts)[chosen])
    place = pool.fold[chosen][rows].astype(np.int64) * SLOTS + pool.slots[features]
    values = pool.values[features].astype(np.int64)
    return tally(place, np.maximum(-values, 0), np.maximum(values, 0))


def log_ratio(flows: Iterable[Tally], slots: int = SLOTS) -> Scores:
    """Log odds of being taken out, of each feature as the other folds saw it, [FOLDS, slots] float32."""
    parts, is_used = list(flows), np.zeros(slots, dtype=bool)
    for part in parts:
        is_used[part.place % SLOTS] = True
    column, used = np.cumsum(is_used) - 1, np.flatnonzero(is_used)
    own = np.zeros((FOLDS, len(used), 2), dtype=np.int64)
    for part in parts:
        own[part.place // SLOTS, column[part.place % SLOTS]] += part.counts
    others = own.sum(axis=0) - own
    ratio = np.zeros((FOLDS, slots), dtype=np.float32)
    ratio[:, used] = np.log((others[..., 0] + PRIOR) / (others[..., 1] + PRIOR))
    return ratio


def scores(pool: Pool, table: Scores, chosen: Places | None = None) -> Floats:
    """Sum of a table's entries over the features of each candidate, or of the chosen ones, float64.

    Args:
        table: [FOLDS, slots]; of a candidate's own fold is the row that counts.
    """
    sizes, fold, slots, values = np.diff(pool.starts), pool.fold, pool.slots, pool.values
    if chosen is not None:
        _, features = ragged(pool.starts[chosen], sizes[chosen])
        sizes, fold, slots, values = sizes[chosen], fold[chosen], slots[features], values[features]
    places = np.repeat(fold.astype(np.int64) * table.shape[1], sizes) + slots
    entries = np.asarray(table).reshape(-1)[places] * values
    return summed(np.repeat(np.arange(len(sizes)), sizes), entries, len(sizes))


def log_weights(pool: Pool, table: Scores) -> Floats:
    """What candidates are chosen by, [C]."""
    plausible = LIKELIHOOD * np.clip(pool.log_likelihood_gap, -20, 20) + PMI * np.clip(pool.pmi_gap, -6, 6)
    return scores(pool, table) - plausible


def untold_share(pool: Pool, table: Scores, gap: Floats) -> Floats:
    """Shares of candidates like each one that may stay if nothing shall flow one way, [C], 0 to 1.

    What is put in half as often as it is taken out stays where it is put in, and half of the time where it is taken
    out (Metropolis and others, 1953).

    Args:
        gap: [C], how surely another reader tells each one, in log odds.
    """
    return np.exp(np.minimum(scores(pool, table) - gap, 0.0))


def count_detected(pool: Pool, chosen: Places, ratio: Scores) -> float:
    """How many of the chosen a reader of these log odds would tell from their captions; ties count half."""
    found = scores(pool, ratio, chosen)
    return float((found < 0).sum() + 0.5 * (found == 0).sum())
