"""Pictures inside Parquet files, read cell by cell: ``train.parquet::image.bytes[7]`` is row 7, counted from 1.

A cell cannot be sought: its row group must be decoded up to it. What was decoded last is kept.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import IO, TYPE_CHECKING, Any, Final

from negmine.records import MAX_MEMBER_BYTES

if TYPE_CHECKING:
    import pyarrow as pa

BATCH_BYTES: Final = 64 * 1024 * 1024
"""Decoded at once of one column or of several, as far as the file's own sizes tell."""

KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of decoded pictures that stay in memory."""

_MAGIC: Final = b"PAR1"
_MOST_ROWS: Final = 4_096
_CELL = re.compile(r"(?P<column>.+)\[(?P<row>[1-9][0-9]{0,17})\]")


def cell_name(archive: str, column: str, row: int) -> str:
    """What `Row.image` calls a cell.

    Args:
        archive: the file's name.
        column: path of the leaf, as ``image.bytes``.
        row: counts from 1 in the file.
    """
    return f"{archive}::{column}[{row}]"


def batch_rows(group: Any, leaves: Iterable[str]) -> int:
    """Rows of a row group that have about `BATCH_BYTES` in these columns."""
    wanted = set(leaves)
    chunks = (group.column(number) for number in range(group.num_columns))
    size: int = sum(chunk.total_uncompressed_size for chunk in chunks if chunk.path_in_schema in wanted)
    rows: int = group.num_rows
    return max(1, min(_MOST_ROWS, BATCH_BYTES * rows // max(size, 1)))


def is_parquet(stream: IO[bytes]) -> bool:
    stream.seek(0)
    return stream.read(len(_MAGIC)) == _MAGIC


class ParquetCells:
    """Reads cells of Parquet files; what was decoded last stays in memory, up to `KEPT_BYTES`."""

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], _Column] = {}
        self._kept: OrderedDict[tuple[_Column, int], int] = OrderedDict()

    def read(self, stream: IO[bytes], archive: str, cell: str) -> bytes:
        """The bytes in a cell.

        Args:
            stream: the open file.
            archive: its name; the same name with another stream is opened anew.
            cell: ``column[row]``.

        Raises:
            ValueError: there is no such cell, it is empty or larger than `MAX_MEMBER_BYTES`, or the file is damaged.
        """
        match = _CELL.fullmatch(cell)
        if match is None:
            raise ValueError(f"{cell!r} is no cell of a table; column[row] is one")
        key = archive, match["column"]
        column = self._columns.get(key)
        if column is None or column.stream is not stream:
            column = self._columns[key] = _Column(stream, match["column"])
        content = self._value(column, int(match["row"]) - 1).as_py()
        if content is None:
            raise ValueError("the cell is empty")
        if len(content) > MAX_MEMBER_BYTES:
            raise ValueError(f"the cell has {len(content):,} bytes, the limit is {MAX_MEMBER_BYTES:,}")
        return bytes(content)

    def _value(self, column: _Column, row: int) -> pa.Scalar:
        start, batch = column.kept(row) or self._decode(column, row)
        self._kept.move_to_end((column, start))
        return batch[row - start]

    def _decode(self, column: _Column, row: int) -> tuple[int, pa.Array]:
        import pyarrow as pa

        try:
            for start, batch in column.decode_to(row):
                self._kept[column, start] = batch.nbytes
                while sum(self._kept.values()) > KEPT_BYTES and len(self._kept) > 1:
                    (old, place), _ = self._kept.popitem(last=False)
                    old.forget(place)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from None
        return start, batch


class _Column:
    """The bytes of one column of an open file: batches by their first row, counted from 0, as far as they are held."""

    def __init__(self, stream: IO[bytes], leaf: str) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        self.stream, self._leaf = stream, leaf
        try:
            metadata = pq.ParquetFile(stream).metadata
            kinds = {
                column.path: column.physical_type for column in map(metadata.schema.column, range(len(metadata.schema)))
            }
            if kinds.get(leaf) != "BYTE_ARRAY":
                raise ValueError(f"the table has no column {leaf} of bytes")
            # equal pictures are decoded once: a small file may refer to a large one very often
            self._table = pq.ParquetFile(stream, metadata=metadata, read_dictionary=[leaf], pre_buffer=False)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from None
        groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
        self._rows = [batch_rows(group, [leaf]) for group in groups]
        self._starts = [0, *accumulate(group.num_rows for group in groups)]
        self._batches: Iterator[Any] = iter(())
        self._group, self._next = -1, 0
        self._held: dict[int, pa.Array] = {}

    def kept(self, row: int) -> tuple[int, pa.Array] | None:
        found = (item for item in self._held.items() if item[0] <= row < item[0] + len(item[1]))
        return next(found, None)

    def forget(self, start: int) -> None:
        self._held.pop(start, None)

    def decode_to(self, row: int) -> Iterator[tuple[int, pa.Array]]:
        """The batches up to the one with this row: from the last one on, or from the beginning of the row group."""
        if not 0 <= row < self._starts[-1]:
            raise ValueError(f"the table has {self._starts[-1]:,} rows")
        group = bisect_right(self._starts, row) - 1
        if group != self._group or row < self._next:
            self._group, self._next = group, self._starts[group]
            self._batches = self._table.iter_batches(
                batch_size=self._rows[group], row_groups=[group], columns=[self._leaf], use_threads=False
            )
        while self._next <= row:
            batch = next(self._batches).column(0)
            for name in self._leaf.split(".")[1:]:
                batch = batch.field(name)
            start, self._next = self._next, self._next + len(batch)
            self._held[start] = batch
            yield start, batch
