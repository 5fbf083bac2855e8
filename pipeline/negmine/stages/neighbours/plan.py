"""``negmine retrieve --plan``: ``work/plan``, the order in which a trainer shall meet the pairs.

Pairs are planned in windows of parts, so that memory and time stay bounded; each window is a part of the plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from negmine.base.arrays import Ids, Places, Vectors
from negmine.base.counts import Counts
from negmine.base.errors import InputError, UsageError
from negmine.base.hashing import hash64
from negmine.base.names import pick
from negmine.contract.records import BATCHES
from negmine.contract.split import Split
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.stages.neighbours.batches import PLANNERS, BatchPlan, Lists, Window, plan
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.filters import ABOUT_SCORES, ALWAYS
from negmine.stages.neighbours.scorers import Dense, Retriever
from negmine.stages.neighbours.settings import PlanSettings
from negmine.store import Manifest, PartRecord, Spec, Store, part_name, read_part, write_table
from negmine.store.arrays import Array
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = Stage.PLAN

FALSE_NEGATIVES: Final = (
    *ALWAYS,
    "same_text",
    "same_words",
    "near_image",
    "near_text",
    "near_truth",
    "concept",
    "structure",
    *sorted(ABOUT_SCORES - {"floor"}),
)
"""Reasons that keep two pairs out of one batch: one may be true of the other's image."""

MEASURED: Final = 200
"""Batches of a window whose similarity is measured."""


Names = NDArray[np.object_]


def make_plan(
    settings: PlanSettings, work: Path, corpus: Corpus, retriever: Retriever, engine: Engine, *, overwrite: bool = False
) -> Manifest:
    """Make ``work/plan`` from ``work/neighbours`` unless it is there.

    Raises:
        UsageError: no such planner, or clusters without an encoder.
        InputError: not a single batch can be filled.
        DamagedError: the folder was made with other settings.
    """
    pick("batch plan", settings.planner, PLANNERS)
    if settings.planner == "clusters" and retriever.vectors is None:
        raise UsageError("clusters need embeddings", fix="mine with an encoder, not with bm25")
    phase = PlanPhase(settings, corpus, work / Stage.NEIGHBOURS, retriever)

    def make(store: Store) -> Manifest:
        title, total = f"planning batches of {settings.batch}", corpus.pairs
        run_phase(store, phase, engine, phase.windows, title=title, unit="pairs", total=total)
        _check_filled(store, settings)
        return store.finish()

    with WorkFolder.open(work, needs=[Stage.NEIGHBOURS]) as folder:
        inputs = {str(name): made.digest for name, made in folder.stages.items()}
        spec = Spec(STAGE, asdict(settings), inputs, {"numpy": np.__version__})
        return run_stage(work / STAGE, spec, make, engine.share, overwrite=overwrite)


def _check_filled(store: Store, settings: PlanSettings) -> None:
    counts = Counts()
    for part in store.parts.values():
        counts.update(part.counts)
    if not counts["batches"]:
        raise InputError(
            f"not one batch of {settings.batch} can be filled",
            why=f"there are {counts['images']:,} images for training; a batch holds each of them only once, and no two "
            "pairs of which one was refused for the other",
            fix="use a smaller --batch-size, with --overwrite",
        )


@dataclass(frozen=True)
class PlanPhase:
    """Plan the batches of each window."""

    settings: PlanSettings
    corpus: Corpus
    neighbours: Path
    retriever: Retriever

    @property
    def windows(self) -> int:
        return -(-len(self.corpus.sizes) // self.settings.window)

    def setup(self) -> PartFunction:
        return partial(_plan_window, self)


def _plan_window(phase: PlanPhase, index: int, folder: Path) -> PartRecord:
    settings = phase.settings
    parts = range(index * settings.window, min((index + 1) * settings.window, len(phase.corpus.sizes)))
    rows = _Rows.read(phase, parts)
    window = rows.window(phase)
    chance = np.random.default_rng(hash64(f"plan {settings.seed} {index}"))
    made = plan(window, settings.planner, settings.batch, chance)
    file = write_table(folder, part_name(index), _table(rows, made))
    counts = {
        "pairs": sum(phase.corpus.sizes[part] for part in parts),
        "images": len(window.first_of_image) - 1,
        "for_training": len(rows.ids),
        "batches": len(made.batches),
        "planned": made.batches.size,
        "left": len(made.left),
        **_similarity(phase, rows, made, plan(window, "random", settings.batch, chance)),
    }
    return PartRecord(index, (file,), counts)


@dataclass(frozen=True)
class _Rows:
    """The pairs of a window that are trained on: their ids in the corpus, keys, parts, and image and source by name."""

    ids: Ids
    keys: pa.Array
    parts: Places
    images: Names
    sources: Names

    @classmethod
    def read(cls, phase: PlanPhase, parts: range) -> _Rows:
        columns = ["key", "image_id", "source"]
        tables = [read_part(phase.corpus.folder, part, columns) for part in parts]
        split = Split(phase.settings.train_fraction, phase.settings.seed, heldout=False)
        table = pa.concat_tables(tables).combine_chunks()
        names = table["image_id"].to_pylist()
        holds = {name: split.holds(name) for name in set(names)}
        chosen = np.flatnonzero([holds[name] for name in names])
        ids = np.concatenate([phase.corpus.ids(part) for part in parts])
        where = np.repeat(parts, [phase.corpus.sizes[part] for part in parts])
        taken = table.take(pa.array(chosen))
        return cls(
            ids[chosen],
            taken["key"].combine_chunks(),
            where[chosen],
            taken["image_id"].to_numpy(zero_copy_only=False),
            taken["source"].to_numpy(zero_copy_only=False),
        )

    def window(self, phase: PlanPhase) -> Window:
        """Neighbours and conflicts among these pairs; those outside the window are of no use."""
        image = np.cumsum(np.concatenate([[0], self.images[1:] != self.images[:-1]])) if len(self.ids) else self.ids
        rows, size = self._neighbours(phase), len(self.ids)
        query, target, kept, selected = (rows[name] for name in ("query", "target", "keep", "selected"))
        false = np.isin(rows["reason"].astype(str), FALSE_NEGATIVES)
        one, other = query[false], target[false]
        if phase.retriever.images:
            one, other = _all_of_image(one, other, image)  # an image stands under its first pair only
        both = np.unique(np.stack([np.concatenate([one, other]), np.concatenate([other, one])]), axis=1)
        return Window(
            image,
            Lists.of(query[kept], target[kept], size),
            Lists.of(query[selected], target[selected], size),
            Lists.of(both[0], both[1], size),
            partial(_labels, phase, self),
        )

    def _neighbours(self, phase: PlanPhase) -> dict[str, Array]:
        """The mined table among these pairs, by places in the window."""
        columns = ["key", "neighbour_key", "keep", "selected", "reason"]
        tables = [read_part(phase.neighbours, int(part), columns) for part in np.unique(self.parts)]
        table = pa.concat_tables(tables) if tables else None
        if table is None:
            empty = np.empty(0, dtype=np.int64)
            return {"query": empty, "target": empty, "keep": empty, "selected": empty, "reason": empty}
        query, target = (pc.index_in(table[name], self.keys) for name in ("key", "neighbour_key"))
        table = table.append_column("query", query).append_column("target", target)
        table = table.filter(pc.and_(pc.is_valid(query), pc.is_valid(target)))
        names = ("query", "target", "keep", "selected", "reason")
        return {name: table[name].to_numpy(zero_copy_only=False) for name in names}


def _all_of_image(owners: Places, pairs: Places, image: Places) -> tuple[Places, Places]:
    """(owner, pair) for every pair of the images of the given ones."""
    starts = np.searchsorted(image, image[pairs])
    sizes = np.searchsorted(image, image[pairs], side="right") - starts
    within = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return np.repeat(owners, sizes), np.repeat(starts, sizes) + within


def _labels(phase: PlanPhase, rows: _Rows) -> Places:
    """[n] numbers of cluster or source."""
    if phase.settings.planner == "domains":
        return np.unique(rows.sources, return_inverse=True)[1]
    labels = np.zeros(len(rows.ids), dtype=np.int64)
    for alone in phase.retriever.vectors.by_source if phase.retriever.vectors else ():
        vectors = phase.corpus.gather(rows.ids, alone.targets)
        labels = labels * phase.settings.clusters + cluster(vectors, phase.settings.clusters, phase.settings.seed)
    return labels


def cluster(vectors: Vectors, k: int, seed: int) -> Places:
    """[n] k-means cluster of each unit row, by inner product."""
    import faiss

    faiss.omp_set_num_threads(1)
    k = min(k, len(vectors))
    means = faiss.Kmeans(
        vectors.shape[1], k, niter=20, seed=seed, spherical=True, min_points_per_centroid=1, max_points_per_centroid=512
    )
    means.train(np.ascontiguousarray(vectors))
    return means.index.search(np.ascontiguousarray(vectors), 1)[1].ravel()


def _table(rows: _Rows, made: BatchPlan) -> pa.Table:
    batches, size = made.batches.shape
    order = np.concatenate([made.batches.ravel(), made.left])
    number, slot = np.repeat(np.arange(batches), size), np.tile(np.arange(size), batches)
    nothing = pa.nulls(len(made.left), pa.int32())
    return pa.table(
        {
            "key": rows.keys.take(pa.array(order)),
            "part": rows.parts[order].astype(np.int32),
            "batch": pa.chunked_array([pa.array(number.astype(np.int32)), nothing]),
            "slot": pa.chunked_array([pa.array(slot.astype(np.int32)), nothing]),
        },
        schema=BATCHES,
    )


# --- how hard the batches are ----------------------------------------------------------------------------------------


def _similarity(phase: PlanPhase, rows: _Rows, made: BatchPlan, by_chance: BatchPlan) -> Mapping[str, int]:
    """Mean similarity of pairs that meet, and of pairs in random batches under the same rules."""
    vectors = phase.retriever.vectors
    if vectors is None:
        return {}
    counts = Counts()
    for name, one in (("planned", made), ("by_chance", by_chance)):
        counts.add_mean(name, [_mean_similarity(vectors, rows.ids[batch]) for batch in one.batches[:MEASURED]])
    return counts


def _mean_similarity(vectors: Dense, ids: Ids) -> float:
    """Of the queries to the targets of other pairs."""
    gather = vectors.corpus.gather
    scores = gather(ids, vectors.queries) @ gather(ids, vectors.targets).T
    others = ~np.eye(len(ids), dtype=np.bool_)
    return float(scores[others].mean())
