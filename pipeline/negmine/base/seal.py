"""JSON documents that show whether somebody edited them: a checksum of the content is part of the document."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from negmine.base.errors import DamagedError
from negmine.base.lfs import POINTER, PULL, is_pointer

if TYPE_CHECKING:
    from negmine.base.documents import Document

_DIGITS: Final = 16
"""Of the checksum of a journal's line."""


def canonical(body: object) -> bytes:
    """The one spelling of a JSON value that is hashed."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def digest(body: object) -> str:
    """sha256 of a JSON value, independent of key order and white space."""
    return hashlib.sha256(canonical(body)).hexdigest()


def seal(body: dict[str, object]) -> str:
    """`body` as JSON text that ends with its own checksum."""
    return json.dumps({**body, "checksum": digest(body)}, indent=1, ensure_ascii=False) + "\n"


def unseal(text: str, where: str, fix: str) -> Document:
    """Parse sealed text and check its checksum.

    Raises:
        DamagedError: the text is no JSON object, or it is not what was written.
    """
    if is_pointer(text.encode(errors="replace")):
        raise DamagedError("this file is not there yet", where=where, why=POINTER, fix=PULL)
    try:
        body = json.loads(text)
        checksum = body.pop("checksum")
        valid = checksum == digest(body)
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError("this file is damaged", where=where, why=repr(error), fix=fix) from None
    if not valid:
        raise DamagedError(
            "this file was edited after it was written", where=where, why="its checksum differs", fix=fix
        )
    return dict(body)


def journal_line(body: Mapping[str, object]) -> bytes:
    """A line of a journal: a JSON value, a tab (JSON text has none), and the first digits of its sha256."""
    text = canonical(body)
    return text + b"\t" + hashlib.sha256(text).hexdigest()[:_DIGITS].encode() + b"\n"


def read_journal_line(line: bytes, where: str, fix: str) -> object:
    """The JSON value of a journal's line, which earlier versions wrote without a checksum.

    Raises:
        DamagedError: it is not what was written.
    """
    text, tab, checksum = line.partition(b"\t")
    try:
        if tab and checksum.decode(errors="replace") != hashlib.sha256(text).hexdigest()[:_DIGITS]:
            raise ValueError("its checksum differs")
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DamagedError("the journal is damaged", where=where, why=str(error) or repr(error), fix=fix) from None
