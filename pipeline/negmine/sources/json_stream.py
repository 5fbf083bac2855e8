"""JSON documents larger than memory: events and array entries as they come by."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import count
from typing import Any

import ijson

from negmine.sources.files import BOM, File, damaged


def entries(file: File, array: str) -> Iterator[tuple[int, Any]]:
    """The entries of a top-level array, numbered from 1; the rest of the document is checked but not built.

    Raises:
        InputError: the document stops half-way or is no JSON.
    """
    with file.open() as stream:
        if stream.read(len(BOM)) != BOM:
            stream.seek(0)
        try:
            yield from zip(count(1), ijson.items(stream, f"{array}.item"))
        except ijson.JSONError as error:
            why = str(error).splitlines()[0].removeprefix("b'")
            raise damaged(f"{file.path}, at or before byte {stream.tell():,}", why) from None


def prefixes(head: bytes) -> set[str]:
    """The places (``images.item.file_name``) that the beginning of a document has."""
    found: set[str] = set()
    try:
        for prefix, _, _ in ijson.parse(io.BytesIO(head.removeprefix(BOM))):
            found.add(prefix)
    except ijson.JSONError:
        pass  # the head ends in the middle of the document
    return found
