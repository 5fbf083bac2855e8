"""Embeddings of the pairs, a part of rows for each part of pairs: ``embeddings/ENCODER-MODALITY/part-00000.npy``."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from negmine.base.arrays import Vectors
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.encoders import make_encoder
from negmine.encoders.base import CHUNK, Encoder, Item, Modality
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.images.decode import BadImageError
from negmine.images.locate import PLACE, ImageRoot
from negmine.store import Manifest, PartRecord, Spec, Store, is_other, part_name, read_part
from negmine.store.arrays import write_array
from negmine.store.work_folder import Stage, WorkFolder

STAGE = "embeddings"
LONGEST = 200
"""Characters of an encoder's name that its folder has; a name of a file has 255 bytes at most."""


def embed(encoder: str, modality: Modality, work: WorkFolder, engine: Engine, *, overwrite: bool = False) -> Path:
    """Embed the captions or images of all pairs, unless that was done. Returns the folder.

    Args:
        overwrite: make embeddings of other pairs or other weights anew; the same ones are used again all the same.

    Raises:
        UsageError: an encoder that is not there, or images are asked for and the pairs were read without.
    """
    pairs, images = work.pairs, work.image_root
    made = make_encoder(encoder, modality)
    if modality == "image" and images is None and not made.by_key:
        raise UsageError(
            "the pairs were read without images",
            where=str(work.path),
            fix="read them again: negmine retrieve PAIRS --images FOLDER --overwrite",
        )
    folder = work.path / STAGE / f"{_folder_name(encoder)}-{modality}"
    weights = made.identity()
    settings = {"encoder": encoder, "modality": modality}
    inputs = {"pairs": pairs.digest, "weights": weights}
    spec = Spec(STAGE, settings, inputs, {"torch": version("torch"), "numpy": version("numpy")})

    def run(store: Store) -> Manifest:
        phase = EmbedPhase(encoder, modality, work.path / Stage.PAIRS, images)
        title = f"embedding {modality}s with {encoder.partition(':')[0]}"
        run_phase(store, phase, engine, len(pairs.parts), title=title, unit="pairs", total=pairs.counts["pairs"])
        return store.finish()

    run_stage(folder, spec, run, engine.share, overwrite=overwrite and is_other(folder, spec))
    return folder


def _folder_name(encoder: str) -> str:
    """An encoder's name in characters and of a length that every file system takes."""
    name = re.sub(r"[^0-9A-Za-z.]+", "_", encoder)
    return name if len(name) <= LONGEST else f"{name[-LONGEST:]}_{sha256(encoder.encode()).hexdigest()[:8]}"


@dataclass(frozen=True)
class EmbedPhase:
    """Embed one modality of the pairs; each distinct item of a part once."""

    encoder: str
    modality: Modality
    pairs: Path
    images: str | None

    def setup(self) -> PartFunction:
        encoder = make_encoder(self.encoder, self.modality)
        encoder.load()
        fetch: Fetch = _captions
        if self.modality == "image" and not encoder.by_key:
            fetch = partial(_images, ImageRoot(self.images or "."))
        columns = ["key", "caption"] if self.modality == "text" else ["key", *PLACE]
        return partial(_embed_part, self.pairs, encoder, columns, fetch)


Cells = tuple[Any, ...]
"""Of a row: a caption, or the place of an image, as the encoder's columns are."""

Fetch = Callable[[Sequence[Cells]], list[Item]]


def _captions(rows: Sequence[Cells]) -> list[Item]:
    return [row[0] for row in rows]


def _images(root: ImageRoot, rows: Sequence[Cells]) -> list[Item]:
    return [known_image(root, row) for row in rows]


def known_image(root: ImageRoot, place: Cells) -> bytes:
    """An image that was looked at when the pairs were read; `place` has the columns `PLACE`.

    Raises:
        DamagedError: it is not there any more, or is another one.
    """
    try:
        return root.read(*place)
    except BadImageError as error:
        raise DamagedError(
            "an image changed since the pairs were read", why=str(error), fix="read the pairs again with --overwrite"
        ) from None


def _embed_part(
    pairs: Path, encoder: Encoder, columns: list[str], fetch: Fetch, index: int, folder: Path
) -> PartRecord:
    table = read_part(pairs, index, columns)
    keys, *items = (table[name].to_pylist() for name in columns)
    rows = list(zip(*items, strict=True))
    distinct, place = _distinct(keys, rows, by_key=encoder.by_key)
    order = sorted(range(len(distinct)), key=lambda at: (len(str(distinct[at][1][0])), distinct[at][1]))
    vectors = _encode(encoder, [distinct[at] for at in order], fetch)
    back = np.empty(len(order), dtype=np.int64)
    back[order] = np.arange(len(order))
    aligned = vectors[back[place]]
    bad = np.flatnonzero(~np.isfinite(aligned).all(axis=1))
    if bad.size:
        raise InputError(
            f"the encoder gave {bad.size:,} rows that are zero or not finite",
            where=f"part {index}, first: key {keys[bad[0]]}",
            fix="look at its weights and at these items, or use another --encoder",
        )

    return PartRecord(index, (write_array(folder, part_name(index, "npy"), aligned),), {"pairs": len(aligned)})


def _distinct(keys: list[str], rows: list[Cells], *, by_key: bool) -> tuple[list[tuple[str, Cells]], list[int]]:
    """Each item once, with the first key it has, and for every row the place of its item."""
    seen: dict[str | Cells, int] = {}
    distinct: list[tuple[str, Cells]] = []
    place = []
    for key, row in zip(keys, rows, strict=True):
        identity = key if by_key else row
        if identity not in seen:
            seen[identity] = len(distinct)
            distinct.append((key, row))
        place.append(seen[identity])
    return distinct, place


def _encode(encoder: Encoder, items: list[tuple[str, Cells]], fetch: Fetch) -> Vectors:
    """Encode in chunks, so that only some images are in memory."""
    chunks = []
    for start in range(0, len(items), CHUNK):
        chunk = items[start : start + CHUNK]
        chunks.append(encoder.encode([key for key, _ in chunk], fetch([row for _, row in chunk])))
    return np.concatenate(chunks) if chunks else np.empty((0, 0), dtype=np.float32)
