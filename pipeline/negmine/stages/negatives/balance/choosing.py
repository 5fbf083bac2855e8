"""The last phase of a balanced choice: the negatives of each caption, by the weights that were found."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from negmine.base.arrays import Floats, Mask, Places, Scores
from negmine.base.counts import Counts
from negmine.contract.records import NEGATIVES
from negmine.engine import PartFunction
from negmine.language.slot_table import SlotTable
from negmine.stages.negatives.balance.fast_reader import FastReader
from negmine.stages.negatives.balance.judging import read_plausibility, read_slots
from negmine.stages.negatives.balance.oddness import judge
from negmine.stages.negatives.balance.pool import ANSWERED, Pool, choose, first_of_each_kind
from negmine.stages.negatives.balance.proposing import SUBSTITUTIONS, read_pool
from negmine.stages.negatives.balance.weights import (
    PLAUSIBILITY,
    PLAUSIBLE,
    STRICTNESS,
    Substitutions,
    acceptance,
    log_weights,
    thinned,
    untold_share,
)
from negmine.stages.negatives.candidates import read_rows, why_none
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import PartRecord, part_name, read_part, write_table
from negmine.store.arrays import read_array, read_arrays


@dataclass(frozen=True)
class Found:
    """Where that lies which rounds have found.

    Attributes:
        weights: file of an array [FOLDS, slots].
        reader: file of a `FastReader`; None as long as there is none.
    """

    weights: Path
    reader: Path | None = None


@dataclass(frozen=True)
class Chooser:
    """What decides among the candidates of a pool."""

    settings: ParseSettings
    substitutions: Substitutions
    weights: Scores
    reader: FastReader | None = None

    @classmethod
    def read(cls, settings: ParseSettings, candidates: Path, found: Found) -> Chooser:
        substitutions = read_arrays(candidates / SUBSTITUTIONS, Substitutions)
        reader = None if found.reader is None else read_arrays(found.reader, FastReader)
        return cls(settings, substitutions, read_array(found.weights, mapped=True), reader)

    def choose(self, pool: Pool, plausibility: Scores, among: Places | None = None) -> tuple[Places, Floats]:
        """Places of the chosen candidates of a part, and the scores of all.

        Args:
            among: places of those that are chosen from; None for all.
        """
        score, admitted = self._judged(pool, plausibility)
        if among is not None:
            score = np.where(np.isin(np.arange(len(pool)), among), score, -np.inf)
        preferred, most = score + self._preference[pool.kind], self.settings.per_caption
        return choose(pool, preferred, admitted, most, complete=self.settings.complete), score

    def first(self, pool: Pool, plausibility: Scores, is_read: Mask, most: int) -> Places:
        """Places of up to `most` candidates of each caption from which is chosen, where `is_read` [C] holds."""
        score, admitted = self._judged(pool, plausibility)
        return first_of_each_kind(pool, score, np.where(is_read, admitted, 0.0), most)

    def best(self, pool: Pool, plausibility: Scores, most: int) -> Places:
        """Places of up to `most` candidates of each caption that may serve, the best of each kind first."""
        score, admitted = self._judged(pool, plausibility)
        return first_of_each_kind(pool, score, np.where(admitted > 0, 1.0, 0.0), most)

    @cached_property
    def _preference(self) -> Floats:
        weights = dict(self.settings.weights)
        return np.array([weights.get(rule, 0.0) for rule in self.settings.kinds])

    @cached_property
    def _answered(self) -> Mask:
        """Of each rule, whether true texts of the same wording stand beside its negatives."""
        return np.array([kind == ANSWERED for kind in self.settings.kinds])

    def _judged(self, pool: Pool, plausibility: Scores) -> tuple[Floats, Floats]:
        """The scores of candidates, and the shares like them that are kept."""
        score = log_weights(pool, self.weights) + PLAUSIBILITY * plausibility
        gap: Floats = np.zeros(len(pool))
        if self.reader is not None:
            gap = gap + np.where(self._answered[pool.kind], 0.0, self.reader.gap(pool))
            score = score - gap
        kept = thinned(acceptance(pool, self.substitutions), self.settings.thinning, self._preference[pool.kind])
        if not self.settings.complete:
            kept = kept * untold_share(pool, self.weights, gap)
        return score, kept * plausible_share(pool, plausibility, self.settings.plausible)


def plausible_share(pool: Pool, plausibility: Scores, least: float) -> Floats:
    """Shares of the candidates like each one that are not refused for how plausible they are, [C], 0 to 1.

    Args:
        plausibility: [C], log odds of reading well.
        least: chance of it under which all are refused.
    """
    share = np.exp(STRICTNESS * np.minimum(plausibility - PLAUSIBLE, 0.0))
    is_unjudged = (pool.place < 0) & (plausibility == 0)
    chance = 1 / (1 + np.exp(-plausibility))
    return np.where(is_unjudged, 1.0, np.where(chance < least, 0.0, share))


@dataclass(frozen=True)
class ChoosePhase:
    """The negatives of a part, out of its candidates."""

    settings: ParseSettings
    pairs: Path
    candidates: Path
    plausible: Path
    found: Found

    def setup(self) -> PartFunction:
        chooser = Chooser.read(self.settings, self.candidates, self.found)
        return partial(_choose_part, self, chooser, read_slots(self.candidates))


def _choose_part(phase: ChoosePhase, chooser: Chooser, slots: SlotTable, index: int, folder: Path) -> PartRecord:
    pairs, candidates = phase.pairs, phase.candidates
    rows, pool = read_rows(pairs, index), read_pool(candidates, index)
    is_judged = chooser.settings.judge is not None  # in all parts, and not only in those that are learnt from
    plausibility = read_plausibility(phase.plausible, index) if is_judged else judge(slots, pool)
    chosen, score = chooser.choose(pool, plausibility)
    not_read = int(np.isneginf(plausibility).sum())
    refused = plausible_share(pool, plausibility, chooser.settings.plausible) == 0
    refused[chosen] = False
    implausible = int(refused.sum()) - not_read
    texts, captions = read_part(candidates, index).take(chosen), pool.caption[chosen]
    kind = np.array(chooser.settings.kinds)[pool.kind[chosen]]
    columns = read_part(pairs, index, ["key", "image_id", "caption"]).take(captions).to_pydict()
    columns |= {
        "negative": texts["negative"],
        "edits": texts["edits"],
        "kind": kind,
        "rule": texts["rule"] if chooser.settings.texts else kind,
    }
    columns |= {"slot": np.arange(len(chosen)) - np.searchsorted(captions, captions), "score": score[chosen]}
    table = pa.table({name: columns[name] for name in NEGATIVES.names}).cast(NEGATIVES)
    counts = Counts()
    counts.add_each("kind", kind.tolist())
    for group, of_some in (("admits", slice(None)), ("gets", chosen)):
        kinds, _ = np.unique(np.stack([pool.kind[of_some], pool.caption[of_some]]), axis=1)
        counts.add_each(group, np.array(chooser.settings.kinds)[kinds].tolist())
    given = np.unique(pool.caption[chosen])
    counts.update(
        pairs=len(rows),
        with_negatives=len(given),
        negatives=len(chosen),
        implausible=implausible,
        not_read=not_read,
        not_selected=len(pool) - len(chosen) - implausible - not_read,
    )
    left_out = set[int]() if chooser.settings.complete else set(pool.caption.tolist())
    for place in sorted(set(range(len(rows))) - set(given.tolist())):
        counts["none:left_out" if place in left_out else why_none(rows[place][2])] += 1
    return PartRecord(index, (write_table(folder, part_name(index), table),), dict(counts))
