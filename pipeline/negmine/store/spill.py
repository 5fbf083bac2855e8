"""Rows dealt into buckets on the disk: sorting and grouping in memory that does not grow with their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa

from negmine.base.hashing import hash64

_HASH: Final = "hash of the row"
"""Column by which rows are dealt, in the files only: hashes of texts are counted once."""

Hashes = np.ndarray[tuple[int], np.dtype[np.uint64]]

BITS: Final = 6
"""Of a hash, by which rows are dealt at first: 64 files are open at most."""

LARGEST: Final = 1 << 15
"""Rows of a bucket that is read whole; a larger one is dealt again, by as many bits as that takes."""

MOST_BITS: Final = 24
"""By which rows are dealt in all: those of one hash, as all captions of one image, stay together."""


def stored(name: str) -> Callable[[pa.Table], Hashes]:
    """A column of hashes."""
    return partial(_stored, name)


def _stored(name: str, rows: pa.Table) -> Hashes:
    found: Hashes = rows[name].to_numpy()
    return found


def hashed(name: str) -> Callable[[pa.Table], Hashes]:
    """The hashes of a column of texts."""
    return partial(_hashed, name)


def _hashed(name: str, rows: pa.Table) -> Hashes:
    return np.fromiter((hash64(text) for text in rows[name].to_pylist()), dtype=np.uint64, count=rows.num_rows)


class Spill:
    """Append rows to buckets, each a file as soon as it has a row; read them back in the order of their hashes.

    Args:
        folder: an empty or missing folder, which the caller deletes.
        hashes: of the rows of a table, each from the row alone.
        bits: there are ``2**bits`` buckets.
        used: leading bits of the hashes by which the rows were dealt before.
    """

    def __init__(
        self, folder: Path, schema: pa.Schema, hashes: Callable[[pa.Table], Hashes], bits: int = BITS, used: int = 0
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder, self._schema, self._hashes, self._bits, self._used = folder, schema, hashes, bits, used
        self._filed = schema.append(pa.field(_HASH, pa.uint64()))
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}
        self._rows = np.zeros(2**bits, dtype=np.int64)

    def add(self, rows: pa.Table) -> None:
        """Deal rows by the leading bits of their 64-bit hashes, so that buckets are in the order of hashes."""
        self._deal(rows.append_column(_HASH, pa.array(self._hashes(rows))))

    def _deal(self, rows: pa.Table) -> None:
        bucket = (rows[_HASH].to_numpy() << np.uint64(self._used) >> np.uint64(64 - self._bits)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        starts = np.searchsorted(bucket[order], np.arange(len(self._rows) + 1))
        dealt, sizes = rows.take(pa.array(order)), np.diff(starts)
        for number in np.flatnonzero(sizes).tolist():
            if number not in self._writers:
                self._writers[number] = pa.ipc.new_stream(self._path(number), self._filed)
            self._writers[number].write_table(dealt.slice(starts[number], sizes[number]))
        self._rows += sizes

    def buckets(self) -> Iterator[pa.Table]:
        """Close the spill and read the buckets in order."""
        return (bucket for (bucket,) in together(self))

    def _path(self, number: int) -> Path:
        return self._folder / f"{number:02d}.arrow"

    def _close(self) -> None:
        for writer in self._writers.values():
            writer.close()

    def _read(self, number: int) -> pa.Table:
        if not self._rows[number]:
            return self._schema.empty_table()
        pa.default_memory_pool().release_unused()  # of buckets before, which is more than they had
        with self._open(number) as file:
            return pa.ipc.open_stream(file).read_all().select(self._schema.names)

    def _open(self, number: int) -> pa.OSFile:
        """A file by its path would be mapped: all of a large bucket were then in memory while it is dealt again."""
        return pa.OSFile(str(self._path(number)))

    def _dealt_again(self, number: int, bits: int) -> Spill:
        """The rows of one bucket by so many further bits; its file goes."""
        finer = Spill(self._folder / f"{number:02d}", self._schema, self._hashes, bits, self._used + self._bits)
        if self._rows[number]:
            with self._open(number) as file:
                for rows in _in_large_tables(pa.ipc.open_stream(file)):
                    finer._deal(rows)
            self._path(number).unlink()
        return finer


def _in_large_tables(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches joined up to `LARGEST` rows. Dealt one by one, each would leave a few rows in every bucket, and few rows
    cost as much to write, and nearly as much memory to read, as thousands."""
    held, rows = list[pa.RecordBatch](), 0
    for batch in batches:
        if held and rows + batch.num_rows > LARGEST:
            yield pa.Table.from_batches(held).combine_chunks()
            held, rows = [], 0
        held.append(batch)
        rows += batch.num_rows
    if held:
        yield pa.Table.from_batches(held).combine_chunks()


def together(*spills: Spill) -> Iterator[tuple[pa.Table, ...]]:
    """Close spills that count the same bits, and read the rows of each that have the same leading ones."""
    for spill in spills:
        spill._close()
    left = MOST_BITS - spills[0]._used - spills[0]._bits
    for number in range(len(spills[0]._rows)):
        rows = int(max(spill._rows[number] for spill in spills))
        if rows > LARGEST and left > 0:
            bits = min(left, BITS, (rows // LARGEST).bit_length())
            yield from together(*(spill._dealt_again(number, bits) for spill in spills))
        else:
            yield tuple(spill._read(number) for spill in spills)
