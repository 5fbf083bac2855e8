"""The first phase of a balanced choice: what the corpus says, counted part by part."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.folds import FOLDS, fold_of
from negmine.engine import PartFunction
from negmine.stages.negatives.balance.corpus import Corpus, Tally, corpus_of, count
from negmine.stages.negatives.balance.ngrams import as_texts
from negmine.stages.negatives.candidates import ParseWorker, read_rows
from negmine.stages.negatives.frequency import count_words, known_words
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, folder_at, part_name, write_text
from negmine.store.arrays import read_array, read_arrays, write_array, write_arrays

WORDS: Final = "words.json"
TALLIED: Final = "counts.npy"
SIZES: Final = "sizes.npy"


@dataclass(frozen=True)
class CountPhase:
    """N-grams, words of one caption, and how often known words are used, of a part."""

    settings: ParseSettings
    pairs: Path
    bits: int

    def setup(self) -> PartFunction:
        worker = ParseWorker(self.settings)
        return partial(_count_part, self.pairs, known_words(worker.words), self.bits)


def _count_part(pairs: Path, known: frozenset[str], bits: int, index: int, folder: Path) -> PartRecord:
    rows = read_rows(pairs, index)
    texts = as_texts([caption for _, _, caption in rows])
    folds = np.array([fold_of(image) for _, image, _ in rows], dtype=np.int64)
    sizes = np.stack([np.bincount(folds, minlength=FOLDS), np.bincount(folds, np.diff(texts.starts), FOLDS)])
    words = count_words((caption for _, _, caption in rows), known)
    files = (
        write_arrays(folder, part_name(index, "npy"), count(texts, folds, bits)),
        write_array(folder, part_name(index, "npy", "sizes"), sizes.astype(np.int64)),
        write_text(folder, part_name(index, "json", "words"), json.dumps(words, sort_keys=True)),
    )
    return PartRecord(index, files, {"pairs": len(rows)})


def write_corpus(folder: Path, parts: int, bits: int) -> list[FileRecord]:
    """What all counted parts say together."""
    words, sizes = Counter[str](), np.zeros((2, FOLDS), dtype=np.int64)
    for index in range(parts):
        words.update(json.loads(folder_at(folder).text(part_name(index, "json", "words"))))
        sizes += read_array(folder / part_name(index, "npy", "sizes"))
    tallies = (read_arrays(folder / part_name(index, "npy"), Tally) for index in range(parts))
    corpus = corpus_of(tallies, sizes[0], sizes[1], bits)
    return [
        write_array(folder, TALLIED, corpus.counts),
        write_array(folder, SIZES, np.stack([corpus.captions, corpus.words])),
        write_text(folder, WORDS, json.dumps(words, sort_keys=True)),
    ]


def read_corpus(folder: Path) -> Corpus:
    return Corpus(read_array(folder / TALLIED, mapped=True), *read_array(folder / SIZES))
