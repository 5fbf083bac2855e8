"""What filters need to know of each pair, made once: hashes, signature, the truth's score, sets of words."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from itertools import pairwise
from pathlib import Path
from typing import Final

import numpy as np

from negmine.base.arrays import Ids, Mask, Places, Records
from negmine.base.hashing import hash64
from negmine.contract.records import THUMBNAIL_BYTES
from negmine.engine import PartFunction
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.scorers import Reranker
from negmine.stages.neighbours.word_sets import (
    COLUMNS,
    OF_IMAGES,
    Sets,
    normalised,
    parsed_sets,
    plain_sets,
    to_columns,
)
from negmine.store import PartRecord, folder_at, part_name, read_part, write_table
from negmine.store.arrays import read_array, write_array

PAIR_FEATURE: Final = np.dtype(
    [
        ("key", np.uint64),
        ("image", np.uint64),
        ("text", np.uint64),
        ("words", np.uint64),
        ("signature", np.uint64),
        ("thumbnail", np.uint8, (THUMBNAIL_BYTES,)),
        ("seen", np.bool_),
        ("first", np.bool_),
        ("captions", np.int32),
        ("positive", np.float32),
    ]
)
"""Hashes of key, image id, caption and its normalised words; the image's signature and thumbnail, and whether there are
any; whether the pair is the first of its image, and how many pairs that has; how similar its own truth is (NaN where
nothing tells)."""

_SETS: Final = "sets"
_AT_HAND: Final = 64
"""Parts whose sets of words a process keeps."""


@dataclass(frozen=True)
class PairFeaturesPhase:
    """`PAIR_FEATURE` for each pair, and the sets of words that some filter asks for (keys of `COLUMNS`)."""

    corpus: Corpus
    reranker: Reranker
    positive: str
    sets: tuple[str, ...]

    def setup(self) -> PartFunction:
        self.reranker.load()
        return partial(_facts_of_part, self)


def _facts_of_part(phase: PairFeaturesPhase, index: int, folder: Path) -> PartRecord:
    columns = ["key", "image_id", "caption", "signature", "thumbnail"]
    keys, images, captions, signatures, thumbnails = (
        read_part(phase.corpus.folder, index, columns)[name].to_pylist() for name in columns
    )
    features = np.empty(len(keys), dtype=PAIR_FEATURE)
    features["key"] = [hash64(key) for key in keys]
    features["image"] = [hash64(image) for image in images]
    features["text"] = [hash64(caption) for caption in captions]
    features["words"] = [hash64(normalised(caption)) for caption in captions]
    features["signature"] = [signature or 0 for signature in signatures]
    looks = b"".join(thumbnail or bytes(THUMBNAIL_BYTES) for thumbnail in thumbnails)
    features["thumbnail"] = np.frombuffer(looks, dtype=np.uint8).reshape(-1, THUMBNAIL_BYTES)
    features["seen"] = [signature is not None for signature in signatures]
    features["first"] = [at == 0 or images[at] != images[at - 1] for at in range(len(images))]
    features["captions"] = _group_sizes(features["first"])
    features["positive"] = phase.reranker.positives(index, features["first"], lowest=phase.positive == "lowest")

    files = [write_array(folder, part_name(index, "npy"), features)]
    if phase.sets:
        sets = _sets_of(captions, phase.sets)
        sets |= {name: _of_images(sets[name], features["first"]) for name in OF_IMAGES if name in sets}
        files.append(write_table(folder, part_name(index, stem=_SETS), to_columns(sets)))
    return PartRecord(index, tuple(files), {"pairs": len(features)})


def _sets_of(captions: Sequence[str], kinds: tuple[str, ...]) -> dict[str, list[list[int]]]:
    made = plain_sets(captions) if "words" in kinds else {}
    if set(kinds) - {"words"}:
        made |= parsed_sets(captions)
    wanted = {name for kind in kinds for name in COLUMNS[kind]}
    return {name: rows for name, rows in made.items() if name in wanted}


def _group_sizes(first: Mask) -> Places:
    """[n] how many rows the image of each has."""
    sizes = np.diff([*np.flatnonzero(first), len(first)])
    return np.repeat(sizes, sizes)


def _of_images(sets: Sequence[Sequence[int]], first: Mask) -> list[list[int]]:
    """What all captions of an image have together, at the first of them; nothing at the others."""
    starts = [*np.flatnonzero(first), len(first)]
    whole: list[list[int]] = [[] for _ in first]
    for start, end in pairwise(starts):
        whole[start] = sorted(set().union(*sets[start:end]))
    return whole


@dataclass(frozen=True)
class PairFeatures:
    """Reads what `PairFeaturesPhase` wrote."""

    corpus: Corpus
    folder: Path

    def of_part(self, part: int) -> Records:
        """[n] `PAIR_FEATURE` of a part."""
        return read_array(self.folder / part_name(part, "npy"), mapped=True)

    def first_of(self, part: int) -> Mask:
        """[n] True where the rows of an image begin."""
        return self.of_part(part)["first"]

    def first_ids(self, part: int) -> Ids:
        """[n] for each pair of a part the id of the first pair of its image."""
        first = self.first_of(part)
        return np.asarray(self.corpus.starts[part] + np.flatnonzero(first)[np.cumsum(first) - 1])

    def at(self, ids: Ids) -> Records:
        """`PAIR_FEATURE` of some pairs, in the shape of `ids`."""
        return self.corpus.gather(ids, self.of_part)

    def sets(self, ids: Ids, name: str) -> Sets:
        """One kind of set of some pairs [n]; what is told or covered is that of their images."""
        if name in OF_IMAGES:
            ids = self.corpus.gather(ids, self.first_ids)
        taken, order = [], []
        for part, where, places in self.corpus.split(ids):
            taken.append(self._sets_of_part(part, name).take(places))
            order.append(where)
        if not taken:
            return Sets(np.empty(0, dtype=np.int32), np.zeros(1, dtype=np.int64))
        sizes = np.concatenate([sets.sizes for sets in taken])
        values = np.concatenate([sets.values for sets in taken])
        back = np.argsort(np.concatenate(order), kind="stable")
        return Sets(values, np.concatenate([[0], np.cumsum(sizes)])).take(back)

    @cached_property
    def _sets_of_part(self) -> Callable[[int, str], Sets]:
        def read(part: int, name: str) -> Sets:
            import pyarrow.parquet as pq

            return Sets.of(
                pq.read_table(folder_at(self.folder).file(part_name(part, stem=_SETS)), columns=[name])[name]
            )

        return lru_cache(_AT_HAND)(read)

    def mean_positive(self) -> float:
        """Mean positive score of the corpus, for pairs that have none; 1 if no pair has one."""
        total, number = 0.0, 0
        for part in range(len(self.corpus.sizes)):
            positive = self.of_part(part)["positive"]
            known = positive[~np.isnan(positive)].astype(np.float64)
            total, number = total + float(known.sum()), number + len(known)
        return total / number if number else 1.0

    def most_captions(self, part: int) -> int:
        """Pairs of the image that has most of them, in a part; at least 1."""
        return int(self.of_part(part)["captions"].max(initial=1))
