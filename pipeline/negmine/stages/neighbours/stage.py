"""``negmine retrieve``: embed, compare, mine. Every candidate is in the table, kept or refused with its reason."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
from negmine.engine import Engine, run_phase, run_stage
from negmine.stages.neighbours.approximate import PARTS, Indexes, IndexPhase, check_index
from negmine.stages.neighbours.filters import NEEDS
from negmine.stages.neighbours.memory import Budget
from negmine.stages.neighbours.mine import MinePhase
from negmine.stages.neighbours.open_scorers import Scorers, open_scorers, resolved
from negmine.stages.neighbours.pair_features import PairFeatures, PairFeaturesPhase
from negmine.stages.neighbours.plan import make_plan
from negmine.stages.neighbours.report import EXAMPLES_FILE, write_examples
from negmine.stages.neighbours.scorers import Reranker
from negmine.stages.neighbours.search import BFLOAT16, FLOAT32, choose_product, faiss_build
from negmine.stages.neighbours.settings import LEXICAL, PlanSettings, RetrieveSettings
from negmine.stages.neighbours.sharded_index import ShardedIndex, shares_of
from negmine.stages.neighbours.word_sets import COLUMNS
from negmine.store import Manifest, Spec, Store, folder_at, refuse_other_settings, write_file
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = Stage.NEIGHBOURS
PAIR_FEATURES: Final = ".features"
INDEX: Final = ".index"

__all__ = ["STAGE", "RetrieveSettings", "retrieve"]


def retrieve(
    settings: RetrieveSettings,
    work: Path,
    engine: Engine,
    *,
    memory: str | None = None,
    actors: int = 0,
    overwrite: bool = False,
) -> Manifest:
    """Make ``work/neighbours`` unless it is there.

    Args:
        actors: of a Ray cluster, which hold the corpus in memory between them; 0: every part reads it in tiles.
        memory: how much the search may take, all workers together, as ``4G``; None for half of what is free.

    Raises:
        UsageError: an unknown source or encoder, FAISS missing or installed twice, or no images to embed.
        DamagedError: the folder was made from other pairs or with other settings.
        ResourceError: the memory is not enough.
    """
    settings = resolved(settings)
    chosen = asdict(settings)
    build = faiss_build()
    if settings.index is not None:
        if settings.sources[0].name == LEXICAL:
            raise UsageError("bm25 has its own index", fix="leave --index out")
        check_index(settings.index)
    if actors and (engine.serve is None or settings.index or settings.sources[0].name == LEXICAL):
        raise UsageError(
            "--database-actors are for exact search with vectors on Ray", fix="add --engine ray, or leave them out"
        )
    budget = Budget.of(memory, engine.at_once)
    if not overwrite:
        refuse_other_settings(work / STAGE, STAGE, chosen)  # before anything is embedded
    with WorkFolder.open(work) as folder, open_scorers(settings, folder, engine, overwrite) as scorers:
        inputs = {Stage.PAIRS: folder.pairs.digest, **scorers.inputs}
        spec = Spec(STAGE, chosen, inputs, {"faiss": build, "numpy": version("numpy")})
        make = partial(_make, settings=settings, scorers=scorers, engine=engine, budget=budget, actors=actors)
        return run_stage(work / STAGE, spec, make, engine.share, overwrite=overwrite)


def plan_batches(
    settings: RetrieveSettings, batches: PlanSettings, work: Path, engine: Engine, *, overwrite: bool = False
) -> Manifest:
    """Make ``work/plan`` from what `retrieve` mined with these settings, unless it is there."""
    settings = resolved(settings)
    with WorkFolder.open(work) as folder, open_scorers(settings, folder, engine, overwrite) as scorers:
        return make_plan(batches, work, scorers.corpus, scorers.retriever, engine, overwrite=overwrite)


def _make(
    store: Store, settings: RetrieveSettings, scorers: Scorers, engine: Engine, budget: Budget, actors: int
) -> Manifest:
    corpus, retriever = scorers.corpus, scorers.retriever
    product, tile_rows = choose_product(corpus.pairs**2), 0
    vectors = retriever.vectors
    if vectors is not None and corpus.pairs:
        need = vectors.dimensions, max(corpus.sizes), settings.candidates
        if product == BFLOAT16 and not budget.fits(*need, half=True):
            product = FLOAT32
        tile_rows = budget.tile_rows(*need, half=product == BFLOAT16)
    folder, parts, total = store.folder / PAIR_FEATURES, len(corpus.sizes), corpus.pairs

    def compare(comparing: Store) -> Manifest:
        phase = PairFeaturesPhase(corpus, scorers.reranker, settings.positive, _sets(settings, scorers.reranker))
        run_phase(comparing, phase, engine, parts, title="comparing with the truth", unit="pairs", total=total)
        return comparing.finish()

    run_stage(folder, store.spec, compare, engine.share)
    features = PairFeatures(corpus, folder)
    first_of = features.first_of if retriever.images else None
    searcher = retriever.exact(first_of, tile_rows, product)
    with ExitStack() as stack:
        if vectors is not None and settings.index is not None:
            budget.check_index(sum(sorted(corpus.sizes)[-PARTS:]), vectors.dimensions)
            indexing = IndexPhase(vectors, first_of, settings.index, settings.candidates)
            searcher = _index(store, indexing, tile_rows, engine)
        elif vectors is not None and actors and engine.serve is not None:
            loads = shares_of(vectors, first_of, actors, product)
            searcher = ShardedIndex(vectors, stack.enter_context(engine.serve(loads)))
        mining = MinePhase(corpus, settings, retriever, searcher, scorers.reranker, features, features.mean_positive())
        run_phase(store, mining, engine, parts, title="mining", unit="pairs", total=total)
    examples = partial(write_examples, corpus=corpus, neighbours=store.folder)
    made = store.finish([write_file(store.folder, EXAMPLES_FILE, examples)])
    for hidden in (folder, store.folder / INDEX):
        folder_at(hidden).delete_all()
    return made


def _index(store: Store, phase: IndexPhase, tile_rows: int, engine: Engine) -> Indexes:
    """Index the corpus."""

    def build(building: Store) -> Manifest:
        total = phase.vectors.corpus.pairs
        run_phase(building, phase, engine, phase.shards, title="indexing", unit="pairs", total=total)
        return building.finish()

    run_stage(store.folder / INDEX, store.spec, build, engine.share)
    return Indexes(phase, store.folder / INDEX, tile_rows)


def _sets(settings: RetrieveSettings, reranker: Reranker) -> tuple[str, ...]:
    """Which sets of words these settings look at."""
    wanted = {NEEDS[name] for name in settings.filters if name in NEEDS}
    by_words = (
        settings.sampling == "diverse" or "near_truth" in settings.filters or "adaptive_margin" in settings.filters
    )
    if settings.sampling == "ipw" or (by_words and reranker.vectors is None):
        wanted.add("words")
    return tuple(name for name in COLUMNS if name in wanted)
