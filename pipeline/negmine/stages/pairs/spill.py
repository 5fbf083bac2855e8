"""Rows dealt into buckets on the disk: sorting and grouping in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa


class Spill:
    """Append rows to one of ``2**bits`` files; read each bucket back whole.

    Args:
        folder: an empty or missing folder, which the caller deletes.
    """

    def __init__(self, folder: Path, schema: pa.Schema, bits: int) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._bits = bits
        self._paths = [folder / f"{bucket:04d}.arrow" for bucket in range(2**bits)]
        self._writers = [pa.ipc.new_stream(path, schema) for path in self._paths]

    def add(self, rows: pa.Table, hashes: np.ndarray[tuple[int], np.dtype[np.uint64]]) -> None:
        """Deal rows by the leading bits of their 64-bit hashes, so that buckets are in the order of hashes."""
        bucket = (hashes >> np.uint64(64 - self._bits)).astype(np.int64)
        order = np.argsort(bucket, kind="stable")
        starts = np.searchsorted(bucket[order], np.arange(len(self._paths) + 1))
        dealt = rows.take(pa.array(order))
        for number, writer in enumerate(self._writers):
            if starts[number] < starts[number + 1]:
                writer.write_table(dealt.slice(starts[number], starts[number + 1] - starts[number]))

    def buckets(self) -> Iterator[pa.Table]:
        """Close the spill and read the buckets in order."""
        for writer in self._writers:
            writer.close()
        for path in self._paths:
            with pa.ipc.open_stream(path) as reader:
                yield reader.read_all()
