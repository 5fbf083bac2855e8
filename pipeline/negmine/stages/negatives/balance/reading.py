"""What an encoder makes of the best candidates of a sample of the captions: a phase for the parts learnt from.

An encoder takes longer for a text than all the rest of a choice. So it reads some thousand captions, whatever the size
of the corpus, and of each the dozen candidates that would be chosen first.
"""

from __future__ import annotations

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.arrays import Codes, Halves, Places, Scores
from negmine.base.errors import InputError, UsageError
from negmine.base.hashing import hash64
from negmine.encoders import make_encoder
from negmine.encoders.base import Encoder
from negmine.engine import PartFunction
from negmine.stages.negatives.balance.choosing import Chooser, Found
from negmine.stages.negatives.balance.fast_reader import PARTS, Vocabulary, pieces
from negmine.stages.negatives.balance.judging import read_plausibility
from negmine.stages.negatives.balance.ngrams import split, word_hash
from negmine.stages.negatives.balance.pool import Pool
from negmine.stages.negatives.balance.proposing import read_pool
from negmine.stages.negatives.balance.teaching import Lessons
from negmine.stages.negatives.settings import ParseSettings
from negmine.store import FileRecord, PartRecord, folder_at, part_name, read_part, write_text
from negmine.store.arrays import read_arrays, write_arrays

CAPTIONS_READ: Final = 4_000
"""Captions that the encoder reads with their candidates, about."""

FEWEST_READ: Final = 1_000
"""Captions without which there is nothing to learn."""

DOZEN: Final = 12
"""Candidates of a caption that it reads, at most."""

DIMENSIONS: Final = 64
"""Of the vectors of words that the fast reader sees: the first principal components of the encoder's."""

LESSONS: Final = "lessons.npy"
VOCABULARY: Final = "vocabulary.npy"
_WORDS: Final = "words"


def check_reader(name: str) -> str:
    """What tells the weights of a reader's encoder from others.

    Raises:
        UsageError: there is no such encoder, it is not installed, or it does not read texts.
    """
    encoder = make_encoder(name, "text")
    if encoder.by_key:
        raise UsageError(f"{name} knows the rows of pairs, and reads no other text", fix="name an encoder of texts")
    return encoder.identity()


@dataclass(frozen=True)
class Readings:
    """What the encoder made of R candidates of a part, those of one caption in a run.

    Attributes:
        place: [R], of the candidates in their pool.
        fold: [R], of the images.
        pair: [R], row of the caption's vector.
        negative: [R, E] float16, unit vectors of the candidates.
        caption: [N, E] float16, of the captions.
    """

    place: Places
    fold: Codes
    pair: Places
    negative: Halves
    caption: Halves


@dataclass(frozen=True)
class ReadPhase:
    """The readings of a part, and its words.

    Attributes:
        encoder: by name, see `negmine.encoders`.
        share: of the images that are read, 0 to 1.
    """

    settings: ParseSettings
    encoder: str
    share: float
    pairs: Path
    candidates: Path
    plausible: Path
    found: Found
    sizes: tuple[int, ...]

    def setup(self) -> PartFunction:
        encoder = make_encoder(self.encoder, "text")
        encoder.load()
        return partial(_read_part, self, encoder, Chooser.read(self.settings, self.candidates, self.found))


def _read_part(phase: ReadPhase, encoder: Encoder, chooser: Chooser, index: int, folder: Path) -> PartRecord:
    pool, pairs = read_pool(phase.candidates, index), read_part(phase.pairs, index, ["image_id", "caption"])
    is_read = np.array([hash64(f"read {image}") < phase.share * 2**64 for image in pairs["image_id"].to_pylist()])
    place = chooser.first(pool, read_plausibility(phase.plausible, index), is_read[pool.caption], DOZEN)
    rows, pair = np.unique(pool.caption[place], return_inverse=True)
    negatives = read_part(phase.candidates, index, ["negative"])["negative"].take(place).to_pylist()
    captions = pairs["caption"].take(rows).to_pylist()
    vectors = encoded(encoder, [*negatives, *captions], phase.encoder)
    readings = Readings(place, pool.fold[place], pair, vectors[: len(place)], vectors[len(place) :])
    words = sorted({word for text in (*negatives, *captions) for word in split(text)})
    files = (
        write_arrays(folder, part_name(index, "npy"), readings),
        write_text(folder, part_name(index, "json", _WORDS), json.dumps(words)),
    )
    return PartRecord(index, files, {"pairs": phase.sizes[index]})


def encoded(encoder: Encoder, texts: list[str], name: str) -> Halves:
    """Unit rows of texts, [N, E] float16, each distinct text encoded once, among others of its length.

    Raises:
        InputError: the encoder gave rows that are zero or not finite.
    """
    distinct = sorted(set(texts), key=lambda text: (len(text), text))
    with _fast():
        rows = encoder.encode(distinct, distinct) if distinct else np.zeros((0, 1), dtype=np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if bad.size:
        raise InputError(
            f"the reader's encoder gave {bad.size:,} rows that are zero or not finite",
            where=name,
            why=f"first: {distinct[bad[0]]!r}"[:200],
            fix="look at its weights, or name another --reader",
        )
    row = {text: number for number, text in enumerate(distinct)}
    found: Halves = rows[[row[text] for text in texts]].astype(np.float16)
    return found


def _fast() -> AbstractContextManager[None]:
    """Products in bfloat16 on a processor that has them: nearly twice as fast."""
    import torch

    able = torch.cpu.get_capabilities()
    return torch.autocast("cpu", torch.bfloat16, enabled=bool(able.get("avx512_bf16") or able.get("amx_bf16")))


def write_lessons(folder: Path, encoder: str, candidates: Path, parts: int) -> list[FileRecord]:
    """The words of the parts as vectors, and what is learnt from in all of them."""
    readings = [read_arrays(folder / part_name(index, "npy"), Readings) for index in range(parts)]
    vocabulary = _vocabulary(folder, encoder, parts)
    shares = np.broadcast_to(vocabulary.vectors, (PARTS, *vocabulary.vectors.shape))
    seen = [_seen(read_pool(candidates, index), part.place, vocabulary, shares) for index, part in enumerate(readings)]
    captions = np.cumsum([0, *(len(part.caption) for part in readings)])
    pair = np.concatenate([part.pair + start for part, start in zip(readings, captions[:-1], strict=True)])
    negative, caption = (np.concatenate([getattr(part, name) for part in readings]) for name in ("negative", "caption"))
    fold = np.concatenate([part.fold for part in readings])
    return [
        write_arrays(folder, VOCABULARY, vocabulary),
        write_arrays(folder, LESSONS, Lessons(fold, pair, negative, caption, np.concatenate(seen))),
    ]


def _vocabulary(folder: Path, encoder: str, parts: int) -> Vocabulary:
    words = sorted(
        {
            word
            for index in range(parts)
            for word in json.loads(folder_at(folder).text(part_name(index, "json", _WORDS)))
        }
    )
    made = make_encoder(encoder, "text")
    made.load()
    rows = encoded(made, words, encoder).astype(np.float64)
    rows -= rows.mean(axis=0)
    _, _, axes = np.linalg.svd(rows, full_matrices=False)
    vectors = rows @ axes[:DIMENSIONS].T
    vectors /= max(float(vectors.std()), 1e-9)
    hashes = np.array([word_hash(word) for word in words], dtype=np.uint64)
    order = np.argsort(hashes)
    return Vocabulary(
        hashes[order], np.concatenate([vectors[order], np.zeros((1, vectors.shape[1]))]).astype(np.float32)
    )


def _seen(pool: Pool, place: Places, vocabulary: Vocabulary, shares: Scores) -> Halves:
    found = pieces(pool, place, vocabulary.numbers(pool.text), vocabulary.numbers(pool.put), shares)
    return np.concatenate(found, axis=1).astype(np.float16)
