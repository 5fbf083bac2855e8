"""Any table as records: each row with all of its columns, whatever they mean. Streams, as the readers of PAIRS do.

A format is recognised by its content: Parquet, one JSON document (an array of objects, or an object of objects or of
arrays), one JSON object a line, or lines of cells with a header.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.images.parquet_cells import Batches, cell_name
from negmine.sources.json_stream import names_in, objects
from negmine.sources.jsonl import parse_object
from negmine.sources.parquet import DAMAGE, cell_column, image_columns, values_of
from negmine.sources.row import Unusable, excerpt
from negmine.sources.table import read_cells
from negmine.store import input_files as files

ENDINGS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".tab", ".txt", ".parquet", ".pq")
"""Of the files that are taken of a folder."""

_SAMPLE: Final = 1_000
"""Records by which the names of the columns are known where no header tells them."""

_DELIMITERS: Final = "\t,;|"


@dataclass(frozen=True, slots=True)
class Record:
    """A row of a table.

    Attributes:
        row: counts from 1, as in `Rejected`.
        source: file name relative to the input's root.
        values: by column. An image in Parquet is a `Cell`.
    """

    row: int
    source: str
    values: dict[str, object]


@dataclass(frozen=True, slots=True)
class Cell:
    """An image inside of a Parquet file.

    Attributes:
        place: as the pairs name it, ``train.parquet::image.bytes[7]``.
        path: what the file calls the image; None if it does not say.
    """

    place: str
    path: str | None


@dataclass(frozen=True)
class Table:
    """One file of records.

    Attributes:
        names: of its columns.
        image_columns: those of `names` that hold images.
    """

    file: files.File
    names: tuple[str, ...]
    records: Iterable[Record | Rejected]
    image_columns: tuple[str, ...] = ()


def open_tables(path: str, delimiter: str | None = None) -> Iterator[Table]:
    """The tables of a file, a pattern, or a folder, each to be read before the next.

    Raises:
        UsageError: nothing is there, or the folder holds no table.
        InputError: a file is empty, cut or damaged.
    """
    for file in _files(path):
        with file.open() as stream:
            yield _table(file, stream, delimiter)


def _files(path: str) -> list[files.File]:
    if not files.is_folder(path):
        return files.expand(path)
    for ending in ENDINGS:
        if files.has_files(path, (ending,)):
            return files.expand(path, ending)
    raise InputError(
        "there is no table in this folder", where=path, fix=f"name a file, or one with {', '.join(ENDINGS)}"
    )


def _table(file: files.File, stream: IO[bytes], delimiter: str | None) -> Table:
    head = stream.read(files.HEAD_BYTES)
    stream.seek(0)
    if not head.strip():
        raise InputError("this file is empty", where=file.path, fix="make or download it again")
    if head.startswith(b"PAR1"):
        return _parquet(file, stream)
    if not files.is_json(head):
        return _delimited(file, stream, delimiter)
    is_document = not _is_row(stream.readline(files.MAX_LINE_BYTES))
    stream.seek(0)
    records = _document(file) if is_document else _lines(file, stream)
    first = list(islice(records, _SAMPLE))
    names = names_in(one.values for one in first if isinstance(one, Record))
    return Table(file, tuple(names), chain(first, records))


# --- JSON ------------------------------------------------------------------------------------------------------------


def _is_row(line: bytes) -> bool:
    """Whether a file's first line is an object of its own, and no document of objects."""
    try:
        values = parse_object(line.removeprefix(files.BOM)).values()
    except Unusable as problem:
        return problem.reason != "not_an_object" and not line.lstrip().startswith((b"[", b"{\n", b"{\r"))
    return not values or not all(isinstance(value, dict) for value in values)


def _document(file: files.File) -> Iterator[Record | Rejected]:
    for number, value in enumerate(objects(file), 1):
        if isinstance(value, dict):
            yield Record(number, file.name, value)
        else:
            yield Unusable("not_an_object", f"{excerpt(value)} is no object").rejected(number, file.name)


def _lines(file: files.File, stream: IO[bytes]) -> Iterator[Record | Rejected]:
    for number, line in files.numbered_lines(stream):
        if line is not None and not line.strip():
            continue
        try:
            if line is None:
                raise Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes")
            yield Record(number, file.name, parse_object(line))
        except Unusable as problem:
            yield problem.rejected(number, file.name)


# --- lines of cells --------------------------------------------------------------------------------------------------


def _delimited(file: files.File, stream: IO[bytes], delimiter: str | None) -> Table:
    """The first line names the columns."""
    names, found = read_cells(stream, _DELIMITERS, delimiter)
    return Table(file, tuple(names), (_cells(file, number, cells, names) for number, cells, _ in found))


def _cells(file: files.File, number: int, cells: list[str] | Unusable, names: list[str]) -> Record | Rejected:
    if isinstance(cells, Unusable):
        return cells.rejected(number, file.name)
    if len(cells) != len(names):
        detail = f"{len(cells)} cells, the header has {len(names)}"
        return Unusable("column_count", detail).rejected(number, file.name)
    return Record(number, file.name, dict(zip(names, cells, strict=True)))


# --- Parquet ---------------------------------------------------------------------------------------------------------


def _parquet(file: files.File, stream: IO[bytes]) -> Table:
    try:
        schema = pq.ParquetFile(stream).schema_arrow
    except DAMAGE as error:
        raise files.damaged(file.path, str(error)) from None
    images = tuple(image_columns(schema))
    return Table(file, tuple(schema.names), _rows(file, stream, schema, images), images)


def _rows(file: files.File, stream: IO[bytes], schema: pa.Schema, images: tuple[str, ...]) -> Iterator[Record]:
    number = 0
    try:
        cells = {name: cell_column(schema, stream, name) for name in images}
        table = Batches(stream, partial(_is_read, cells))
        for group in range(table.metadata.num_row_groups):
            for batch in table.read(group):
                columns = [values_of(batch.column(name)) for name in batch.schema.names]
                paths = dict(zip(batch.schema.names, columns, strict=True))
                for place in range(batch.num_rows):
                    number += 1
                    values = {name: column[place] for name, column in paths.items()}
                    for name, leaf in cells.items():
                        if leaf is not None:
                            path = values.get(name)
                            said = path if isinstance(path, str) else None
                            values[name] = Cell(cell_name(file.name, leaf, number), said)
                    yield Record(number, file.name, values)
    except DAMAGE as error:
        raise files.damaged(f"{file.path}, after row {number:,}", str(error)) from None


def _is_read(images: dict[str, str | None], path: str) -> bool:
    """Whether a leaf is read: of images their paths, never the bytes."""
    column = path.partition(".")[0]
    return column not in images or path == f"{column}.path" or (images[column] is None and path == column)
