"""What a causal language model makes of the best candidates of every caption: a phase over all parts.

Slots know nouns one at a time. A language model reads the whole sentence, and what it says adds to what they say
(`docs/parse.md`). It takes longer for a text than all the rest of a choice, so it reads of each caption only the
candidates that would be chosen first; the others do not serve.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.arrays import Floats, Places, Scores
from negmine.encoders.causal import CausalModel
from negmine.engine import PartFunction
from negmine.language.slot_table import SlotTable
from negmine.stages.negatives.balance.choosing import Chooser, Found
from negmine.stages.negatives.balance.judging import read_slots
from negmine.stages.negatives.balance.oddness import MOST, judge
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import PartRecord, part_name, read_part
from negmine.store.arrays import write_array

MOST_JUDGED: Final = 16
"""Candidates of a caption that are read, at most."""

PER_NAT: Final = 0.2
"""Log odds of reading well that a nat takes off by which a negative is less likely than its caption."""

USUAL_GAP: Final = 1.7
"""By how many nats a negative usually is."""

OTHERWISE: Final = 1.4
"""Log odds that what puts in no noun reads well: four of five do."""


@dataclass(frozen=True)
class LikelihoodPhase:
    """The plausibility of the candidates of a part, by a language model."""

    settings: ParseSettings
    pairs: Path
    candidates: Path
    found: Found
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        assert self.settings.judge is not None
        model = CausalModel(self.settings.judge)
        model.load()
        chooser = Chooser.read(self.settings, self.candidates, self.found)
        return partial(_judge_part, self, model, chooser, read_slots(self.candidates))


def _judge_part(
    phase: LikelihoodPhase, model: CausalModel, chooser: Chooser, slots: SlotTable, index: int, folder: Path
) -> PartRecord:
    pool = read_pool(phase.candidates, index)
    before = judge(slots, pool)
    place = chooser.best(pool, before, MOST_JUDGED)
    captions = read_part(phase.pairs, index, ["caption"])["caption"].take(pool.caption[place]).to_pylist()
    negatives = read_part(phase.candidates, index, ["negative"])["negative"].take(place).to_pylist()
    scored = model.log_probabilities([*captions, *negatives])
    before = np.where(pool.place < 0, OTHERWISE, before)
    found = by_likelihood(before, place, scored[: len(place)] - scored[len(place) :])
    return PartRecord(
        index,
        (write_array(folder, part_name(index, "npy"), found),),
        {"pairs": phase.sizes[index], "judged": len(place)},
    )


def by_likelihood(before: Scores, place: Places, gap: Floats) -> Scores:
    """Log odds that each candidate reads well, [C] float32; -inf of those that were not read.

    Args:
        before: [C], the same without the model.
        place: [R], of those that were read.
        gap: [R], log probability of the caption less that of the negative, nats.
    """
    found = np.full(len(before), -np.inf, dtype=np.float32)
    found[place] = np.clip(before[place] - PER_NAT * (gap - USUAL_GAP), -MOST, MOST)
    return found
