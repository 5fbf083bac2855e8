"""A varied choice: candidates and choice in one phase, caption by caption."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from negmine.contract.records import NEGATIVES, to_table
from negmine.engine import PartFunction
from negmine.stages.negatives.candidates import ParseWorker, no_collection, read_rows
from negmine.stages.negatives.offered import read_offered
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import PartRecord, part_name, write_table


@dataclass(frozen=True)
class VariedPhase:
    """Negatives for the captions of a part, chosen for variety."""

    settings: ParseSettings
    pairs: Path

    def setup(self) -> PartFunction:
        worker = ParseWorker(self.settings)
        worker.setup()
        return partial(_varied_part, self.pairs, worker)


def _varied_part(pairs: Path, worker: ParseWorker, index: int, folder: Path) -> PartRecord:
    with no_collection():
        offered = read_offered(pairs.parent, worker.settings.texts, index)
        negatives, counts = worker.negatives_of(read_rows(pairs, index), offered)
    return PartRecord(index, (write_table(folder, part_name(index), to_table(negatives, NEGATIVES)),), counts)
