"""Parquet files, columns as in ``row.py``; only these are read, a few thousand rows at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from negmine.errors import InputError
from negmine.records import Rejected
from negmine.sources import files
from negmine.sources.row import CAPTION_COLUMNS, IMAGE_COLUMNS, Row, row_from_columns
from negmine.sources.table import no_caption_column

_BATCH_ROWS: Final = 4096
_BUFFER_BYTES: Final = 1024 * 1024
_MAGIC = b"PAR1"


class Parquet:
    """Row numbers count the rows of a file."""

    name = "parquet"
    endings = (".parquet", ".pq")
    holds_images = False

    def recognises(self, path: str, head: bytes) -> bool:
        return head.startswith(_MAGIC)

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path):
            with file.open() as stream:
                number = 0
                for number, columns in enumerate(_records(stream, file.path), start=1):
                    yield row_from_columns(number, file.name, columns)


def _records(stream: IO[bytes], where: str) -> Iterator[dict[str, Any]]:
    number = 0
    try:
        table = pq.ParquetFile(stream, buffer_size=_BUFFER_BYTES, pre_buffer=False)
        columns = _columns(table.schema_arrow, where)
        for batch in table.iter_batches(batch_size=_BATCH_ROWS, columns=columns):
            yield from _rows(batch)
            number += batch.num_rows
    except (pa.ArrowException, OSError) as error:
        raise files.damaged(f"{where}, after row {number:,}", str(error)) from None


def _rows(batch: pa.RecordBatch) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries; text that is no UTF-8 becomes surrogates, which `row_from_columns` refuses."""
    columns = [_values(batch.column(name)) for name in batch.schema.names]
    for values in zip(*columns, strict=True):
        yield dict(zip(batch.schema.names, values, strict=True))


def _values(column: pa.Array) -> list[Any]:
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary()).to_pylist()
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]


def _columns(schema: pa.Schema, where: str) -> list[str]:
    known = [name for name in (*IMAGE_COLUMNS, *CAPTION_COLUMNS, "key", "image_id") if name in schema.names]
    if not set(known) & set(CAPTION_COLUMNS):
        raise no_caption_column(where, ", ".join(schema.names))
    for name in known:
        if pa.types.is_nested(schema.field(name).type):
            raise InputError(
                f"column {name} is no text",
                where=where,
                why=f"it is {schema.field(name).type}",
                fix="put the path of each picture there, and the pictures into a folder",
            )
    return known
