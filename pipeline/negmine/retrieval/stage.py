"""``negmine retrieve``: embed, weigh the truth of each pair, search, filter, select.

Every candidate goes into the table, kept or refused with its reason.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa

from negmine.engine import Engine, PartFunction, run_phase
from negmine.errors import UsageError
from negmine.hashing import hash64
from negmine.records import DIRECTIONS, NEIGHBOURS
from negmine.retrieval.embed import embed
from negmine.retrieval.encoders import DEFAULTS
from negmine.retrieval.encoders.base import Modality
from negmine.retrieval.filters import FILTERS, Candidates, FilterSettings, refuse
from negmine.retrieval.search import NO_ID, faiss_build, search
from negmine.store import Manifest, PartRecord, Spec, Store, part_name, read_part, reading, write_file, write_table

STAGE: Final = "neighbours"
FACTS: Final = ".facts"
_MODALITY: Final[dict[str, Modality]] = {"t": "text", "i": "image"}

FACT = np.dtype([("image", np.uint64), ("text", np.uint64), ("first", np.bool_), ("positive", np.float32)])
"""What filters need to know of a pair: hashes of its image id and normalised caption, whether it is the first of its
image, and how similar its own truth is (NaN where nothing tells)."""


@dataclass(frozen=True)
class RetrieveSettings:
    """How neighbours are mined.

    Attributes:
        encoder: name (see `negmine.retrieval.encoders`); None for the default of the direction.
        direction: what is asked with, and for what: ``t2t``, ``i2i``, ``i2t`` or ``t2i``.
        candidates: rows looked at for each pair.
        neighbours: K, rows selected of those that pass every filter.
    """

    encoder: str | None = None
    direction: str = "t2t"
    candidates: int = 100
    neighbours: int = 10
    relative_margin: float = FilterSettings.relative_margin
    seed: int = 0


def retrieve(settings: RetrieveSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/neighbours`` unless it is there.

    Raises:
        UsageError: an unknown direction or encoder, FAISS missing or installed twice, or no pictures to embed.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    encoder = _encoder(settings)
    build = faiss_build()
    with reading(work / "pairs") as pairs:
        query, target = (_MODALITY[settings.direction[at]] for at in (0, 2))
        folders = [embed(encoder, m, pairs, work, engine, overwrite=overwrite) for m in dict.fromkeys((query, target))]
        chosen = {**asdict(settings), "encoder": encoder}
        inputs = {"pairs": pairs.digest}
        with reading(folders[0]) as queries, reading(folders[-1]) as targets:
            inputs |= {"queries": queries.digest, "targets": targets.digest}
            plan = Plan(
                work / "pairs", folders[0], folders[-1], settings, tuple(part.files[0].rows for part in pairs.parts)
            )
            spec = Spec(STAGE, chosen, inputs, {"faiss": build})
            with Store.open(work / STAGE, spec, overwrite=overwrite) as store:
                if not store.finished:
                    _make(store, plan, engine)
                assert store.manifest is not None
                return store.manifest


def _encoder(settings: RetrieveSettings) -> str:
    if settings.direction not in DIRECTIONS:
        raise UsageError(f"no direction {settings.direction!r}", fix=f"choose one of {', '.join(DIRECTIONS)}")
    query, target = settings.direction[0], settings.direction[2]
    if settings.encoder is None and query != target:
        raise UsageError(
            f"{settings.direction} needs an encoder of captions and pictures",
            fix="add --encoder open_clip:MODEL:WEIGHTS",
        )
    return settings.encoder or DEFAULTS[_MODALITY[query]]


@dataclass(frozen=True)
class Plan:
    """What all parts of the search share.

    Attributes:
        sizes: pairs in each part; the id of a pair is its place in all parts together.
    """

    pairs: Path
    queries: Path
    targets: Path
    settings: RetrieveSettings
    sizes: tuple[int, ...]

    @property
    def starts(self) -> Any:
        """Id of the first pair of each part, and the number of pairs: [parts + 1]."""
        return np.concatenate([[0], np.cumsum(self.sizes)])


def _make(store: Store, plan: Plan, engine: Engine) -> None:
    total = sum(plan.sizes)
    facts = store.folder / FACTS
    with Store.open(facts, store.spec) as weighing:
        if not weighing.finished:
            phase = FactsPhase(plan)
            run_phase(weighing, phase, engine, len(plan.sizes), title="comparing captions", unit="pairs", total=total)
            weighing.finish()
        default = mean_positive(facts, len(plan.sizes))
        searching = SearchPhase(plan, facts, default)
        run_phase(store, searching, engine, len(plan.sizes), title="searching", unit="pairs", total=total)
        store.finish()
    shutil.rmtree(facts)


# --- facts -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class FactsPhase:
    """`FACT` for each pair."""

    plan: Plan

    def setup(self) -> PartFunction:
        return partial(_facts_of_part, self.plan)


def _facts_of_part(plan: Plan, index: int, folder: Path) -> PartRecord:
    table = read_part(plan.pairs, index, ["image_id", "caption"])
    images, captions = table["image_id"].to_pylist(), table["caption"].to_pylist()
    facts = np.empty(len(images), dtype=FACT)
    facts["image"] = [hash64(image) for image in images]
    facts["text"] = [hash64(normalised(caption)) for caption in captions]
    facts["first"] = [at == 0 or images[at] != images[at - 1] for at in range(len(images))]
    queries, targets = (_vectors(where, index) for where in (plan.queries, plan.targets))
    facts["positive"] = positive_scores(plan.settings.direction, queries, targets, facts["first"])

    def write(stream: IO[bytes]) -> int:
        np.save(stream, facts, allow_pickle=False)
        return len(facts)

    return PartRecord(index, (write_file(folder, part_name(index, "npy"), write),), {"pairs": len(facts)})


def normalised(caption: str) -> str:
    """Letters and digits only, without case: what a caption says, whatever its punctuation."""
    return " ".join("".join(c if c.isalnum() else " " for c in caption.casefold()).split())


def positive_scores(direction: str, queries: Any, targets: Any, first: Any) -> Any:
    """How similar each pair is to its own truth, [N].

    ``i2t`` and ``t2i``: caption and picture of the pair. ``t2t``: mean over the other captions of the picture, NaN
    for an only caption. ``i2i``: 1.

    Args:
        queries: unit rows [N, D]; `targets` likewise, row for row of the same pairs.
        first: [N], True where the rows of a picture begin.
    """
    if direction == "i2i" or not len(queries):
        return np.ones(len(queries), dtype=np.float32)
    if direction != "t2t":
        return np.einsum("nd,nd->n", queries, targets)
    starts = np.flatnonzero(first)
    group = np.cumsum(first) - 1
    sums = np.add.reduceat(queries, starts, axis=0)[group] - queries
    others = np.diff([*starts, len(queries)])[group] - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.einsum("nd,nd->n", queries, sums) / np.where(others, others, np.nan)


def mean_positive(facts: Path, parts: int) -> float:
    """Mean positive score of the corpus, for pairs that have none; 1 if no pair has one."""
    total, number = 0.0, 0
    for index in range(parts):
        positive = np.load(facts / part_name(index, "npy"), allow_pickle=False)["positive"]
        known = positive[~np.isnan(positive)].astype(np.float64)
        total, number = total + float(known.sum()), number + len(known)
    return total / number if number else 1.0


# --- search ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class SearchPhase:
    """Search, filter and select for the pairs of one part against all parts."""

    plan: Plan
    facts: Path
    default_positive: float

    def setup(self) -> PartFunction:
        return partial(_search_part, self)


def _search_part(phase: SearchPhase, index: int, folder: Path) -> PartRecord:
    plan, settings = phase.plan, phase.plan.settings
    scores, ids = search(_vectors(plan.queries, index), _tiles(phase), settings.candidates)
    own = _facts(phase.facts, index)
    positive = np.where(np.isnan(own["positive"]), np.float32(phase.default_positive), own["positive"])
    found = ids != NO_ID
    theirs = _lookup(plan, np.where(found, ids, 0), lambda part: _facts(phase.facts, part)[["image", "text"]])
    candidates = Candidates(scores, positive, theirs["image"], own["image"], theirs["text"], own["text"])
    reason = refuse(candidates, FilterSettings(settings.relative_margin))
    keep = (reason < 0) & found
    selected = keep & (np.cumsum(keep, axis=1) <= settings.neighbours)
    table = _table(plan, index, ids, found, scores, positive, reason, selected)
    counts = _counts(found, keep, selected, reason, settings.neighbours)
    return PartRecord(index, (write_table(folder, part_name(index), table),), counts)


def _tiles(phase: SearchPhase) -> Iterator[tuple[Any, Any]]:
    """The corpus: every caption, or each picture once, under the id of its first pair."""
    plan = phase.plan
    pictures = plan.settings.direction.endswith("i")
    for part, start in enumerate(plan.starts[:-1]):
        rows, ids = _vectors(plan.targets, part), np.arange(plan.sizes[part]) + start
        if pictures:
            first = _facts(phase.facts, part)["first"]
            rows, ids = rows[first], ids[first]
        yield ids, rows


def _vectors(folder: Path, part: int) -> Any:
    return np.load(folder / part_name(part, "npy"), allow_pickle=False)


def _facts(folder: Path, part: int) -> Any:
    return np.load(folder / part_name(part, "npy"), mmap_mode="r", allow_pickle=False)


def _lookup(plan: Plan, ids: Any, column: Any) -> Any:
    """Values of a column, given by part, at the places `ids` of all parts together."""
    flat = ids.ravel()
    parts = np.searchsorted(plan.starts, flat, side="right") - 1
    values: Any = None
    for part in np.unique(parts) if flat.size else [0]:
        here = parts == part
        taken = np.asarray(column(part))[flat[here] - plan.starts[part]]
        if values is None:
            values = np.empty(flat.shape, dtype=taken.dtype)
        values[here] = taken
    return values.reshape(ids.shape)


def _keys(plan: Plan, part: int) -> Any:
    keys = read_part(plan.pairs, part, ["key"])["key"]
    return np.array(keys.to_pylist(), dtype=object)


def _table(
    plan: Plan, index: int, ids: Any, found: Any, scores: Any, positive: Any, reason: Any, selected: Any
) -> pa.Table:
    names = np.array([*FILTERS, None], dtype=object)  # -1 is the last: no reason
    query = np.broadcast_to(np.arange(len(ids))[:, None], ids.shape)[found]
    rank = np.broadcast_to(np.arange(1, ids.shape[1] + 1, dtype=np.int32)[None], ids.shape)[found]
    return pa.table(
        {
            "key": _keys(plan, index)[query],
            "neighbour_key": _lookup(plan, ids[found], lambda part: _keys(plan, part)),
            "direction": pa.array([plan.settings.direction]).take(pa.array(np.zeros(len(query), dtype=np.int8))),
            "rank": rank,
            "score": scores[found],
            "positive_score": positive[query].astype(np.float32),
            "keep": reason[found] < 0,
            "reason": names[reason[found]],
            "selected": selected[found],
        },
        schema=NEIGHBOURS,
    )


def _counts(found: Any, keep: Any, selected: Any, reason: Any, neighbours: int) -> dict[str, int]:
    """Numbers that reconcile: candidates = kept + all refused."""
    counts = Counter(
        pairs=len(found), candidates=int(found.sum()), kept=int(keep.sum()), selected=int(selected.sum()),
        fewer_than_asked=int((selected.sum(axis=1) < neighbours).sum()),
    )  # fmt: skip
    for number, name in enumerate(FILTERS):
        counts[f"refused:{name}"] = int(((reason == number) & found).sum())
    return dict(counts)
