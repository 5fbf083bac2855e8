"""Images inside Parquet files, read cell by cell: ``train.parquet::image.bytes[7]`` is row 7, counted from 1.

A cell cannot be sought: its row group must be decoded up to it. What was decoded last is kept.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import IO, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.contract.records import MAX_MEMBER_BYTES

BATCH_BYTES: Final = 64 * 1024 * 1024
"""Decoded at once of one column or of several, as far as the file's own sizes tell."""

SWOLLEN_BYTES: Final = 1024 * 1024 * 1024
"""More than this a batch must never take, if all its rows referred to the longest value."""

KEPT_BYTES: Final = 256 * 1024 * 1024
"""Of decoded images that stay in memory."""

_MAGIC: Final = b"PAR1"
_MOST_ROWS: Final = 4_096
_BUFFER_BYTES: Final = 1024 * 1024
_CELL = re.compile(r"(?P<column>.+)\[(?P<row>[1-9][0-9]{0,17})\]")


def cell_name(archive: str, column: str, row: int) -> str:
    """What `Row.image` calls a cell.

    Args:
        archive: the file's name.
        column: path of the leaf, as ``image.bytes``.
        row: counts from 1 in the file.
    """
    return f"{archive}::{column}[{row}]"


def is_parquet(stream: IO[bytes]) -> bool:
    stream.seek(0)
    return stream.read(len(_MAGIC)) == _MAGIC


class Batches:
    """Columns of a Parquet file, row group by row group, in batches that stay small whatever the file refers to.

    A small file may refer to one long text very often. Where that would fill the memory, a column comes as Arrow's
    dictionary, which holds each text once; else it comes as it is, which is quicker.
    """

    def __init__(self, stream: IO[bytes], is_wanted: Callable[[str], bool]) -> None:
        """Open the leaves (``image.bytes``, ``caption.list.element``) that are wanted.

        Raises:
            pyarrow.ArrowException: it is no Parquet, or damaged.
        """
        self._plain = pq.ParquetFile(stream, pre_buffer=False, buffer_size=_BUFFER_BYTES)
        self.metadata = self._plain.metadata
        leaves = [self.metadata.schema.column(number) for number in range(len(self.metadata.schema))]
        self.leaves = {leaf.path: leaf.physical_type for leaf in leaves if is_wanted(leaf.path)}
        self._numbers = [number for number, leaf in enumerate(leaves) if leaf.path in self.leaves]
        self._coded = pq.ParquetFile(
            stream,
            metadata=self.metadata,
            read_dictionary=[path for path, kind in self.leaves.items() if kind == "BYTE_ARRAY"],
            pre_buffer=False,
            buffer_size=_BUFFER_BYTES,
        )

    def read(self, group: int) -> Iterator[pa.RecordBatch]:
        """A row group's batches of about `BATCH_BYTES`, as far as the file's own sizes tell."""
        about = self.metadata.row_group(group)
        if not about.num_rows:
            return iter(())
        longest = self._longest(group)  # before anything is asked of a chunk: see there
        chunks = list(map(about.column, self._numbers))
        size: int = sum(chunk.total_uncompressed_size for chunk in chunks)
        rows: int = max(1, min(_MOST_ROWS, BATCH_BYTES * about.num_rows // max(size, 1)))
        values = max((chunk.num_values if "." in chunk.path_in_schema else rows for chunk in chunks), default=0)
        return self._batches(self._coded if longest * values > SWOLLEN_BYTES else self._plain, group, rows)

    def has_values(self) -> bool:
        """Whether any row has a value in the columns of bytes."""
        groups = range(self.metadata.num_row_groups)
        first = (next(self._batches(self._coded, group, 1), None) for group in groups)  # mostly says it, in one page
        return any(batch is not None and _is_filled(batch) for batch in first) or any(
            _is_filled(batch) for group in groups for batch in self.read(group)
        )

    def _batches(self, table: pq.ParquetFile, group: int, rows: int) -> Iterator[pa.RecordBatch]:
        batches: Iterator[pa.RecordBatch] = table.iter_batches(
            batch_size=rows, row_groups=[group], columns=list(self.leaves), use_threads=False
        )
        return batches

    def _longest(self, group: int) -> int:
        """Bytes of the longest value in the dictionaries of a row group; the first row brings them whole.

        Where a chunk is described in a broken way, this raises. Arrow checks the description too when Python asks for
        it, and then ends the process.
        """
        first = next(self._batches(self._coded, group, 1), None)
        return max(map(_longest, first.columns), default=0) if first is not None else 0


def _is_filled(batch: pa.RecordBatch) -> bool:
    columns = [
        part for column in batch.columns for part in (column.flatten() if pa.types.is_struct(column.type) else [column])
    ]
    return any(column.null_count < len(column) for column in columns)


def _longest(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        return pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if pa.types.is_struct(column.type):
        return max(map(_longest, column.flatten()), default=0)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _longest(column.values)
    return 0


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
        self.stream, self._leaf = stream, leaf
        try:
            self._table = Batches(stream, lambda path: path == leaf)
        except pa.ArrowException as error:
            raise ValueError(str(error)) from None
        if self._table.leaves.get(leaf) != "BYTE_ARRAY":
            raise ValueError(f"the table has no column {leaf} of bytes")
        metadata = self._table.metadata
        self._starts = [
            0,
            *accumulate(metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)),
        ]
        self._batches: Iterator[pa.RecordBatch] = iter(())
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
            self._batches = self._table.read(group)
        while self._next <= row:
            if (read := next(self._batches, None)) is None:
                raise ValueError("a row group ends before the row that it should hold")
            batch = read.column(0)
            for name in self._leaf.split(".")[1:]:
                batch = batch.field(name)
            start, self._next = self._next, self._next + len(batch)
            self._held[start] = batch
            yield start, batch
