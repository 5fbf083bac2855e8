"""The second phase of a balanced choice: all candidates, as texts and as a pool of arrays."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from negmine.base.folds import FOLDS
from negmine.contract.records import edits_column
from negmine.engine import PartFunction
from negmine.language.slot_table import SlotCounts, added, counted, packaged_slots, without_rare
from negmine.stages.negatives.balance.corpus import Corpus
from negmine.stages.negatives.balance.counting import TOGETHER, WORDS, read_corpus
from negmine.stages.negatives.balance.ngrams import ragged
from negmine.stages.negatives.balance.pool import Pool, make_pool
from negmine.stages.negatives.balance.weights import count_substitutions
from negmine.stages.negatives.candidates import ParseWorker, Row, no_collection, read_rows
from negmine.stages.negatives.offered import Offered, read_offered
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, folder_at, part_name, write_table
from negmine.store.arrays import read_arrays, write_array, write_arrays

SUBSTITUTIONS: Final = "substitutions.npy"
NOUNS: Final = "nouns.npy"
FIRST_WEIGHTS: Final = "no-weights.npy"


@dataclass(frozen=True)
class ProposePhase:
    """All candidates for the captions of a part: their texts as a table, what they are judged by as a pool."""

    settings: ParseSettings
    pairs: Path
    counts: Path

    def setup(self) -> PartFunction:
        words, together = (json.loads(folder_at(self.counts).text(name)) for name in (WORDS, TOGETHER))
        worker = ParseWorker(self.settings, counts=words, together=together)
        worker.setup()
        return partial(_propose_part, self.pairs, worker, read_corpus(self.counts))


def _propose_part(pairs: Path, worker: ParseWorker, corpus: Corpus, index: int, folder: Path) -> PartRecord:
    with no_collection():
        offered = read_offered(pairs.parent, worker.settings.texts, index)
        return _proposed(read_rows(pairs, index), offered, worker, corpus, index, folder)


def _proposed(
    rows: list[Row], offered: Offered, worker: ParseWorker, corpus: Corpus, index: int, folder: Path
) -> PartRecord:
    found, counts = worker.candidates_of(rows, offered)
    settings = worker.settings
    pool = make_pool(rows, found, settings.kinds, corpus, settings.seed)
    flat = [candidate for several in found for candidate in several]
    columns = {"negative": [c.negative for c in flat], "edits": edits_column([c.edits for c in flat])}
    texts = pa.table(columns | ({"rule": [c.rule for c in flat]} if settings.texts else {}))
    files = (
        write_table(folder, part_name(index), texts),
        write_arrays(folder, part_name(index, "npy"), pool),
    )
    return PartRecord(index, files, {"pairs": len(rows), **counts})


def write_substitutions(folder: Path, parts: int, slots: int) -> list[FileRecord]:
    """How often substitutions of closed-class words are kept, which nouns stand where, and the first weights."""
    substitutions = count_substitutions(read_pool(folder, index) for index in range(parts))
    nouns = packaged_slots().counts
    for index in range(parts):
        nouns = added([nouns, count_nouns(read_pool(folder, index))])
    nothing = np.zeros((FOLDS, slots), dtype=np.float32)
    return [
        write_arrays(folder, SUBSTITUTIONS, substitutions),
        write_arrays(folder, NOUNS, without_rare(nouns)),
        write_array(folder, FIRST_WEIGHTS, nothing),
    ]


def count_nouns(pool: Pool) -> SlotCounts:
    """Nouns of captions by the slots they fill, of the places in which candidates put in another."""
    first = np.flatnonzero(np.diff(pool.place, prepend=-1) > 0)  # candidates that begin a place
    first = first[np.unique(pool.place[first], return_index=True)[1]]
    known = first[pool.noun[first, 1] >= 0]
    places = pool.place[known]
    rows, filled = ragged(pool.filled_starts[places], np.diff(pool.filled_starts)[places])
    return counted(pool.filled[filled], pool.noun[known, 1][rows], pool.place_fold[places][rows])


def read_pool(folder: Path, index: int) -> Pool:
    """The candidates of a part."""
    return read_arrays(folder / part_name(index, "npy"), Pool)
