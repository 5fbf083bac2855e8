"""Search, score, filter and draw for the pairs of one part: a table with every candidate, kept or refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from negmine.base.hashing import hash64
from negmine.contract.records import NEIGHBOURS
from negmine.engine import PartFunction
from negmine.stages.neighbours.approximate import Indexes
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.filters import Candidates, reasons, refuse
from negmine.stages.neighbours.pair_features import PairFeatures
from negmine.stages.neighbours.sampling import mix, select
from negmine.stages.neighbours.scorers import Dense, Lexical, Scorer
from negmine.stages.neighbours.search import FLOAT32, NO_ID, Product, make_product, search
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.sharded_index import ShardedIndex
from negmine.stages.neighbours.words import Texts
from negmine.store import PartRecord, part_name, write_table

BLOCK: Final = 512
"""Queries whose candidates are filtered at once."""

_REFILL_TRIES: Final = 4


@dataclass(frozen=True)
class MinePhase:
    """Mine for each part against all parts.

    Attributes:
        retriever: finds candidates; `reranker` gives them their final score (the same, if nothing rescores).
        default_positive: for pairs whose truth has no score.
        tile_rows: of the corpus at once; the result does not depend on it.
        product: how exact search multiplies, by name; the result does not depend on it.
        indexes: in place of exact search.
        sharded_index: the corpus in the memory of a cluster; None to read it in tiles.
    """

    corpus: Corpus
    settings: RetrieveSettings
    retriever: Dense | Lexical
    reranker: Scorer
    features: PairFeatures
    default_positive: float
    tile_rows: int
    product: str = FLOAT32
    indexes: Indexes | None = None
    sharded_index: ShardedIndex | None = None

    @property
    def pictures(self) -> bool:
        """Whether pictures are searched, each under the id of its first pair."""
        return isinstance(self.retriever, Dense) and self.retriever.pictures

    @property
    def first_of(self) -> Callable[[int], Any] | None:
        """Which pairs of a part are searched; None for all."""
        return self.features.first_of if self.pictures else None

    def setup(self) -> PartFunction:
        self.retriever.load()
        self.reranker.load()
        return partial(_mine_part, self, make_product(self.product))


@dataclass(frozen=True)
class Mined:
    """Candidates [Q, C] of a block of queries of one part.

    Attributes:
        rows: [Q] places of the queries in the part.
        ids: [Q, C]; `found` [Q, C] where there is a candidate.
    """

    rows: Any
    ids: Any
    found: Any
    scores: Any


def _mine_part(phase: MinePhase, product: Product, part: int, folder: Path) -> PartRecord:
    scores, ids, recall = _search(phase, product, part)
    blocks: list[Rows] = []
    counts = Counter[str](pairs=len(ids), candidates=0, kept=0, selected=0, fewer_than_asked=0, refilled=0)
    counts.update({f"refused:{name}": 0 for name in reasons(phase.settings.filters)})
    counts.update(recall)
    for start in range(0, len(ids), BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(ids)))
        made, some = _judge(phase, part, Mined(rows, ids[rows], ids[rows] != NO_ID, scores[rows]))
        blocks += made
        counts.update(some)
    file = write_table(folder, part_name(part), _table(phase, part, blocks))
    return PartRecord(part, (file,), dict(counts))


# --- search ----------------------------------------------------------------------------------------------------------


def _search(phase: MinePhase, product: Product, part: int) -> tuple[Any, Any, Counter[str]]:
    """The best candidates of a part's pairs: enough that as many as asked for are of other images; and the recall."""
    retriever = phase.retriever
    first = phase.features.of_part(part)["first"]
    k = phase.settings.candidates + (1 if phase.pictures else phase.features.most_captions(part))
    if isinstance(retriever, Lexical):
        return *retriever.search(part, k), Counter()
    by_picture = all(source.query == "image" for source in retriever.sources)
    rows = np.flatnonzero(first) if by_picture else np.arange(len(first))  # all captions of a picture ask the same
    queries, counts = retriever.queries(part)[rows], Counter[str]()
    if phase.indexes is not None:
        scores, ids = phase.indexes.search(part, rows, queries, k)
        hits, exact = phase.indexes.recall(part, rows, queries, ids, phase.tile_rows)
        counts.update(recall_found=hits, recall_exact=exact)
    elif phase.sharded_index is not None:
        scores, ids = phase.sharded_index.search(queries, k)
    else:
        scores, ids = search(queries, retriever.tiles(phase.first_of, phase.tile_rows), k, product)
    back = np.cumsum(first) - 1 if by_picture else rows
    return scores[back], ids[back], counts


# --- reranker --------------------------------------------------------------------------------------------------------


def _judge(phase: MinePhase, part: int, mined: Mined) -> tuple[list[Rows], Counter[str]]:
    """What the table shall hold of a block of queries, and what was counted."""
    settings = phase.settings
    mined = _cut(phase, part, mined)
    if phase.reranker is not phase.retriever:
        mined = _rescored(phase, part, mined)
    found = _candidates(phase, part, mined)
    reason = refuse(found, settings.filters, settings.skip)
    keep = (reason < 0) & mined.found
    selected = select(found, keep, settings.sampling, settings.options, settings.neighbours, settings.seed)
    outcome = Outcome(mined, found, reason, selected)
    rank = np.cumsum(mined.found, axis=1)
    rows, counts = [outcome.rows(rank)], _counts(outcome, settings)
    if settings.refill:
        more = _refilled(phase, part, outcome)
        rows.append(more.rows(np.cumsum(more.mined.found, axis=1) + rank[:, -1:]))
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
    reason: Any
    selected: Any = field(repr=False)

    @property
    def keep(self) -> Any:
        return (self.reason < 0) & self.mined.found

    def rows(self, rank: Any) -> Rows:
        """The candidates one after the other; `rank` [Q, C]."""
        found = self.mined.found
        query = np.broadcast_to(np.arange(len(found))[:, None], found.shape)[found]
        return Rows(
            self.mined.rows[query], self.mined.ids[found], rank[found], self.mined.scores[found],
            self.candidates.positive[query], self.reason[found], self.selected[found],
        )  # fmt: skip


class Rows(NamedTuple):
    """Rows of the table, as arrays [n]; `row` is the query's place in the part."""

    row: Any
    id: Any
    rank: Any
    score: Any
    positive: Any
    reason: Any
    selected: Any


def _cut(phase: MinePhase, part: int, mined: Mined) -> Mined:
    """Nothing after the last of the candidates of other images that were asked for."""
    own = phase.features.of_part(part)["image"][mined.rows]
    theirs = phase.corpus.gather(_somewhere(phase, part, mined), lambda other: phase.features.of_part(other)["image"])
    others = mined.found & (theirs != own[:, None])
    return replace(mined, found=mined.found & (np.cumsum(others, axis=1) - others < phase.settings.candidates))


def _somewhere(phase: MinePhase, part: int, mined: Mined) -> Any:
    """[Q, C] the ids, and any id where there is no candidate."""
    return np.where(mined.found, mined.ids, phase.corpus.starts[part])


def _rescored(phase: MinePhase, part: int, mined: Mined) -> Mined:
    """The same candidates with the reranker's scores and in their order."""
    rows, columns = np.nonzero(mined.found)
    scores = np.full(mined.ids.shape, -np.inf, dtype=np.float32)
    scores[rows, columns] = phase.reranker.score(part, mined.rows[rows], mined.ids[rows, columns])
    order = np.lexsort((mined.ids, -scores), axis=1)  # what is not found goes to the end
    taken = (np.take_along_axis(values, order, axis=1) for values in (mined.ids, mined.found, scores))
    return Mined(mined.rows, *taken)


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
        mined.scores, positive, mined.found, own, phase.features.at(ids), texts, compare.to_truth, compare.alike,
        phase.pictures,
    )  # fmt: skip


@dataclass(frozen=True)
class _Targets:
    """Similarities between targets: by the reranker's vectors, or by words in common where it has none."""

    phase: MinePhase
    queries: Any
    ids: Any

    def to_truth(self) -> Any:
        """[Q, C] of each candidate to its query's own target."""
        own = np.repeat(self.queries, self.ids.shape[1])
        return self._between(own, self.ids.ravel()).reshape(self.ids.shape)

    def alike(self, row: int, places: Any) -> Any:
        """[n, n] of some candidates of one query to each other."""
        ids, size = self.ids[row, places], len(places)
        return self._between(np.repeat(ids, size), np.tile(ids, size)).reshape(size, size)

    def _between(self, ids: Any, others: Any) -> Any:
        if isinstance(self.phase.reranker, Dense):
            return self.phase.reranker.between_targets(ids, others)
        sets = self.phase.features.sets
        texts = Texts(partial(sets, ids), partial(sets, others), (len(ids), 1))
        return texts.jaccard("words").ravel()


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


def _random_ids(phase: MinePhase, keys: Any, width: int) -> Any:
    """[Q, width] random pairs, by the seed and the query's key; pictures under the id of their first pair."""
    with np.errstate(over="ignore"):
        turns = mix(np.arange(width, dtype=np.uint64) + np.uint64(hash64(f"refill {phase.settings.seed}")))
        ids = (mix(keys[:, None] ^ turns) % np.uint64(phase.corpus.pairs)).astype(np.int64)
    if phase.pictures:
        return phase.corpus.gather(ids, phase.features.first_ids)
    return ids


def _first_time(ids: Any) -> Any:
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
    rows = Rows(*(np.concatenate(column) for column in zip(*blocks, strict=True)))
    if phase.settings.refill:
        order = np.lexsort((rows.rank, rows.row))
        rows = Rows(*(column[order] for column in rows))
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


def _keys(corpus: Corpus, ids: Any) -> pa.Array:
    """Keys of pairs [n]."""
    distinct, back = np.unique(ids, return_inverse=True)
    pieces = list(_keys_of_parts(corpus, distinct))
    return pa.concat_arrays(pieces).take(pa.array(back)) if pieces else pa.array([], pa.string())


def _keys_of_parts(corpus: Corpus, ids: Any) -> Iterator[pa.Array]:
    from negmine.store import read_part

    for part, _, places in corpus.split(ids):
        yield read_part(corpus.folder, part, ["key"])["key"].combine_chunks().take(pa.array(places))


def _counts(outcome: Outcome, settings: RetrieveSettings) -> Counter[str]:
    """Numbers that reconcile: candidates = kept + all refused."""
    found, keep, selected = outcome.mined.found, outcome.keep, outcome.selected
    counts = Counter(
        candidates=int(found.sum()), kept=int(keep.sum()), selected=int(selected.sum()),
        fewer_than_asked=int((selected.sum(axis=1) < settings.neighbours).sum()),
    )  # fmt: skip
    for number, name in enumerate(reasons(settings.filters)):
        counts[f"refused:{name}"] = int(((outcome.reason == number) & found).sum())
    return counts
