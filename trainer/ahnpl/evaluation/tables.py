"""Tables as rows, one at a time: JSON, JSONL, CSV, TSV, Parquet and Arrow, with images inside or named."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq
from negmine.base.errors import InputError, UsageError
from negmine.images.parquet_cells import Batches
from negmine.store.input_files import damaged

from ahnpl.evaluation.files import Row, read_rows

SUFFIXES: Final = (".jsonl", ".json", ".csv", ".tsv", ".parquet", ".arrow")
_DAMAGE: Final = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What Arrow raises where a file is broken; the last two for text that is no UTF-8 and sizes that cannot be."""


def read_table(file: Path, format_name: str, columns: Collection[str]) -> Iterator[Row]:
    """The rows of a file, whose ending says what it is. All but JSON are read a piece at a time.

    Args:
        columns: those that are read of Parquet and Arrow; a dot leads inside of one.

    Raises:
        UsageError: no ending of a table, or a column that Parquet or Arrow does not have.
        InputError: a damaged file, or one that is no table.
    """
    match file.suffix.lower():
        case ".json" | ".jsonl":
            yield from read_rows(file, format_name)
        case ".csv" | ".tsv":
            yield from _read_csv(file, format_name)
        case ".parquet" | ".arrow":
            read = _parquet if file.suffix.lower() == ".parquet" else _arrow
            try:
                number = 0
                for batch in read(file, columns):
                    for place in range(len(batch)):  # values of a row at a time: images are large
                        number += 1
                        values = {name: batch.column(name)[place].as_py() for name in batch.schema.names}
                        yield Row(values, str(number), file, format_name)
            except _DAMAGE as error:
                raise damaged(f"{file}, after row {number:,}", str(error)) from None
        case _:
            raise UsageError("this is no table", where=str(file), fix=f"name a file in {', '.join(SUFFIXES)}")


def cell(row: Row, name: str) -> object:
    """What stands in a column. A dot leads inside: ``a.b`` is ``b`` of the object ``a``, ``2.POS`` is ``POS`` of the
    second entry of a row that is a list.

    Raises:
        UsageError: there is no such column; the message holds the nearest names.
    """
    value = row.value
    if isinstance(value, dict) and name in value:
        return value[name]
    for step in name.split("."):
        if isinstance(value, dict) and step in value:
            value = value[step]
        elif isinstance(value, list) and step.isdecimal() and 1 <= int(step) <= len(value):
            value = value[int(step) - 1]
        else:
            raise no_column(name, _names(value) or _names(row.value), row.where)
    return value


def _names(value: object) -> list[str]:
    if isinstance(value, list):
        return [str(number) for number in range(1, len(value) + 1)]
    return list(value) if isinstance(value, dict) else []


def no_column(name: str, known: Sequence[str], where: str) -> UsageError:
    near = get_close_matches(name, known, n=3, cutoff=0.5)
    return UsageError(
        f"there is no column {name!r}" + (f"; the nearest: {', '.join(near)}" if near else ""),
        where=where,
        why=f"the columns are: {', '.join(known)}" if known else "this row has no columns",
        fix="name the right one with the option that ends in -column; columns of a row that is a list are 1, 2, ...",
    )


def _read_csv(file: Path, format_name: str) -> Iterator[Row]:
    """Rows of comma- or tab-separated text with a header, quoted as RFC 4180 says; a row's key is its last line."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        table = csv.reader(stream, delimiter="\t" if file.suffix.lower() == ".tsv" else ",", strict=True)
        try:
            names = next(table, [])
            twice = [name for name, count in Counter(names).items() if count > 1]
            if twice:
                raise InputError("two columns have one name", where=str(file), why=twice[0], fix="rename one of them")
            for cells in filter(None, table):
                row = Row(dict(zip(names, cells, strict=False)), str(table.line_num), file, format_name)
                if len(cells) != len(names):
                    raise row.error(f"it has {len(cells)} cells, the header has {len(names)}")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise damaged(f"{file}, line {table.line_num:,}", str(error)) from None


def _parquet(file: Path, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    with file.open("rb") as stream:
        wanted = _check(pq.ParquetFile(stream).schema_arrow, columns, file)
        table = Batches(stream, lambda leaf: any(leaf == name or leaf.startswith(f"{name}.") for name in wanted))
        for group in range(table.metadata.num_row_groups):
            yield from table.read(group)


def _arrow(file: Path, columns: Collection[str]) -> Iterator[pa.RecordBatch]:
    """Batches of an Arrow stream, as Hugging Face's ``save_to_disk`` writes it; mapped, not read into memory."""
    with pa.memory_map(str(file)) as source, pa.ipc.open_stream(source) as stream:
        wanted = _check(stream.schema, columns, file)
        for batch in stream:
            batch.validate(full=True)  # offsets of a damaged file would lead outside of the memory
            yield batch.select(wanted)


def _check(schema: pa.Schema, columns: Collection[str], file: Path) -> list[str]:
    """The table's columns that are read.

    Raises:
        UsageError: one is not there.
    """
    wanted = dict.fromkeys(name if name in schema.names else name.partition(".")[0] for name in columns)
    for name in wanted:
        if name not in schema.names:
            raise no_column(name, schema.names, str(file))
    return list(wanted)
