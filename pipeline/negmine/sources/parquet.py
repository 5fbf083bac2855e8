"""Parquet files: captions, and images as paths or as bytes; only the columns in question are read, batch by batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import IO, ClassVar, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.images.parquet_cells import Batches, cell_name
from negmine.sources.columns import Choice, WithColumns, has_images
from negmine.sources.noted import Noted
from negmine.sources.row import CAPTION_COLUMNS, Row
from negmine.store import input_files as files

_MAGIC = b"PAR1"
_ENDING: Final = ".parquet"
DAMAGE: Final = (pa.ArrowException, OSError, ValueError, OverflowError)
"""What Arrow raises where a file is broken; the last two for names that are no UTF-8 and sizes that cannot be."""

_IMAGES: Final = ("jpg", "jpeg", "png", "webp", "image_bytes", "img_bytes", "bytes")
"""Columns of bytes, beside those that name images: img2dataset's and others'."""


@dataclass(frozen=True)
class Parquet(WithColumns):
    """One file, a folder of them, or a pattern; row numbers count the rows of a file.

    A column of images is one of bytes, or Hugging Face's structure of ``bytes`` and ``path``; a row then names the
    cell (``train.parquet::image.bytes[7]``), and the image is read from there. Where all bytes are null the paths
    count.

    Attributes:
        holds_images: whether the images lie inside; found when the file is opened.
    """

    name: ClassVar[str] = "parquet"
    endings: ClassVar[tuple[str, ...]] = (".parquet", ".pq")

    holds_images: bool = False

    def recognises(self, path: str, head: bytes) -> bool:
        return files.has_files(path, (_ENDING,)) if not head else head.startswith(_MAGIC)

    def looks_inside(self, path: str) -> bool:
        """Whether the images lie in the (first) file."""
        file = files.expand(path, _ENDING)[0]
        with file.open() as stream:
            try:
                table = pq.ParquetFile(stream)
                choice = self.columns.choose(table.schema_arrow.names, file.path, image_columns(table.schema_arrow))
                return (
                    isinstance(choice.image, str) and cell_column(table.schema_arrow, stream, choice.image) is not None
                )
            except DAMAGE as error:
                raise files.damaged(file.path, str(error)) from None

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path, _ENDING):
            with file.open() as stream:
                yield from self._read(file, stream)

    def _read(self, file: files.File, stream: IO[bytes]) -> Iterator[Row | Rejected | Noted]:
        number = 0
        try:
            table = pq.ParquetFile(stream)
            names = table.schema_arrow.names
            choice = self.columns.choose(names, file.path, image_columns(table.schema_arrow))
            yield choice.noted(names)
            _check_types(table.schema_arrow, choice, file.path)
            cells = cell_column(table.schema_arrow, stream, choice.image) if isinstance(choice.image, str) else None
            for values in _records(stream, choice, cells):
                number += 1
                if cells is not None and isinstance(choice.image, str):
                    values[choice.image] = cell_name(file.name, cells, number)
                yield from choice.rows(number, file.name, values)
        except DAMAGE as error:
            raise files.damaged(f"{file.path}, after row {number:,}", str(error)) from None


def image_columns(schema: pa.Schema) -> list[str]:
    """The columns that hold images: structures with bytes, and bytes under a name that images have."""
    return [
        field.name
        for field in schema
        if _struct_field(field.type, "bytes") is not None
        or (_is_bytes(field.type) and (field.name.casefold() in _IMAGES or has_images([field.name])))
    ]


def _struct_field(kind: pa.DataType, name: str) -> pa.Field | None:
    if not pa.types.is_struct(kind):
        return None
    return next((field for field in kind if field.name == name), None)


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_binary_view(kind))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def cell_column(schema: pa.Schema, stream: IO[bytes], column: str) -> str | None:
    """The leaf that holds the bytes of a column of images; None where it holds none."""
    kind = schema.field(column).type
    leaf = f"{column}.bytes" if pa.types.is_struct(kind) else column
    if not (_is_bytes(kind) or _struct_field(kind, "bytes") is not None):
        return None
    if _struct_field(kind, "path") is not None and not Batches(stream, leaf.__eq__).has_values():
        return None
    return leaf


def _check_types(schema: pa.Schema, choice: Choice, where: str) -> None:
    """Refuse columns that are neither text nor numbers, nor lists and structures that are known.

    Raises:
        InputError: names the column and its type.
    """
    for name in choice.names:
        kind = schema.field(name).type
        inner = kind.value_type if pa.types.is_dictionary(kind) else kind
        known = (
            _is_plain(inner)
            or (name == choice.caption and _holds_captions(inner))
            or (name == choice.image and name in image_columns(schema))
        )
        if not known:
            raise InputError(
                f"column {name} is no text",
                where=where,
                why=f"it is {kind}",
                fix="name another with --caption-column, --image-column or --key-column, or write it as text",
            )


def _holds_captions(kind: pa.DataType) -> bool:
    """Whether this is a list, or an object with a name that captions have."""
    names = {field.name.casefold() for field in kind} if pa.types.is_struct(kind) else set[str]()
    return _is_list(kind) or not names.isdisjoint(CAPTION_COLUMNS)


def _is_plain(kind: pa.DataType) -> bool:
    tests = (
        pa.types.is_string,
        pa.types.is_large_string,
        pa.types.is_string_view,
        _is_bytes,
        pa.types.is_integer,
        pa.types.is_floating,
        pa.types.is_decimal,
        pa.types.is_boolean,
        pa.types.is_null,
    )
    return any(test(kind) for test in tests)


def _records(stream: IO[bytes], choice: Choice, cells: str | None) -> Iterator[dict[str, object]]:
    """Rows as dictionaries; text that is no UTF-8 becomes surrogates, which `make_row` refuses."""
    table = Batches(stream, partial(_is_read, choice, cells))
    for group in range(table.metadata.num_row_groups):
        for batch in table.read(group):
            columns = [values_of(batch.column(name)) for name in batch.schema.names]
            for values in zip(*columns, strict=True):
                yield dict(zip(batch.schema.names, values, strict=True))


def _is_read(choice: Choice, cells: str | None, path: str) -> bool:
    """Whether a leaf is read: of images never the bytes, only the paths, and these where no bytes are."""
    column = path.partition(".")[0]
    if column == choice.image:
        return cells is None and path in (column, f"{column}.path")
    return path in choice.names or column in choice.names


def values_of(column: pa.Array) -> list[object]:
    """An array as Python's values; equal ones of a dictionary are one object."""
    if pa.types.is_dictionary(column.type):
        used = column.indices.unique().drop_null()
        values = dict(zip(used.to_pylist(), values_of(column.dictionary.take(used)), strict=True))
        return [values.get(index) for index in column.indices.to_pylist()]
    if _is_list(column.type):
        inner = iter(values_of(column.flatten()))
        lengths = pc.list_value_length(column).to_pylist()
        return [None if length is None else list(islice(inner, length)) for length in lengths]
    if pa.types.is_struct(column.type):
        fields = {field.name: values_of(column.field(field.name)) for field in column.type}
        if set(fields) == {"path"}:  # an image's
            return fields["path"]
        return [dict(zip(fields, values, strict=True)) for values in zip(*fields.values(), strict=True)]
    try:
        values = column.to_pylist()
    except UnicodeDecodeError:
        values = column.cast(pa.large_binary()).to_pylist()
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else value for value in values]
