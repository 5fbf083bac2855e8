"""The first phase of a balanced choice: what the corpus says, counted part by part."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.folds import FOLDS, fold_of
from negmine.engine import PartFunction
from negmine.language.co_mention import Mentions, NounFinder, put_in
from negmine.stages.negatives.balance.corpus import Corpus, Tally, corpus_of, count
from negmine.stages.negatives.balance.ngrams import as_texts
from negmine.stages.negatives.candidates import ParseWorker, Row, read_rows
from negmine.stages.negatives.frequency import count_words, known_words
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, folder_at, part_name, write_text
from negmine.store.arrays import read_array, read_arrays, write_array, write_arrays

WORDS: Final = "words.json"
TALLIED: Final = "counts.npy"
SIZES: Final = "sizes.npy"
TOGETHER: Final = "together.json"

MOST_OF_AN_IMAGE: Final = 64
"""Captions of an image that are counted for what is said together: one with thousands speaks for itself only."""


@dataclass(frozen=True)
class CountPhase:
    """N-grams, words of one caption, how often known words are used, and what is said of one image, of a part."""

    settings: ParseSettings
    pairs: Path
    bits: int

    def setup(self) -> PartFunction:
        words = ParseWorker(self.settings).words
        nouns, others = NounFinder(words.vocabulary), put_in(words.vocabulary)
        return partial(_count_part, self.pairs, known_words(words), nouns, others, self.bits)


def _count_part(
    pairs: Path,
    known: frozenset[str],
    nouns: NounFinder,
    others: frozenset[str],
    bits: int,
    index: int,
    folder: Path,
) -> PartRecord:
    rows = read_rows(pairs, index)
    texts = as_texts([caption for _, _, caption in rows])
    folds = np.array([fold_of(image) for _, image, _ in rows], dtype=np.int64)
    sizes = np.stack([np.bincount(folds, minlength=FOLDS), np.bincount(folds, np.diff(texts.starts), FOLDS)])
    words = count_words((caption for _, _, caption in rows), known)
    files = (
        write_arrays(folder, part_name(index, "npy"), count(texts, folds, bits)),
        write_array(folder, part_name(index, "npy", "sizes"), sizes.astype(np.int64)),
        write_text(folder, part_name(index, "json", "words"), json.dumps(words, sort_keys=True)),
        write_text(folder, part_name(index, "json", "mentions"), _as_json(count_mentions(rows, nouns, others))),
    )
    return PartRecord(index, files, {"pairs": len(rows)})


def count_mentions(rows: Sequence[Row], nouns: NounFinder, others: frozenset[str]) -> Mentions:
    """What the captions of a part, which holds all captions of each of its images, say of one image."""
    images = dict[str, set[str]]()
    for _, image, caption in rows:
        images.setdefault(image, set()).add(caption)
    mentions = Mentions()
    for captions in images.values():
        if len(captions) > 1:
            mentions.add_image(map(nouns.concepts, sorted(captions)[:MOST_OF_AN_IMAGE]), others)
    return mentions


def _as_json(mentions: Mentions) -> str:
    pairs = [[*pair, times, mentions.images[pair]] for pair, times in sorted(mentions.both.items())]
    return json.dumps([mentions.captions, mentions.said, mentions.beside, pairs], sort_keys=True)


def _of_json(text: str) -> Mentions:
    captions, said, beside, pairs = json.loads(text)
    both, images = ({(one, other): numbers[at] for one, other, *numbers in pairs} for at in (0, 1))
    return Mentions(captions, Counter(said), Counter(beside), Counter(both), Counter(images))


def write_corpus(folder: Path, parts: int, bits: int) -> list[FileRecord]:
    """What all counted parts say together."""
    words, sizes, mentions = Counter[str](), np.zeros((2, FOLDS), dtype=np.int64), Mentions()
    for index in range(parts):
        words.update(json.loads(folder_at(folder).text(part_name(index, "json", "words"))))
        mentions.add(_of_json(folder_at(folder).text(part_name(index, "json", "mentions"))))
        sizes += read_array(folder / part_name(index, "npy", "sizes"))
    tallies = (read_arrays(folder / part_name(index, "npy"), Tally) for index in range(parts))
    corpus = corpus_of(tallies, sizes[0], sizes[1], bits)
    return [
        write_array(folder, TALLIED, corpus.counts),
        write_array(folder, SIZES, np.stack([corpus.captions, corpus.words])),
        write_text(folder, WORDS, json.dumps(words, sort_keys=True)),
        write_text(folder, TOGETHER, json.dumps(list(mentions.together()))),
    ]


def read_corpus(folder: Path) -> Corpus:
    return Corpus(read_array(folder / TALLIED, mapped=True), *read_array(folder / SIZES))
