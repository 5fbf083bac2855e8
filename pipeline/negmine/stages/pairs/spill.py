"""Rows dealt into buckets on the disk: sorting and grouping in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa


class Spill:
    """Append rows to one of ``2**bits`` buckets, each a file as soon as it has a row; read each bucket back whole.

    Args:
        folder: an empty or missing folder, which the caller deletes.
    """

    def __init__(self, folder: Path, schema: pa.Schema, bits: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._schema, self._bits = schema, bits
        self._paths = [folder / f"{bucket:04d}.arrow" for bucket in range(2**bits)]
        self._writers: dict[int, pa.RecordBatchStreamWriter] = {}

    def add(self, rows: pa.Table, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> None:
        """Deal rows by the leading bits of their 64-bit hashes, so that buckets are in the order of hashes."""
        bucket = (hashes >> np.uint64(64 - self._bits)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        starts = np.searchsorted(bucket[order], np.arange(len(self._paths) + 1))
        dealt = rows.take(pa.array(order))
        for number, path in enumerate(self._paths):
            if starts[number] < starts[number + 1]:
                if number not in self._writers:
                    self._writers[number] = pa.ipc.new_stream(path, self._schema)
                self._writers[number].write_table(dealt.slice(starts[number], starts[number + 1] - starts[number]))

    def buckets(self) -> Iterator[pa.Table]:
        """Close the spill and read the buckets in order."""
        for writer in self._writers.values():
            writer.close()
        for number, path in enumerate(self._paths):
            if number not in self._writers:
                yield self._schema.empty_table()
                continue
            with pa.ipc.open_stream(path) as reader:
                yield reader.read_all()
