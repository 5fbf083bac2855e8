"""How plausible is each noun where it is put in, by captions of other images: a phase for the parts learnt from.

The others are judged when they are chosen from, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from negmine.base.arrays import Scores
from negmine.engine import PartFunction
from negmine.language.slot_table import SlotCounts, SlotTable, packaged_slots
from negmine.stages.negatives.balance.oddness import judge
from negmine.stages.negatives.balance.proposing import NOUNS, read_pool
from negmine.store import PartRecord, part_name
from negmine.store.arrays import read_array, read_arrays, write_array


@dataclass(frozen=True)
class JudgePhase:
    """The plausibility of the candidates of a part."""

    candidates: Path
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        return partial(_judge_part, read_slots(self.candidates), self.candidates, self.sizes)


def _judge_part(table: SlotTable, candidates: Path, sizes: tuple[int, ...], index: int, folder: Path) -> PartRecord:
    judged = write_array(folder, part_name(index, "npy"), judge(table, read_pool(candidates, index)))
    return PartRecord(index, (judged,), {"pairs": sizes[index]})


def read_slots(candidates: Path) -> SlotTable:
    """Which nouns stand where, by the packaged captions and those learnt from."""
    return packaged_slots().with_counts(read_arrays(candidates / NOUNS, SlotCounts))


def read_plausibility(folder: Path, index: int) -> Scores:
    """What `JudgePhase` found of a part's candidates."""
    return read_array(folder / part_name(index, "npy"))
