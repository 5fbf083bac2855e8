"""What a run searches and scores with: its sources named in full, embedded where they are not yet, and held."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

from negmine.encoders import pinned
from negmine.engine import Engine
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.embed import embed
from negmine.stages.neighbours.scorers import Cross, Dense, Lexical, Reranker, Retriever
from negmine.stages.neighbours.settings import CROSS, LEXICAL, RetrieveSettings, Source
from negmine.store import reading, run_all
from negmine.store.work_folder import Stage, WorkFolder


def resolved(settings: RetrieveSettings) -> RetrieveSettings:
    """The same settings with every source named in full, and of a run's checkpoints the one that is the latest now.

    Raises:
        UsageError: an unknown source, or no checkpoint.
    """
    scores = tuple(show_source(source) for source in settings.sources)
    rerank = show_source(settings.reranker) if settings.reranker else None
    return replace(settings, scores=scores, rerank=rerank, encoder=None)


def show_source(source: Source) -> str:
    """A source as `negmine.stages.neighbours.settings.read_source` reads it."""
    return f"{source.weight:g}*{source.direction}:{pinned(source.name)}"


@dataclass(frozen=True)
class Scorers:
    """Who finds candidates and who scores them, and the digests of what they read."""

    corpus: Corpus
    retriever: Retriever
    reranker: Reranker
    inputs: dict[str, str]


@contextmanager
def open_scorers(settings: RetrieveSettings, work: WorkFolder, engine: Engine, overwrite: bool) -> Iterator[Scorers]:
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
        retriever: Retriever = Lexical(corpus) if lexical else dense("search", settings.sources, stack)
        reranker: Reranker = retriever
        reranking = settings.reranker
        if reranking is not None and reranking.name.partition(":")[0] == CROSS:
            reranker = cross = Cross(corpus, reranking)
            inputs["cross-scorer"] = cross.identity()
        elif reranking is not None:
            reranker = Lexical(corpus) if reranking.name == LEXICAL else dense("rerank", (reranking,), stack)
        if LEXICAL in (settings.sources[0].name, reranking and reranking.name):
            inputs["bm25s"] = version("bm25s")
        yield Scorers(corpus, retriever, reranker, inputs)
