"""What a causal language model makes of the best candidates of every caption: a phase over all parts.

Slots know nouns one at a time. A language model reads the whole sentence, and of a sample of our negatives it told the
odd ones from the good ones better (`docs/parse.md`). It takes longer for a text than all the rest of a choice, so it
reads of each caption only the candidates that would be chosen first; the others do not serve.
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
from negmine.language.slot_table import BOUNDS, SlotTable
from negmine.stages.negatives.balance.choosing import Chooser, Found
from negmine.stages.negatives.balance.judging import judge, read_slots
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import PartRecord, part_name, read_part
from negmine.store.arrays import write_array

MOST_JUDGED: Final = 16
"""Candidates of a caption that are read, at most."""

AS_LIKELY: Final = 2.5
"""Plausibility of a negative that is as likely as its caption; each nat that it is less likely takes one off."""


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
    place = chooser.best(pool, judge(slots, pool), MOST_JUDGED)
    captions = read_part(phase.pairs, index, ["caption"])["caption"].take(pool.caption[place]).to_pylist()
    negatives = read_part(phase.candidates, index, ["negative"])["negative"].take(place).to_pylist()
    scored = model.log_probabilities([*captions, *negatives])
    found = by_likelihood(len(pool), place, scored[: len(place)] - scored[len(place) :])
    return PartRecord(
        index,
        (write_array(folder, part_name(index, "npy"), found),),
        {"pairs": phase.sizes[index], "judged": len(place)},
    )


def by_likelihood(candidates: int, place: Places, gap: Floats) -> Scores:
    """The plausibility of each of C candidates, [C] float32; -inf of those that were not read.

    Args:
        place: [R], of those that were read.
        gap: [R], log probability of the caption less that of the negative, nats.
    """
    found = np.full(candidates, -np.inf, dtype=np.float32)
    found[place] = np.clip(AS_LIKELY - gap, *BOUNDS)
    return found
