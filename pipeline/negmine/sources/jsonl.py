"""One JSON object a line: ``{"image": "a.jpg", "caption": "a cat"}``, with an optional ``key`` and ``image_id``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from negmine.contract.records import Rejected
from negmine.sources.columns import WithColumns
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, excerpt
from negmine.store import input_files as files

_SAMPLE_OBJECTS: Final = 1_000
_SAMPLE_BYTES: Final = 1024 * 1024


@dataclass(frozen=True)
class Jsonl(WithColumns):
    """The columns are the names in the first objects of a file."""

    name: ClassVar[str] = "jsonl"
    endings: ClassVar[tuple[str, ...]] = (".jsonl", ".ndjson")
    holds_images: ClassVar[bool] = False

    def recognises(self, path: str, head: bytes) -> bool:
        """Any whole line of the head is an object with a caption: the first one may be the broken one."""
        return any(self.has_captions(_names(line)) for line in files.head_lines(head))

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path):
            yield from self._read(file)

    def _read(self, file: files.File) -> Iterator[Row | Rejected | Noted]:
        names = _first_names(file)
        choice = self.columns.choose(names, file.path) if names else None
        if choice is not None:
            yield choice.noted(names)
        with file.open() as stream:
            for number, line in files.numbered_lines(stream):
                if line is not None and not line.strip():
                    continue
                try:
                    values = _object(line)
                except Unusable as problem:
                    yield problem.rejected(number, file.name)
                else:
                    assert choice is not None  # there is an object, so there are names
                    yield from choice.rows(number, file.name, values)


def parse_object(content: bytes) -> dict[str, object]:
    """The JSON object in `content`.

    Raises:
        Unusable: ``not_utf8``, ``json_syntax`` or ``not_an_object``.
    """
    try:
        value = json.loads(content.decode())
    except UnicodeDecodeError as error:
        raise Unusable("not_utf8", f"byte {error.start + 1} is no UTF-8") from None
    except (ValueError, RecursionError) as error:
        raise Unusable("json_syntax", str(error)) from None
    if not isinstance(value, dict):
        raise Unusable("not_an_object", f"{excerpt(value)} is no JSON object")
    return value


def _object(line: bytes | None) -> dict[str, object]:
    if line is None:
        raise Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes")
    try:
        return parse_object(line)
    except Unusable as problem:
        if problem.reason == "json_syntax" and not line.endswith(b"\n"):
            problem.detail += "; the file ends inside this line: was it cut?"
        raise


def _first_names(file: files.File) -> list[str]:
    """The names in a file's first objects, in order; empty only if it has no object with a name at all."""
    names: dict[str, None] = {}
    objects = read = 0
    with file.open() as stream:
        for _, line in files.numbered_lines(stream):
            found = _names(line or b"")
            names |= dict.fromkeys(found)
            objects, read = objects + bool(found), read + len(line or b"")
            if names and (objects >= _SAMPLE_OBJECTS or read >= _SAMPLE_BYTES):
                break
    return list(names)


def _names(line: bytes) -> list[str]:
    try:
        return list(parse_object(line))
    except Unusable:
        return []
