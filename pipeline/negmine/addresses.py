"""Where things lie: local paths, and addresses of object stores, which have a local home while a command runs.

A folder at ``s3://bucket/work`` has its home at ``.../negmine-mirror-XXXX/s3/bucket/work`` on this machine's disk. The
address can be read off the path, so paths are all that stages, workers and other machines hand to each other.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

MIRROR: Final = "negmine-mirror-"
"""Names of the folders begin so in which addresses have their home."""

_HOME = re.compile(rf"[^\s'\"=]*/{MIRROR}\w+/(\w+)/")
_SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|CREDENTIAL", re.IGNORECASE)
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_SIGNATURE = re.compile(
    r"([?&](?:X-(?:Amz|Goog)-\w+|AWSAccessKeyId|Signature|sig|token|key)=)[^&\s'\"]+", re.IGNORECASE
)
_HIDDEN: Final = r"\1***"
_SHORTEST_SECRET: Final = 8


def is_address(text: str) -> bool:
    return "://" in text and not text.startswith(("file://", "local://"))


def place(text: str | Path) -> Path:
    """A folder that a command reads and writes: a path as it is, the home of an address.

    Raises:
        UsageError: no driver for such addresses, or credentials in it.
        ResourceError: the store refuses, or does not answer.
    """
    if not is_address(str(text)):
        return Path(text)
    from negmine.store.remote import open_home

    return open_home(str(text))


def file_place(text: str | Path) -> Path:
    """A file that a command writes: as `place` for its folder."""
    folder, slash, name = str(text).rpartition("/")
    return place(folder) / name if slash and is_address(str(text)) else Path(text)


def on_disk(text: str | Path) -> Path:
    """A path that cannot lie in an object store.

    Raises:
        UsageError: it is an address.
    """
    if is_address(str(text)):
        from negmine.errors import UsageError

        raise UsageError(
            "this must be on a disk, and is an address", where=str(text), fix="name a local path, and copy"
        )
    return Path(text)


def address_of(path: Path) -> str | None:
    """The address whose home a path is; None for an ordinary path."""
    if MIRROR not in str(path):
        return None
    parts = path.parts
    at = next((number for number, part in enumerate(parts) if part.startswith(MIRROR)), len(parts))
    return f"{parts[at + 1]}://{'/'.join(parts[at + 2 :])}" if at + 2 < len(parts) else None


def readable(text: str) -> str:
    """A text for people and logs: addresses in place of their homes, and no credentials."""
    if MIRROR in text:
        text = _HOME.sub(r"\1://", text)
    if "://" in text:
        text = _SIGNATURE.sub(_HIDDEN, _USER.sub(r"\1***@", text))
    for name, value in os.environ.items():
        if len(value) >= _SHORTEST_SECRET and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text
