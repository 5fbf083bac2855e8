"""``negmine retrieve``: embed, compare, mine. Every candidate is in the table, kept or refused with its reason."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
from negmine.encoders import pinned
from negmine.engine import Engine, run_phase, run_stage
from negmine.engine.ray import RayEngine
from negmine.stages.neighbours.approximate import PARTS, Indexes, IndexPhase, check_index
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.embed import embed
from negmine.stages.neighbours.filters import NEEDS
from negmine.stages.neighbours.memory import Budget
from negmine.stages.neighbours.mine import MinePhase
from negmine.stages.neighbours.pair_features import PairFeatures, PairFeaturesPhase
from negmine.stages.neighbours.plan import make_plan
from negmine.stages.neighbours.report import EXAMPLES_FILE, write_examples
from negmine.stages.neighbours.scorers import Cross, Dense, Lexical, Scorer
from negmine.stages.neighbours.search import BFLOAT16, FLOAT32, choose_product, faiss_build
from negmine.stages.neighbours.settings import CROSS, LEXICAL, PlanSettings, RetrieveSettings, Source
from negmine.stages.neighbours.sharded_index import sharded_index, shares_of
from negmine.stages.neighbours.words import COLUMNS
from negmine.store import Manifest, Spec, Store, delete_folder, reading, refuse_other_settings, run_all, write_file
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
        UsageError: an unknown source or encoder, FAISS missing or installed twice, or no pictures to embed.
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
    if actors and (not isinstance(engine, RayEngine) or settings.index or settings.sources[0].name == LEXICAL):
        raise UsageError(
            "--database-actors are for exact search with vectors on Ray", fix="add --engine ray, or leave them out"
        )
    budget = Budget.of(memory, engine.at_once)
    if not overwrite:
        refuse_other_settings(work / STAGE, STAGE, chosen)  # before anything is embedded
    with WorkFolder.open(work) as folder, _scorers(settings, folder, engine, overwrite) as scorers:
        inputs = {Stage.PAIRS: folder.pairs.digest, **scorers.inputs}
        spec = Spec(STAGE, chosen, inputs, {"faiss": build, "numpy": version("numpy")})
        make = partial(_make, settings=settings, scorers=scorers, engine=engine, budget=budget, actors=actors)
        return run_stage(work / STAGE, spec, make, engine.share, overwrite=overwrite)


def plan_batches(
    settings: RetrieveSettings, batches: PlanSettings, work: Path, engine: Engine, *, overwrite: bool = False
) -> Manifest:
    """Make ``work/plan`` from what `retrieve` mined with these settings, unless it is there."""
    settings = resolved(settings)
    with WorkFolder.open(work) as folder, _scorers(settings, folder, engine, overwrite) as scorers:
        return make_plan(batches, work, scorers.corpus, scorers.retriever, engine, overwrite=overwrite)


def resolved(settings: RetrieveSettings) -> RetrieveSettings:
    """The same settings with every source named in full, and of a run's checkpoints the one that is the latest now.

    Raises:
        UsageError: an unknown source, or no checkpoint.
    """
    scores = tuple(show_source(source) for source in settings.sources)
    rescore = show_source(settings.rescorer) if settings.rescorer else None
    return replace(settings, scores=scores, rescore=rescore, encoder=None)


def show_source(source: Source) -> str:
    """A source as `negmine.stages.neighbours.settings.read_source` reads it."""
    return f"{source.weight:g}*{source.direction}:{pinned(source.name)}"


@dataclass(frozen=True)
class Scorers:
    """Who finds candidates and who scores them, and the digests of what they read."""

    corpus: Corpus
    retriever: Dense | Lexical
    reranker: Scorer
    inputs: dict[str, str]


@contextmanager
def _scorers(settings: RetrieveSettings, work: WorkFolder, engine: Engine, overwrite: bool) -> Iterator[Scorers]:
    """Embed what has to be embedded, and hold it against being rewritten."""
    corpus = Corpus(work.path / Stage.PAIRS, work.pair_counts, work.image_root)
    inputs: dict[str, str] = {}

    def dense(name: str, sources: tuple[Source, ...], stack: ExitStack) -> Dense:
        folders = []
        for source in sources:
            both = run_all(
                partial(embed, source.name, m, work, engine, overwrite=overwrite) for m in (source.query, source.target)
            )
            for side, folder in zip(("queries", "targets"), both, strict=True):
                inputs[f"{name} {show_source(source)} {side}"] = stack.enter_context(reading(folder)).digest
            folders.append((both[0], both[1]))
        return Dense(corpus, sources, tuple(folders))

    with ExitStack() as stack:
        lexical = settings.sources[0].name == LEXICAL
        retriever = Lexical(corpus) if lexical else dense("search", settings.sources, stack)
        reranker: Scorer = retriever
        rescorer = settings.rescorer
        if rescorer is not None and rescorer.name.partition(":")[0] == CROSS:
            reranker = cross = Cross(corpus, rescorer)
            inputs["cross-scorer"] = cross.identity()
        elif rescorer is not None:
            reranker = Lexical(corpus) if rescorer.name == LEXICAL else dense("rescore", (rescorer,), stack)
        if isinstance(retriever, Lexical) or isinstance(reranker, Lexical):
            inputs["bm25s"] = version("bm25s")
        yield Scorers(corpus, retriever, reranker, inputs)


def _make(
    store: Store, settings: RetrieveSettings, scorers: Scorers, engine: Engine, budget: Budget, actors: int
) -> Manifest:
    corpus = scorers.corpus
    product, tile_rows = choose_product(corpus.pairs**2), 0
    if isinstance(scorers.retriever, Dense) and corpus.pairs:
        need = scorers.retriever.dimensions, max(corpus.sizes), settings.candidates
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
    mining = MinePhase(
        corpus, settings, scorers.retriever, scorers.reranker, features, features.mean_positive(), tile_rows, product
    )
    if settings.index is not None:
        rows = sum(sorted(corpus.sizes)[-PARTS:])
        budget.check_index(rows, mining.retriever.dimensions if isinstance(mining.retriever, Dense) else 0)
        mining = replace(mining, indexes=_index(store, settings.index, mining, engine))
    with ExitStack() as stack:
        if actors and isinstance(mining.retriever, Dense):
            loads = shares_of(mining.retriever, mining.first_of, actors)
            mining = replace(mining, sharded_index=stack.enter_context(sharded_index(loads, product)))
        run_phase(store, mining, engine, parts, title="mining", unit="pairs", total=total)
    examples = partial(write_examples, corpus=corpus, neighbours=store.folder)
    made = store.finish([write_file(store.folder, EXAMPLES_FILE, examples)])
    delete_folder(folder)
    delete_folder(store.folder / INDEX)
    return made


def _index(store: Store, index: str, mining: MinePhase, engine: Engine) -> Indexes:
    """Index the corpus."""
    assert isinstance(mining.retriever, Dense)  # checked with the settings
    phase = IndexPhase(mining.retriever, mining.first_of, index, mining.settings.candidates)

    def build(building: Store) -> Manifest:
        total = mining.corpus.pairs
        run_phase(building, phase, engine, phase.shards, title="indexing", unit="pairs", total=total)
        return building.finish()

    run_stage(store.folder / INDEX, store.spec, build, engine.share)
    return Indexes(phase, store.folder / INDEX)


def _sets(settings: RetrieveSettings, reranker: Scorer) -> tuple[str, ...]:
    """Which sets of words these settings look at."""
    wanted = {NEEDS[name] for name in settings.filters if name in NEEDS}
    by_words = (
        settings.sampling == "diverse" or "near_truth" in settings.filters or "adaptive_margin" in settings.filters
    )
    if settings.sampling == "ipw" or (by_words and not isinstance(reranker, Dense)):
        wanted.add("words")
    return tuple(name for name in COLUMNS if name in wanted)
