"""Tables with a header: CSV (comma or semicolon) and TSV, columns as in ``row.py``."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from negmine.errors import InputError
from negmine.records import Rejected
from negmine.sources import files
from negmine.sources.row import CAPTION_COLUMNS, Row, Unusable, row_from_columns

_WHOLE_FLOAT = re.compile(r"-?\d+\.0")


@dataclass(frozen=True)
class Delimited:
    """CSV in the sense of RFC 4180; a quoted cell may hold line ends.

    Attributes:
        delimiters: each one character; the one that finds a caption column in the header is taken.
    """

    name: str
    endings: tuple[str, ...]
    delimiters: str
    holds_images: bool = False

    def recognises(self, path: str, head: bytes) -> bool:
        lines = files.head_lines(head)
        return bool(lines) and self._delimiter(_text(lines[0])) is not None

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path):
            with file.open() as stream:
                yield from self._read(file, _Lines(stream))

    def _read(self, file: files.File, lines: _Lines) -> Iterator[Row | Rejected]:
        first = lines.header()
        delimiter = self._delimiter(first)
        if delimiter is None:
            raise no_caption_column(file.path, first.strip()[:200])
        header = _header(first, delimiter)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line = lines.number + 1
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield from _unreadable(line, lines.number, file.name, Unusable("csv_syntax", str(error)))
            except Unusable as problem:
                yield from _unreadable(line, lines.number, file.name, problem)
            else:
                if cells:
                    yield _row(line, file.name, header, cells)

    def _delimiter(self, header: str) -> str | None:
        fitting = (d for d in self.delimiters if not set(_header(header, d)).isdisjoint(CAPTION_COLUMNS))
        return next(fitting, None)


class _Lines:
    """A file's lines as text. Knows the number of the last one, and can go on after one that is too long."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines = files.numbered_lines(stream)
        self.number = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line = next(self._lines)
        if line is None:
            raise Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes")
        return _text(line)

    def header(self) -> str:
        """The first line; empty if there is none that could be a header."""
        try:
            return next(self, "")
        except Unusable:
            return ""


def no_caption_column(where: str, seen: str) -> InputError:
    return InputError(
        "this table has no caption column",
        where=where,
        why=f"its columns are: {seen}",
        fix=f"name one of them {' or '.join(CAPTION_COLUMNS)}",
    )


def _header(line: str, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([line], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip().casefold() for cell in cells]


def _text(line: bytes) -> str:
    """Bytes that are no UTF-8 become surrogates here, which `make_row` refuses."""
    return line.decode("utf-8", "surrogateescape")


def _unreadable(first: int, last: int, source: str, problem: Unusable) -> Iterator[Rejected]:
    """One refusal a line: a quote left open swallows lines, and each was probably a row."""
    if last > first:
        problem.detail += f", lines {first} to {last}: is a quote left open?"
    for line in range(first, last + 1):
        yield problem.rejected(line, source)


def _row(line: int, source: str, header: list[str], cells: list[str]) -> Row | Rejected:
    if len(cells) != len(header):
        return Unusable("column_count", f"{len(cells)} cells, the header has {len(header)}").rejected(line, source)
    columns = dict(zip(header, cells, strict=True))
    for name in {"key", "image_id"} & columns.keys():
        if _WHOLE_FLOAT.fullmatch(columns[name]):  # how pandas writes whole numbers in a column with gaps
            columns[name] = columns[name].removesuffix(".0")
    return row_from_columns(line, source, columns)
