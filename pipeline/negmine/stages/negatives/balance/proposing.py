"""The second phase of a balanced choice: all candidates, as texts and as a pool of arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from negmine.contract.records import edits_column
from negmine.engine import PartFunction
from negmine.stages.negatives.balance.corpus import FOLDS, Corpus
from negmine.stages.negatives.balance.counting import WORDS, read_corpus
from negmine.stages.negatives.balance.pool import Pool, make_pool
from negmine.stages.negatives.balance.weights import count_substitutions
from negmine.stages.negatives.candidates import ParseWorker, Row, no_collection, read_rows
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, fetch_local, part_name, write_table
from negmine.store.arrays import read_arrays, write_array, write_arrays

SUBSTITUTIONS: Final = "substitutions.npy"
FIRST_WEIGHTS: Final = "no-weights.npy"


@dataclass(frozen=True)
class ProposePhase:
    """All candidates for the captions of a part: their texts as a table, what they are judged by as a pool."""

    settings: ParseSettings
    pairs: Path
    counts: Path

    def setup(self) -> PartFunction:
        words = json.loads(fetch_local(self.counts / WORDS).read_text())
        worker = ParseWorker(self.settings, counts=words)
        worker.setup()
        return partial(_propose_part, self.pairs, worker, read_corpus(self.counts))


def _propose_part(pairs: Path, worker: ParseWorker, corpus: Corpus, index: int, folder: Path) -> PartRecord:
    with no_collection():
        return _proposed(read_rows(pairs, index), worker, corpus, index, folder)


def _proposed(rows: list[Row], worker: ParseWorker, corpus: Corpus, index: int, folder: Path) -> PartRecord:
    found, counts = worker.candidates_of(rows)
    settings = worker.settings
    pool = make_pool(rows, found, settings.rules, corpus, settings.seed)
    flat = [candidate for several in found for candidate in several]
    texts = pa.table({"negative": [c.negative for c in flat], "edits": edits_column([c.edits for c in flat])})
    files = (
        write_table(folder, part_name(index), texts),
        write_arrays(folder, part_name(index, "npy"), pool),
    )
    return PartRecord(index, files, {"pairs": len(rows), **counts})


def write_substitutions(folder: Path, parts: int, slots: int) -> list[FileRecord]:
    """How often substitutions of closed-class words are kept, and the weights that the first round begins with."""
    substitutions = count_substitutions(read_pool(folder, index) for index in range(parts))
    nothing = np.zeros((FOLDS, slots), dtype=np.float32)
    return [write_arrays(folder, SUBSTITUTIONS, substitutions), write_array(folder, FIRST_WEIGHTS, nothing)]


def read_pool(folder: Path, index: int) -> Pool:
    """The candidates of a part."""
    return read_arrays(folder / part_name(index, "npy"), Pool)
