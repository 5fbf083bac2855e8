"""JSON documents that show whether somebody edited them: a checksum of the content is part of the document."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

from negmine.base.errors import DamagedError
from negmine.base.lfs import POINTER, PULL, is_pointer

if TYPE_CHECKING:
    from negmine.base.documents import Document


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
