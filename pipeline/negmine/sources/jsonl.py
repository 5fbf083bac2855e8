"""One JSON object a line: ``{"image": "a.jpg", "caption": "a cat"}``, with an optional ``key`` and ``image_id``."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from negmine.records import Rejected
from negmine.sources import files
from negmine.sources.row import CAPTION_COLUMNS, Row, Unusable, excerpt, row_from_columns


class Jsonl:
    name = "jsonl"
    endings = (".jsonl", ".ndjson")
    holds_images = False

    def recognises(self, path: str, head: bytes) -> bool:
        """Any whole line of the head is an object with a caption: the first one may be the broken one."""
        return any(_has_caption(line) for line in files.head_lines(head))

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path):
            with file.open() as stream:
                for number, line in files.numbered_lines(stream):
                    if line is None or line.strip():
                        yield _row(number, file.name, line)


def parse_object(content: bytes) -> dict[str, Any]:
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


def _row(number: int, source: str, line: bytes | None) -> Row | Rejected:
    if line is None:
        return Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes").rejected(number, source)
    try:
        return row_from_columns(number, source, parse_object(line))
    except Unusable as problem:
        if problem.reason == "json_syntax" and not line.endswith(b"\n"):
            problem.detail += "; the file ends inside this line: was it cut?"
        return problem.rejected(number, source)


def _has_caption(line: bytes) -> bool:
    try:
        return not parse_object(line).keys().isdisjoint(CAPTION_COLUMNS)
    except Unusable:
        return False
