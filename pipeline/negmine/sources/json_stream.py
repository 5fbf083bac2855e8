"""JSON documents larger than memory, from front to back: one entry of an array at a time.

The document is cut here, its pieces are parsed by the standard library: NaN, escapes and numbers mean the same in all
formats.
"""

from __future__ import annotations

import codecs
import io
import json
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import IO, Final, TypeVar

from negmine.store import input_files as files

T = TypeVar("T")

_BLOCK: Final = 64 * 1024
_BLANKS: Final = " \t\r\n"
_SPACE = re.compile(r"[ \t\r\n]*")
_DECODER: Final = json.JSONDecoder()
SAMPLE: Final = 100
"""Entries of an array by which its columns are known."""


def entries(file: files.File, array: str | None) -> Iterator[tuple[int, object]]:
    """The entries of a top-level array, or of the array that the document is (None), numbered from 1.

    Raises:
        InputError: as `all_entries`.
    """
    return enumerate((value for name, value in all_entries(file) if name == array), 1)


def all_entries(file: files.File) -> Iterator[tuple[str | None, object]]:
    """The entries of all top-level arrays, each with the array's name; None if the document is the array.

    Bytes that are no UTF-8 become surrogates, which `make_row` refuses.

    Raises:
        InputError: the document stops half-way or is no JSON, or an entry is longer than a line may be.
    """
    yield from _read(file, _Document.walk)


def objects(file: files.File) -> Iterator[object]:
    """The entries of a document's arrays, and the objects under its names: of SugarCrepe's ``{"0": {...}, ...}``.

    Raises:
        InputError: as `all_entries`.
    """
    yield from _read(file, _Document.objects)


def _read(file: files.File, walk: Callable[[_Document], Iterator[T]]) -> Iterator[T]:
    with file.open() as stream:
        document = _Document(stream)
        try:
            yield from walk(document)
            document.finish()
        except _Malformed as problem:
            raise files.damaged(f"{file.path}, at or before byte {stream.tell():,}", str(problem)) from None


@dataclass
class Outline:
    """What the beginning of a document shows.

    Attributes:
        values: top-level names with a value that is no array; empty if the document is an array.
        arrays: name to the first entries; the name is None for a document that is an array.
        is_whole: whether this is all of it.
    """

    values: dict[str, object] = field(default_factory=dict)
    arrays: dict[str | None, list[object]] = field(default_factory=dict)
    is_whole: bool = False

    def objects(self, array: str | None) -> list[dict[str, object]]:
        return [entry for entry in self.arrays[array] if isinstance(entry, dict)]

    def names(self, array: str | None) -> list[str]:
        """The names in an array's first entries."""
        return names_in(self.arrays[array])


def names_in(found: Iterable[object]) -> list[str]:
    """The names of the objects among some entries, in order."""
    return list(dict.fromkeys(name for entry in found if isinstance(entry, dict) for name in entry))


def outline(head: bytes) -> Outline | None:
    """What a document shows that begins with `head`; None if that is no single document."""
    document, found = _Document(io.BytesIO(head)), Outline()
    try:
        if document.peek() not in ("{", "["):
            return None
        for name, is_array, value in document.pieces():
            if not is_array:
                found.values[name or ""] = value
            elif len(entries := found.arrays.setdefault(name, [])) < SAMPLE and value is not _EMPTY:
                entries.append(value)
        document.finish()
        found.is_whole = True
    except _Malformed as problem:
        return None if problem.more else found  # the head ends in the middle of the document
    return found


def is_spread(head: bytes) -> bool:
    """Whether objects follow each other that are no lines of JSONL: the first has several, as `jq .` writes them."""
    text = head.removeprefix(files.BOM).decode(errors="replace").lstrip()
    if not text.startswith("{"):
        return False
    try:
        _, end = _DECODER.raw_decode(text)
    except (ValueError, RecursionError):
        return False
    return "\n" in text[:end] and text[end:].lstrip().startswith("{")


class _Malformed(Exception):
    """This is no JSON, or not all of it; `more` if a whole document is there and something follows it."""

    def __init__(self, why: str, more: bool = False) -> None:
        super().__init__(why)
        self.more = more


_EMPTY: Final = object()


class _Document:
    """A JSON text whose beginning is held."""

    def __init__(self, stream: IO[bytes]) -> None:
        if stream.read(len(files.BOM)) != files.BOM:
            stream.seek(0)
        self._stream = stream
        self._decode = codecs.getincrementaldecoder("utf-8")("surrogateescape").decode
        self._text, self._at, self._ended = "", 0, False

    def walk(self) -> Iterator[tuple[str | None, object]]:
        """The entries of top-level arrays, each with the array's name; other values are only checked."""
        for name, is_array, value in self.pieces():
            if is_array and value is not _EMPTY:
                yield name, value

    def pieces(self) -> Iterator[tuple[str | None, bool, object]]:
        """Name, whether it is an entry of an array, and the entry or the value; an array begins with `_EMPTY`."""
        if self.peek() == "[":
            yield None, True, _EMPTY
            yield from ((None, True, value) for value in self._entries())
            return
        for name in self._names():
            kind = self.peek()
            if kind == "[":
                yield name, True, _EMPTY
                yield from ((name, True, value) for value in self._entries())
            elif kind == "{":
                for _ in self._names():  # piece by piece, for it may be large
                    self._value()
                yield name, False, {}
            else:
                yield name, False, self._value()

    def objects(self) -> Iterator[object]:
        """Entries of arrays, and values that are objects."""
        if self.peek() == "[":
            yield from self._entries()
            return
        for _ in self._names():
            if self.peek() == "[":
                yield from self._entries()
            elif isinstance(value := self._value(), dict):
                yield value

    def finish(self) -> None:
        if self.peek():
            raise _Malformed("something follows the end of the document", more=True)

    def peek(self) -> str:
        """The next character that is no white space; empty at the end."""
        while True:
            if self._at < len(self._text) and self._text[self._at] not in _BLANKS:
                return self._text[self._at]
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at == len(self._text) and not self._more():
                return ""

    def _entries(self) -> Iterator[object]:
        self._take("[")
        if self.peek() == "]":
            self._take("]")
            return
        while True:
            yield self._value()
            if self._take(",]") == "]":
                return

    def _names(self) -> Iterator[str]:
        """The names of an object; whoever asks takes the value behind each."""
        self._take("{")
        if self.peek() == "}":
            self._take("}")
            return
        while True:
            if self.peek() != '"':
                raise _Malformed("a name in quotes is expected")
            name = str(self._value())
            self._take(":")
            yield name
            if self._take(",}") == "}":
                return

    def _take(self, expected: str) -> str:
        found = self.peek()
        if not found or found not in expected:
            what = "the document ends" if not found else f"there is {found!r}"
            raise _Malformed(f"{what} where {' or '.join(map(repr, expected))} is expected")
        self._at += 1
        return found

    def _value(self) -> object:
        self.peek()
        while True:
            problem = "the document ends"
            try:
                value, end = _DECODER.raw_decode(self._text, self._at)
            except json.JSONDecodeError as error:
                problem = error.msg
            except RecursionError:
                raise _Malformed("it is nested too deeply") from None
            except ValueError as error:  # a number of more digits than Python takes
                raise _Malformed(str(error).partition(";")[0]) from None
            else:
                if end < len(self._text) or self._ended:  # else a number may go on
                    self._at = end
                    return value
            if len(self._text) - self._at > files.MAX_LINE_BYTES:
                raise _Malformed(f"an entry is broken, or longer than {files.MAX_LINE_BYTES:,} characters")
            if not self._more() and problem != "the document ends":
                raise _Malformed(problem)

    def _more(self) -> bool:
        """Read on, as much again as is held: an entry is parsed anew each time."""
        if self._ended:
            return False
        block = self._stream.read(max(_BLOCK, len(self._text) - self._at))
        self._ended = not block
        self._text, self._at = self._text[self._at :] + self._decode(block, self._ended), 0
        return bool(block)
