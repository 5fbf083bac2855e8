"""Search, score, filter and draw for the pairs of one part: a table with every candidate, kept or refused."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from negmine.base.arrays import Codes, Hashes, Ids, Mask, Places, Scores
from negmine.base.counts import Counts
from negmine.base.hashing import hash64
from negmine.contract.records import NEIGHBOURS
from negmine.engine import PartFunction
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.filters import Candidates, reasons, refuse
from negmine.stages.neighbours.pair_features import PairFeatures
from negmine.stages.neighbours.sampling import mix, select
from negmine.stages.neighbours.scorers import Found, Reranker, Retriever, Searcher
from negmine.stages.neighbours.search import NO_ID
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.word_sets import Texts
from negmine.store import PartRecord, part_name, write_table

BLOCK: Final = 512
"""Queries whose candidates are filtered at once."""

_REFILL_TRIES: Final = 4


@dataclass(frozen=True)
class MinePhase:
    """Mine for each part against all parts.

    Attributes:
        retriever: finds candidates; `reranker` gives them their final score (the same, if nothing reranks).
        searcher: where the retriever looks.
        default_positive: for pairs whose truth has no score.
    """

    corpus: Corpus
    settings: RetrieveSettings
    retriever: Retriever
    searcher: Searcher
    reranker: Reranker
    features: PairFeatures
    default_positive: float

    def setup(self) -> PartFunction:
        self.searcher.load()
        self.reranker.load()
        return partial(_mine_part, self)


@dataclass(frozen=True)
class Mined:
    """Candidates [Q, C] of a block of queries of one part.

    Attributes:
        rows: [Q] places of the queries in the part.
        ids: [Q, C]; `found` [Q, C] where there is a candidate.
    """

    rows: Places
    ids: Ids
    found: Mask
    scores: Scores


def _mine_part(phase: MinePhase, part: int, folder: Path) -> PartRecord:
    scores, ids, measured = _search(phase, part)
    blocks: list[Rows] = []
    counts = Counts(pairs=len(ids), candidates=0, kept=0, selected=0, fewer_than_asked=0, refilled=0)
    for name in reasons(phase.settings.filters):
        counts.add("refused", name, 0)
    counts.update(measured)
    for start in range(0, len(ids), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(ids)))
        made, some = _judge(phase, part, Mined(rows, ids[rows], ids[rows] != NO_ID, scores[rows]))
        blocks += made
        counts.update(some)
    counts.check_sum("candidates", "kept", groups=["refused"])
    file = write_table(folder, part_name(part), _table(phase, part, blocks))
    return PartRecord(part, (file,), dict(counts))


# --- search ----------------------------------------------------------------------------------------------------------


def _search(phase: MinePhase, part: int) -> Found:
    """The best candidates of a part's pairs: enough that as many as asked for are of other images."""
    retriever = phase.retriever
    first = phase.features.of_part(part)["first"]
    k = phase.settings.candidates + (1 if retriever.images else phase.features.most_captions(part))
    rows = np.flatnonzero(first) if retriever.by_image else np.arange(len(first))
    found = phase.searcher.search(part, rows, k)
    back = np.cumsum(first) - 1 if retriever.by_image else rows
    return Found(found.scores[back], found.ids[back], found.counts)


# --- reranker --------------------------------------------------------------------------------------------------------


def _judge(phase: MinePhase, part: int, mined: Mined) -> tuple[list[Rows], Counts]:
    """What the table shall hold of a block of queries, and what was counted."""
    settings = phase.settings
    mined = _cut(phase, part, mined)
    if phase.reranker is not phase.retriever:
        mined = _reranked(phase, part, mined)
    found = _candidates(phase, part, mined)
    reason = refuse(found, settings.filters, settings.skip)
    keep = (reason < 0) & mined.found
    selected = select(found, keep, settings.sampling, settings.options, settings.neighbours, settings.seed)
    outcome = Outcome(mined, found, reason, selected)
    rank = _rank(mined.found)
    rows, counts = [outcome.rows(rank)], _counts(outcome, settings)
    if settings.refill:
        more = _refilled(phase, part, outcome)
        rows.append(more.rows(_rank(more.mined.found) + rank[:, -1:]))
        counts.update(_counts(more, settings))
        total = selected.sum(axis=1) + more.selected.sum(axis=1)
        counts["fewer_than_asked"] = int((total < settings.neighbours).sum())
        counts["refilled"] = int(more.selected.sum())
    return rows, counts


@dataclass(frozen=True)
class Outcome:
    """What became of candidates: reason [Q, C] as place in `reasons`, -1 for those kept; those selected [Q, C]."""

    mined: Mined
    candidates: Candidates
    reason: Codes
    selected: Mask = field(repr=False)

    @property
    def keep(self) -> Mask:
        return (self.reason < 0) & self.mined.found

    def rows(self, rank: Places) -> Rows:
        """The candidates one after the other; `rank` [Q, C]."""
        found = self.mined.found
        query = np.broadcast_to(np.arange(len(found))[:, None], found.shape)[found]
        return Rows(
            self.mined.rows[query],
            self.mined.ids[found],
            rank[found],
            self.mined.scores[found],
            self.candidates.positive[query],
            self.reason[found],
            self.selected[found],
        )


class Rows(NamedTuple):
    """Rows of the table, as arrays [n]; `row` is the query's place in the part."""

    row: Places
    id: Ids
    rank: Places
    score: Scores
    positive: Scores
    reason: Codes
    selected: Mask

    @classmethod
    def of(cls, blocks: Sequence[Rows]) -> Rows:
        """The rows of all blocks, one block behind the other."""
        return cls(*(np.concatenate(column) for column in zip(*blocks, strict=True)))

    def take(self, order: Places) -> Rows:
        columns: Iterator[Any] = (column[order] for column in self)  # each of its field's own type
        return Rows(*columns)


def _rank(found: Mask) -> Places:
    """[Q, C] which one of those found a candidate is, from 1."""
    return np.cumsum(found, axis=1, dtype=np.int64)


def _cut(phase: MinePhase, part: int, mined: Mined) -> Mined:
    """Nothing after the last of the candidates of other images that were asked for."""
    own = phase.features.of_part(part)["image"][mined.rows]
    theirs = phase.corpus.gather(_somewhere(phase, part, mined), lambda other: phase.features.of_part(other)["image"])
    others = mined.found & (theirs != own[:, None])
    return replace(mined, found=mined.found & (np.cumsum(others, axis=1) - others < phase.settings.candidates))


def _somewhere(phase: MinePhase, part: int, mined: Mined) -> Ids:
    """[Q, C] the ids, and any id where there is no candidate."""
    return np.where(mined.found, mined.ids, phase.corpus.starts[part])


def _reranked(phase: MinePhase, part: int, mined: Mined) -> Mined:
    """The same candidates with the reranker's scores and in their order."""
    rows, columns = np.nonzero(mined.found)
    scores = np.full(mined.ids.shape, -np.inf, dtype=np.float32)
    scores[rows, columns] = phase.reranker.score(part, mined.rows[rows], mined.ids[rows, columns])
    order = np.lexsort((mined.ids, -scores), axis=1)  # what is not found goes to the end
    ids, found = np.take_along_axis(mined.ids, order, axis=1), np.take_along_axis(mined.found, order, axis=1)
    return Mined(mined.rows, ids, found, np.take_along_axis(scores, order, axis=1))


def _candidates(phase: MinePhase, part: int, mined: Mined) -> Candidates:
    """Everything filters and samplers may look at; what costs something is fetched when it is asked for."""
    own = phase.features.of_part(part)[mined.rows]
    ids = _somewhere(phase, part, mined)
    queries = phase.corpus.ids(part)[mined.rows]
    positive = np.where(np.isnan(own["positive"]), np.float32(phase.default_positive), own["positive"])
    flat = ids.ravel()
    texts = Texts(partial(phase.features.sets, queries), partial(phase.features.sets, flat), ids.shape)
    compare = _Targets(phase, queries, ids)
    return Candidates(
        mined.scores,
        positive,
        mined.found,
        own,
        phase.features.at(ids),
        texts,
        compare.to_truth,
        compare.alike,
        phase.retriever.images,
    )


@dataclass(frozen=True)
class _Targets:
    """Similarities between targets: by the reranker's vectors, or by words in common where it has none."""

    phase: MinePhase
    queries: Ids
    ids: Ids

    def to_truth(self) -> Scores:
        """[Q, C] of each candidate to its query's own target."""
        own = np.repeat(self.queries, self.ids.shape[1])
        return self._between(own, self.ids.ravel()).reshape(self.ids.shape)

    def alike(self, row: int, places: Places) -> Scores:
        """[n, n] of some candidates of one query to each other."""
        ids, size = self.ids[row, places], len(places)
        return self._between(np.repeat(ids, size), np.tile(ids, size)).reshape(size, size)

    def _between(self, ids: Ids, others: Ids) -> Scores:
        vectors = self.phase.reranker.vectors
        if vectors is not None:
            return vectors.similarity(ids, others)
        sets = self.phase.features.sets
        texts = Texts(partial(sets, ids), partial(sets, others), (len(ids), 1))
        return np.asarray(texts.jaccard("words").ravel())


# --- refill ----------------------------------------------------------------------------------------------------------


def _refilled(phase: MinePhase, part: int, outcome: Outcome) -> Outcome:
    """Random pairs for queries that have fewer than K, after the same filters; one that is not taken is not listed."""
    settings, mined = phase.settings, outcome.mined
    missing = settings.neighbours - outcome.selected.sum(axis=1)
    width = int(missing.max(initial=0)) * _REFILL_TRIES
    ids = _random_ids(phase, outcome.candidates.own["key"], width)
    seen = np.concatenate([np.where(mined.found, mined.ids, NO_ID), ids], axis=1)
    new = _first_time(seen)[:, mined.ids.shape[1] :] & (missing > 0)[:, None]
    rows, columns = np.nonzero(new)
    scores = np.full(ids.shape, -np.inf, dtype=np.float32)
    scores[rows, columns] = phase.reranker.score(part, mined.rows[rows], ids[rows, columns])
    more = Mined(mined.rows, ids, new, scores)
    found = _candidates(phase, part, more)
    reason = refuse(found, settings.filters)
    keep = (reason < 0) & new
    selected = keep & (np.cumsum(keep, axis=1) <= missing[:, None])
    return Outcome(replace(more, found=new & (selected | ~keep)), found, reason, selected)


def _random_ids(phase: MinePhase, keys: Hashes, width: int) -> Ids:
    """[Q, width] random pairs, by the seed and the query's key; images under the id of their first pair."""
    with np.errstate(over="ignore"):
        turns = mix(np.arange(width, dtype=np.uint64) + np.uint64(hash64(f"refill {phase.settings.seed}")))
        ids = (mix(keys[:, None] ^ turns) % np.uint64(phase.corpus.pairs)).astype(np.int64)
    if phase.retriever.images:  # each under the id of its first pair
        return phase.corpus.gather(ids, phase.features.first_ids)
    return ids


def _first_time(ids: Ids) -> Mask:
    """[Q, n] whether an id stands in its row for the first time."""
    order = np.argsort(ids, axis=1, kind="stable")
    ordered = np.take_along_axis(ids, order, axis=1)
    new = np.ones(ids.shape, dtype=np.bool_)
    new[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    result = np.empty(ids.shape, dtype=np.bool_)
    np.put_along_axis(result, order, new, axis=1)
    return result


# --- table -----------------------------------------------------------------------------------------------------------


def _table(phase: MinePhase, part: int, blocks: list[Rows]) -> pa.Table:
    """`NEIGHBOURS`, by query, then by rank."""
    if not blocks:
        return NEIGHBOURS.empty_table()
    rows = Rows.of(blocks)
    if phase.settings.refill:
        rows = rows.take(np.lexsort((rows.rank, rows.row)))
    names = pa.array([*reasons(phase.settings.filters)], pa.string())
    direction = pa.array([phase.settings.sources[0].direction])
    return pa.table(
        {
            "key": _keys(phase.corpus, phase.corpus.starts[part] + rows.row),
            "neighbour_key": _keys(phase.corpus, rows.id),
            "direction": direction.take(pa.array(np.zeros(len(rows.row), dtype=np.int8))),
            "rank": rows.rank.astype(np.int32),
            "score": rows.score,
            "positive_score": rows.positive.astype(np.float32),
            "keep": rows.reason < 0,
            "reason": names.take(pa.array(rows.reason, mask=rows.reason < 0)),
            "selected": rows.selected,
        },
        schema=NEIGHBOURS,
    )


def _keys(corpus: Corpus, ids: Ids) -> pa.Array:
    """Keys of pairs [n]."""
    distinct, back = np.unique(ids, return_inverse=True)
    pieces = list(_keys_of_parts(corpus, distinct))
    return pa.concat_arrays(pieces).take(pa.array(back)) if pieces else pa.array([], pa.string())


def _keys_of_parts(corpus: Corpus, ids: Ids) -> Iterator[pa.Array]:
    from negmine.store import read_part

    for part, _, places in corpus.split(ids):
        yield read_part(corpus.folder, part, ["key"])["key"].combine_chunks().take(pa.array(places))


def _counts(outcome: Outcome, settings: RetrieveSettings) -> Counts:
    found, keep, selected = outcome.mined.found, outcome.keep, outcome.selected
    counts = Counts(
        candidates=int(found.sum()),
        kept=int(keep.sum()),
        selected=int(selected.sum()),
        fewer_than_asked=int((selected.sum(axis=1) < settings.neighbours).sum()),
    )
    for number, name in enumerate(reasons(settings.filters)):
        counts.add("refused", name, int(((outcome.reason == number) & found).sum()))
    return counts
