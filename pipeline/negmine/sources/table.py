"""Tables in text: CSV (comma, semicolon or bar) and TSV, with or without a header."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, ClassVar, Final

from negmine.contract.records import Rejected
from negmine.sources.columns import Choice, WithColumns, no_caption_column
from negmine.sources.noted import Noted
from negmine.sources.row import MAX_TEXT, Row, Unusable, excerpt
from negmine.store import input_files as files

QUOTING: Final = ",;"
"""Delimiters of files that are written with quotes; with others a quote is a character."""

_WHOLE_FLOAT = re.compile(r"-?\d+\.0")
_STATED = re.compile(r"sep=(.)[\r\n]*")
_NAME = re.compile(r"\S*[\d./\\_:-]\S*")
_FILE_NAME = re.compile(r"\S+\.\w{1,5}")
_FEW_WORDS: Final = 3
_SAMPLE: Final = 100
_LEAST_QUOTED: Final = 3
_MOST_LINES: Final = 100
_CELL = r' *+(?:"(?:[^"\\]|\\["D\\]?+)*+"|(?!")(?:[^D\\]|\\["D\\]?+)*+)'
_ESCAPED: Final = {d: re.compile(f"{_CELL}(?:D{_CELL})*+".replace("D", d), re.DOTALL) for d in QUOTING}
"""Cells with backslashes before what is meant as it stands: nothing follows the quote that closes one."""
_QUOTED = re.compile(r'"(?:[^"]|"")*"', re.DOTALL)

csv.field_size_limit(MAX_TEXT)  # of the whole process; a cell may be as long as the text of any other format


@dataclass(frozen=True)
class Delimited(WithColumns):
    """One caption a row, or several in the notation of a list.

    With comma and semicolon, quotes are those of RFC 4180: a quoted cell may hold line ends. With tab and bar, which
    people write without thought of quotes, a line is a row and a quote is a character, but where only a program can
    have put it.

    Attributes:
        delimiters: each one character; the one that finds a caption column in the header is taken.
    """

    name: str
    endings: tuple[str, ...]
    delimiters: str
    holds_images: ClassVar[bool] = False

    def recognises(self, path: str, head: bytes) -> bool:
        lines = files.head_lines(head)
        if not lines or not self.columns.header or self.columns.delimiter not in (None, *self.delimiters):
            return False
        first, *further = map(_text, lines)
        if stated := _STATED.fullmatch(first):  # Excel's
            return stated[1] in self.delimiters and bool(further) and self.has_captions(split(further[0], stated[1]))
        if self.delimiters == "\t" and "\t" not in first and files.has_ending(path, (".csv",)):
            return False  # one column: only the ending says what quotes mean
        delimiter = self._delimiter(first)
        return delimiter is not None and self.has_captions(split(first, delimiter))

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path):
            with file.open() as stream:
                yield from self._read(file, stream)

    def _read(self, file: files.File, stream: IO[bytes]) -> Iterator[Row | Rejected | Noted]:
        lines = _Lines(stream)
        first = lines.peek()
        delimiter = None
        if stated := _STATED.fullmatch(first):
            next(lines)
            delimiter, first = stated[1], lines.peek()
        delimiter = delimiter or self._delimiter(first)
        if delimiter is None:
            cells = split(first, max(self.delimiters, key=first.count))
            raise no_caption_column(file.path, cells, _no_header(cells))
        names = split(first, delimiter)
        if self.columns.header:
            next(lines, None)
        else:
            names = [str(number) for number in range(1, len(names) + 1)]
        choice = self.columns.choose(names, file.path)
        yield choice.noted(names)
        yield from self._rows(file.name, lines, delimiter, names, choice, first)

    def _rows(
        self, source: str, lines: _Lines, delimiter: str, names: Sequence[str], choice: Choice, header: str
    ) -> Iterator[Row | Rejected | Noted]:
        shape = _Shape.of(names, choice, delimiter)
        records = (
            _quoted(lines, delimiter, shape) if delimiter in QUOTING else _plain(lines, delimiter, len(names), header)
        )
        for line, cells, text in records:
            try:
                if (read := _unescaped(text, delimiter, len(names))) is not None:
                    cells = read
                    yield Noted("backslash_escapes")
                if isinstance(cells, Unusable):
                    raise cells
                if not any(cells[len(names) :]):  # delimiters at the end of the line
                    cells = cells[: len(names)]
                if len(cells) > len(names) and (mended := shape.mend(text)):
                    cells = mended
                    yield Noted("bare_delimiter")
                if len(cells) != len(names):
                    raise Unusable(
                        "column_count", f"{excerpt(text.strip())}: {len(cells)} cells, the header has {len(names)}"
                    )
            except Unusable as problem:
                yield problem.rejected(line, source)
                continue
            if "\n" in text[:-1]:
                yield Noted("joined_lines", sum(bool(further.strip()) for further in text.split("\n")[1:]))
            yield from choice.rows(line, source, _values(dict(zip(names, cells, strict=True)), choice))

    def _delimiter(self, header: str) -> str | None:
        if self.columns.delimiter is not None:
            return self.columns.delimiter
        if not self.columns.header:
            return max(self.delimiters, key=header.count)
        return next((d for d in self.delimiters if self.has_captions(split(header, d))), None)


def read_cells(stream: IO[bytes], delimiters: str, delimiter: str | None = None) -> tuple[list[str], Iterator[_Record]]:
    """The names that the header has, and the records behind it, whatever they mean.

    Args:
        delimiters: of which the one is taken that is most in the header.
        delimiter: if it is known.
    """
    lines = _Lines(stream)
    header = lines.peek()
    delimiter = delimiter or max(delimiters, key=header.count)
    names = split(header, delimiter)
    next(lines, None)
    if delimiter in QUOTING:
        return names, _quoted(lines, delimiter, _Shape(len(names), delimiter, 0, None, None))
    return names, _plain(lines, delimiter, len(names), header)


def split(line: str, delimiter: str, wrapped: frozenset[int] = frozenset()) -> list[str]:
    """The cells of one line.

    With comma and semicolon by RFC 4180, blanks after a delimiter passed over. With others a quote is a character;
    only those around a cell are taken away that a writer must have put there: quotes inside of it are doubled, or
    every cell of the line has them.

    Args:
        wrapped: places of columns in which every cell has them.
    """
    if delimiter in QUOTING:
        try:
            return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
        except csv.Error:
            return []
    cells = [cell if delimiter == "\t" else cell.strip(" ") for cell in line.rstrip("\r\n").split(delimiter)]
    if '"' not in line:
        return cells
    every = all(map(_QUOTED.fullmatch, cells))
    return [
        cell[1:-1].replace('""', '"')
        if _QUOTED.fullmatch(cell) and (every or place in wrapped or '""' in cell[1:-1])
        else cell
        for place, cell in enumerate(cells)
    ]


def _no_header(cells: Sequence[str]) -> str:
    """The options that read a table whose first line seems to be a row, as that of Conceptual Captions is."""
    image = next((place for place, cell in enumerate(cells, 1) if _FILE_NAME.fullmatch(cell)), None)
    caption = max(enumerate(cells, 1), key=lambda item: len(item[1].split()), default=(0, ""))
    if image is None or len(caption[1].split()) < _FEW_WORDS:
        return ""
    return f"if the first line is a row: --no-header --caption-column {caption[0]} --image-column {image}; else "


@dataclass(frozen=True)
class _Shape:
    """Where a row's caption stands, and a cell that tells rows from text.

    Attributes:
        caption: place of the caption.
        image: place of the image's name, None if there is none.
        other: place of some cell that is no caption; None in a table of one column.
    """

    cells: int
    delimiter: str
    caption: int
    image: int | None
    other: int | None

    @staticmethod
    def of(names: Sequence[str], choice: Choice, delimiter: str) -> _Shape:
        caption = names.index(choice.caption)
        image = names.index(choice.image) if isinstance(choice.image, str) else None
        others = [place for place in range(len(names)) if place != caption]
        return _Shape(len(names), delimiter, caption, image, image if image is not None else next(iter(others), None))

    def mend(self, line: str) -> list[str] | None:
        """The cells of a line whose caption holds delimiters without quotes; None if another cell might hold them.

        The cells before and behind the caption must be single words, the image's a file name.
        """
        if self.cells == 1:
            return None if line.startswith('"') else [line.strip()]
        pieces = [piece.strip() for piece in line.rstrip("\r\n").split(self.delimiter)]
        behind = self.cells - 1 - self.caption
        end = len(pieces) - behind
        cells = [*pieces[: self.caption], "", *pieces[end:]]
        words = (cell for place, cell in enumerate(cells) if place not in (self.caption, self.image))
        if any(len(word.split()) > 1 for word in words) or (
            self.delimiter in QUOTING and '"' in {p[:1] for p in pieces}
        ):
            return None
        if self.image is None or not _FILE_NAME.fullmatch(cells[self.image]):
            return None
        caption = self.delimiter.join(line.rstrip("\r\n").split(self.delimiter)[self.caption : end])
        cells[self.caption] = caption[1:-1].replace('""', '"') if _QUOTED.fullmatch(caption) else caption
        return cells

    def is_row(self, line: str) -> bool:
        """Whether a line that a quote has swallowed looks like a row of its own."""
        pieces = [piece.strip() for piece in line.rstrip("\r\n").split(self.delimiter)]
        if self.other is None or len(pieces) < self.cells:
            return False
        place = self.other if self.other < self.caption else self.other - self.cells
        return _NAME.fullmatch(pieces[place]) is not None


_Record = tuple[int, list[str] | Unusable, str]
"""Number of the first line, the cells or why there are none, and the text as it stands in the file."""


def _plain(lines: _Lines, delimiter: str, cells: int, header: str) -> Iterator[_Record]:
    """A line is a row, but where a cell in quotes goes on behind a delimiter or in the next line."""
    wrapped = _wrapped(lines, delimiter, header)
    while True:
        first = lines.begin()
        try:
            line = next(lines)
        except StopIteration:
            return
        except Unusable as problem:
            yield lines.number, problem, ""
            continue
        if not line.strip():
            continue
        pieces = line.rstrip("\r\n").split(delimiter)
        if any(piece.startswith('"') and piece.count('"') % 2 for piece in pieces) and (
            joined := _joined(lines, line, delimiter, cells)
        ):
            yield first, joined, "".join(lines.record)
            continue
        lines.back_to(first)
        yield first, split(line, delimiter, wrapped), line


def _wrapped(lines: _Lines, delimiter: str, header: str) -> frozenset[int]:
    """The places of the columns whose cells all begin with a quote, as far as `_SAMPLE` lines show."""
    lines.begin()
    before, rows = lines.number, list[list[str]]()
    with suppress(Unusable):
        rows = [line.rstrip("\r\n").split(delimiter) for line in islice(lines, _SAMPLE) if line.strip()]
    lines.back_to(before)
    seen = [row for row in (header.rstrip("\r\n").split(delimiter), *rows) if len(row) == header.count(delimiter) + 1]
    quoted = [[cell.startswith('"') for cell in column] for column in zip(*seen, strict=True)]
    return frozenset(place for place, column in enumerate(quoted) if all(column[1:]) and sum(column) >= _LEAST_QUOTED)


def _joined(lines: _Lines, line: str, delimiter: str, cells: int) -> list[str] | None:
    """The cells of a row with delimiters or line ends inside of quotes, which begins with this line; None where two of
    its lines are rows of their own, or its cells are too many or too few."""
    rows = 0
    for further in chain([line], islice(lines, _MOST_LINES)):
        rows += further.count(delimiter) == cells - 1
        if rows > 1:
            return None
        with suppress(csv.Error):
            found = list(csv.reader(lines.record, delimiter=delimiter, strict=True))
            return found[0] if len(found) == 1 and len(found[0]) == cells else None
    return None


def _unescaped(text: str, delimiter: str, cells: int) -> list[str] | None:
    """The cells of a line that has backslashes before quotes or delimiters, as Spark, MySQL and pandas' `escapechar`
    write; None where it has none, or means something else by them."""
    if delimiter not in QUOTING or not ('\\"' in text or f"\\{delimiter}" in text):
        return None
    if not _ESCAPED[delimiter].fullmatch(text.rstrip("\r\n")):
        return None
    others = re.sub(rf'\\(?!["{delimiter}\\])', r"\\\\", text)
    with suppress(csv.Error, ValueError):
        (found,) = csv.reader(
            others.splitlines(keepends=True),
            delimiter=delimiter,
            escapechar="\\",
            doublequote=False,
            strict=True,
            skipinitialspace=True,
        )
        return found if len(found) == cells else None
    return None


def _quoted(lines: _Lines, delimiter: str, shape: _Shape) -> Iterator[_Record]:
    """Rows by RFC 4180. Of a quote that is left open only its own line is refused; what it swallowed is read again."""
    lines.is_row = shape.is_row
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=True)
    while True:
        first = lines.begin()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except (csv.Error, Unusable) as error:
            problem = error if isinstance(error, Unusable) else Unusable("csv_syntax", str(error))
            line = lines.record[0] if lines.record else ""
            if lines.number > first:
                problem = Unusable(
                    "csv_syntax", f"a quote is opened and not closed: {excerpt(lines.record[0].strip())}"
                )
            lines.back_to(first)
            yield first, problem, line
        else:
            text = "".join(lines.record)
            if len(lines.record) > 1 and len(cells) != shape.cells:
                problem = Unusable("column_count", f"{len(cells)} cells in lines {first} to {lines.number}")
                yield from ((line, problem, "") for line, held in enumerate(lines.record, first) if held.strip())
            elif text.strip():
                yield first, cells, text


class _Lines:
    """A file's lines as text. Knows the number of the last one, goes on after one that is too long, and can go back.

    Attributes:
        number: of the last line.
        record: the lines taken since `begin`.
        is_row: whether a line looks like a row; where two lines of one record do, a quote has joined them.
    """

    def __init__(self, stream: IO[bytes]) -> None:
        self._lines = files.numbered_lines(stream)
        self._again: deque[tuple[int, bytes | None]] = deque()
        self._taken: list[tuple[int, bytes | None]] = []
        self.number = 0
        self.record: list[str] = []
        self.is_row: Callable[[str], bool] = lambda line: False
        self._rows = 0

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        self.number, line = taken = self._again.popleft() if self._again else next(self._lines)
        self._taken.append(taken)
        if line is None:
            raise Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes")
        text = _text(line)
        self.record.append(text)
        if len(self.record) > 1:
            self._rows += self.is_row(text) + (self.is_row(self.record[0]) if len(self.record) == 2 else 0)
        if self._rows > 1:
            raise Unusable("csv_syntax", "a quote is opened and not closed")
        return text

    def begin(self) -> int:
        """Forget the lines of the row before; the number of the next line."""
        self._taken, self.record, self._rows = [], [], 0
        return self._again[0][0] if self._again else self.number + 1

    def back_to(self, line: int) -> None:
        """Read the lines behind this one again."""
        self._again.extendleft(taken for taken in reversed(self._taken) if taken[0] > line)
        self.number = line

    def peek(self) -> str:
        """The first line that is not blank; empty if there is none that could be a header."""
        line = "\n"
        try:
            while line and not line.strip():
                before, line = self.number, next(self, "")
        except Unusable:
            line = ""
        self.back_to(before)
        return line


def _text(line: bytes) -> str:
    """Bytes that are no UTF-8 become surrogates here, which `make_row` refuses."""
    return line.decode("utf-8", "surrogateescape")


def _values(values: dict[str, str], choice: Choice) -> Mapping[str, object]:
    """Cells as values: whole numbers without the ``.0`` that pandas writes in a column with gaps."""
    for name in choice.names - {choice.caption, choice.image}:
        if _WHOLE_FLOAT.fullmatch(values[name]):
            values[name] = values[name].removesuffix(".0")
    return values
