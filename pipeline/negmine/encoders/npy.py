"""Embeddings that somebody made already: ``FILE.npy`` [N, D] and ``FILE.keys``, the key of each row, one a line."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from negmine.base.arrays import Places, Vectors
from negmine.base.errors import InputError, UsageError
from negmine.encoders.base import Item, Modality, normalise
from negmine.store import file_sha256

Mapped = np.memmap[tuple[int, int], np.dtype[np.floating]]


class Ready:
    """Looks rows up by key. Memory: 16 bytes a row for the keys; the rows themselves stay on the disk."""

    modalities: tuple[Modality, ...] = ("text", "image")
    by_key = True

    def __init__(self, argument: str, modality: Modality) -> None:
        self._path = Path(argument)
        self._keys = self._path.with_suffix(".keys")

    def identity(self) -> str:
        for path in (self._path, self._keys):
            if not path.is_file():
                raise UsageError(
                    "there is no such file",
                    where=str(path),
                    fix="npy:FILE.npy needs FILE.npy with the rows and FILE.keys with their keys",
                )
        return f"{file_sha256(self._path)} {file_sha256(self._keys)}"

    def load(self) -> None:
        from negmine.base.hashing import hash64

        self._rows = self._open()
        try:
            with self._keys.open(encoding="utf-8") as lines:
                hashes = np.fromiter((hash64(line.rstrip("\r\n")) for line in lines), dtype=np.uint64)
        except UnicodeDecodeError as error:
            raise InputError(
                "these keys are no UTF-8", where=str(self._keys), why=str(error), fix="save them as UTF-8"
            ) from None
        if len(hashes) != len(self._rows):
            raise InputError(
                "embeddings and keys differ in length",
                where=str(self._path),
                why=f"{len(self._rows):,} rows, {len(hashes):,} keys",
                fix="write both from the same list",
            )
        self._order = np.argsort(hashes, kind="stable")
        self._hashes = hashes[self._order]
        repeated = int(np.count_nonzero(self._hashes[1:] == self._hashes[:-1]))
        if repeated:
            raise InputError(
                "a key has several embeddings",
                where=str(self._keys),
                why=f"{repeated:,} repeated keys",
                fix="keep one row a key",
            )

    def _read(self, places: Places) -> Vectors:
        """Some rows, read one by one: pages of a mapped file would count as memory."""
        size = self._rows.shape[1] * self._rows.dtype.itemsize
        with self._path.open("rb", buffering=0) as file:
            handle = file.fileno()
            content = b"".join(os.pread(handle, size, self._rows.offset + int(place) * size) for place in places)
        rows = np.frombuffer(content, dtype=self._rows.dtype).reshape(len(places), -1)
        return rows.astype(np.float32)

    def _open(self) -> Mapped:
        try:
            rows: Mapped = np.load(self._path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as error:
            raise InputError(
                "this is not a NumPy array",
                where=str(self._path),
                why=str(error),
                fix="write it with numpy.save, allow_pickle=False",
            ) from None
        if rows.ndim != 2 or rows.dtype.kind != "f":
            raise InputError(
                "embeddings must be a float array [rows, dimensions]",
                where=str(self._path),
                why=f"shape {rows.shape}, {rows.dtype}",
                fix="write one row a key",
            )
        if not rows.flags.c_contiguous:
            raise InputError(
                "this array is in Fortran order", where=str(self._path), fix="save numpy.ascontiguousarray of it"
            )
        return rows

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        from negmine.base.hashing import hash64

        wanted = np.fromiter((hash64(key) for key in keys), dtype=np.uint64, count=len(keys))
        places = np.minimum(np.searchsorted(self._hashes, wanted), len(self._hashes) - 1)
        missing = np.flatnonzero(self._hashes[places] != wanted)
        if missing.size:
            raise InputError(
                f"{missing.size:,} pairs of one part have no embedding",
                where=str(self._keys),
                why=f"first: key {keys[missing[0]]}",
                fix="embed every pair, or read fewer pairs",
            )
        rows = self._read(self._order[places])
        with np.errstate(over="ignore", invalid="ignore"):
            lengths = np.linalg.norm(rows, axis=1)
        bad = np.flatnonzero(~np.isfinite(lengths) | (lengths == 0))
        if bad.size:
            raise InputError(
                f"{bad.size:,} embeddings are zero or not finite, or their length is",
                where=str(self._path),
                why=f"first: key {keys[bad[0]]}",
                fix="mend or leave out these rows",
            )
        return normalise(rows)
