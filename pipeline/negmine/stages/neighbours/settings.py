"""What a mining run is made of, score source x range x filters x sampling, and how batches are planned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING, Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import Option, check
from negmine.store.options import Seed

if TYPE_CHECKING:
    from negmine.encoders.base import Modality

MODALITY: Final[dict[str, Modality]] = {"t": "text", "i": "image"}
LEXICAL: Final = "bm25"
CROSS: Final = "cross"

MINE, PLAN = "What is mined", "Which pairs meet in a batch"
"""Panels of ``--help``."""

RECIPE: Final = "the recipe's"
"""Where what a person leaves out comes from."""


@dataclass(frozen=True)
class Source:
    """Where scores come from.

    Attributes:
        direction: what is asked with, and for what.
        name: an encoder, ``bm25``, or ``cross:FILE.py:FUNCTION``.
        weight: of this source in a sum.
    """

    direction: str
    name: str
    weight: float = 1.0

    @property
    def query(self) -> Modality:
        return MODALITY[self.direction[0]]

    @property
    def target(self) -> Modality:
        return MODALITY[self.direction[2]]


@dataclass(frozen=True, kw_only=True)
class RetrieveSettings:
    """How neighbours are mined. What is unset on the command line is the recipe's."""

    scores: Annotated[
        tuple[str, ...],
        Option(
            "[WEIGHT*]DIRECTION[:ENCODER], with DIRECTION t2t, i2i, i2t or t2i; several are summed",
            name="score",
            unset=RECIPE,
            panel=MINE,
        ),
    ] = field(default=("t2t",), kw_only=False)
    """Sources whose weighted sum is searched."""
    encoder: Annotated[
        str | None,
        Option(
            "minilm, lite0, open_clip:MODEL:WEIGHTS, checkpoint:RUN, npy:FILE.npy",
            unset="minilm or lite0",
            panel=MINE,
        ),
    ] = None
    """Of the sources that name none."""
    rerank: Annotated[
        str | None,
        Option("order the candidates anew: as --score, or DIRECTION:cross:FILE.py:FUNCTION", unset=RECIPE, panel=MINE),
    ] = None
    positive: Annotated[
        str,
        Option(
            "the truth's score: typical, or the lowest of several",
            one_of=("typical", "lowest"),
            unset=RECIPE,
            panel=MINE,
        ),
    ] = "typical"
    candidates: Annotated[
        int, Option("rows of other images looked at for each pair", least=1, unset=RECIPE, panel=MINE)
    ] = 100
    skip: Annotated[int, Option("of these, left out at the top", least=0, unset=RECIPE, panel=MINE)] = 0
    filters: Annotated[
        Mapping[str, Mapping[str, float]],
        Option(
            "add or set: percentage=0.9, near_image=4, margin",
            name="filter",
            typed=tuple[str, ...],
            unset=RECIPE,
            panel=MINE,
        ),
    ] = field(default_factory=dict)
    """Name to thresholds, of `negmine.stages.neighbours.filters.FILTERS`."""
    sampling: Annotated[
        str, Option("top, uniform, softmax=0.05, simans, ipw, half, diverse", unset=RECIPE, panel=MINE)
    ] = "top"
    """Name of `negmine.stages.neighbours.sampling.SAMPLERS`; `options` are its numbers."""
    options: Mapping[str, float] = field(default_factory=dict)
    neighbours: Annotated[int, Option("K, rows selected of those kept, at most", least=1, unset=RECIPE, panel=MINE)] = (
        10
    )
    refill: Annotated[bool, Option("random pairs where fewer than K are kept", unset=RECIPE, panel=MINE)] = False
    index: Annotated[
        str | None,
        Option("approximate search: ivf, hnsw, cagra or a FAISS factory string", unset="exact", panel=MINE),
    ] = None
    progress: Annotated[float, Option("of training, for settings as 0.2..0.02", least=0, most=1, panel=MINE)] = 1.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
        if self.skip >= self.candidates:
            raise UsageError(
                f"{self.candidates} candidates, of which the first {self.skip} are skipped",
                fix="look at more --candidates, or --skip fewer",
            )

    @property
    def sources(self) -> tuple[Source, ...]:
        """The sources that are summed.

        Raises:
            UsageError: an unknown direction, an encoder is missing, or sources that cannot be summed.
        """
        sources = tuple(read_source(text, self.encoder) for text in self.scores)
        if not sources:
            raise UsageError("no score source is named", fix="add --score t2t")
        if len(sources) > 1 and any(source.name == LEXICAL for source in sources):
            raise UsageError(
                "bm25 cannot be summed with an encoder",
                why="its scores have no scale in common with cosines",
                fix="search with bm25 and order what it finds: --score t2t:bm25 --rerank t2t:minilm",
            )
        if any(source.name.partition(":")[0] == CROSS for source in sources):
            raise UsageError("a cross-scorer cannot search", fix="search with an encoder, and --rerank with it")
        return sources

    @property
    def reranker(self) -> Source | None:
        return None if self.rerank is None else read_source(self.rerank, self.encoder)


@dataclass(frozen=True, kw_only=True)
class PlanSettings:
    """How batches are planned."""

    planner: Annotated[
        str,
        Option(
            "batches of hard neighbours: mutual, neighbours, groups, clusters, domains, random, none",
            name="plan",
            unset=RECIPE,
            panel=PLAN,
        ),
    ] = field(kw_only=False)
    """Name of `negmine.stages.neighbours.batches.PLANNERS`."""
    batch: Annotated[int, Option("B, pairs in a planned batch", name="batch_size", least=2, panel=PLAN)] = 128
    clusters: Annotated[int, Option("k, of each source's targets, for --plan clusters", least=2, panel=PLAN)] = 10
    """Several sources give all combinations of theirs."""
    window: int = 64
    """Parts of the pairs that are planned together."""
    train_fraction: Annotated[float, Option("as `shard` will have it", least=0, most=1, panel=PLAN)] = 0.9
    seed: int = 0
    """That of `shard`, which splits the images by it."""

    def __post_init__(self) -> None:
        check(self)


def read_source(text: str, encoder: str | None = None) -> Source:
    """A source as a person writes it.

    Raises:
        UsageError: no such direction, or an encoder of both captions and images is needed and none is named.
    """
    from negmine.contract.records import DIRECTIONS
    from negmine.encoders import DEFAULTS

    before, _, name = text.partition(":")  # what follows may be a path
    weight, star, direction = before.rpartition("*")
    pick("direction", direction, DIRECTIONS)
    name = name or encoder or ""
    if not name and direction[0] != direction[2]:
        raise UsageError(
            f"{direction} needs an encoder of captions and images", fix="add --encoder open_clip:MODEL:WEIGHTS"
        )
    if name == LEXICAL and direction != "t2t":
        raise UsageError(f"bm25 does not score {direction}", fix="use t2t:bm25")
    try:
        factor = float(weight) if star else 1.0
    except ValueError:
        factor = -1.0
    if not 0 < factor < inf:
        raise UsageError(f"{weight!r} is no weight", where=text, fix="write it as 0.5*t2t:minilm")
    return Source(direction, name or DEFAULTS[MODALITY[direction[0]]], factor)
