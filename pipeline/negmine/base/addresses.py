"""Where things lie: local paths, and addresses of object stores, which have a local home while a command runs.

A folder at ``s3://bucket/work`` has its home at ``.../negmine-mirror-XXXX/s3/bucket/work`` on this machine's disk. The
address can be read off the path, so paths are all that stages, workers and other machines hand to each other.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path
from typing import Final

MIRROR: Final = "negmine-mirror-"
"""Names of the folders in which addresses have their home: this and 32 random hexadecimal digits, so that no name that
a person gives is taken for one."""

_MIRROR = re.compile(rf"{MIRROR}[0-9a-f]{{32}}")
_HOME = re.compile(rf"[^\s'\"=]*/{_MIRROR.pattern}/(\w+)/")
_ADDRESS = re.compile(r"[\w+.-]+(::[\w+.-]+)*://")
_LOCAL: Final = ("file://", "local://")

_URL = re.compile(r"([\w+.-]+)://[^\s'\"<>\\]*")
_USER = re.compile(r"(\w+://)[^/@\s]+@")
_SIGNATURE = re.compile(
    r"([?&](?:X-(?:Amz|Goog)-\w+|AWSAccessKeyId|Signature|sig|token|key)=)[^&\s'\"]+", re.IGNORECASE
)
_HIDDEN: Final = r"\1***"

_SECRET_NAME = re.compile(r"(KEY|SECRET|TOKEN|PASSWORD|PASSPHRASE|CREDENTIALS?)(_ID)?$", re.IGNORECASE)
_SHORTEST_SECRET: Final = 8


def is_address(text: str) -> bool:
    return _ADDRESS.match(text) is not None and not text.startswith(_LOCAL)


def one_spelling(address: str) -> str:
    """An address by the one name of its place: ``s3a`` is ``s3``, and ``..`` leads back."""
    protocol, _, rest = address.partition("://")
    return f"{protocol.replace('s3a', 's3')}://{posixpath.normpath(rest)}"


def is_web(address: str) -> bool:
    """Whether what follows a ``?`` in it is a query and not a part of a name, as it is in a bucket."""
    return is_address(address) and address.rpartition("://")[0].endswith(("http", "https"))


def without_query(address: str) -> str:
    """An address as it may be written down: queries hold signatures and tokens."""
    return address.partition("?")[0] if is_web(address) else address


def address_of(path: Path) -> str | None:
    """The address whose home a path is; None for an ordinary path."""
    if MIRROR not in str(path):
        return None
    parts = path.parts
    at = next((number for number, part in enumerate(parts) if _MIRROR.fullmatch(part)), len(parts))
    return f"{parts[at + 1]}://{'/'.join(parts[at + 2 :])}" if at + 2 < len(parts) else None


def readable(text: str) -> str:
    """A text for people and logs: addresses in place of their homes, and no credentials."""
    if MIRROR in text:
        text = _HOME.sub(r"\1://", text)
    if "://" in text:
        text = _URL.sub(lambda found: _bare(found[0], found[1]), text)
    for secret in _secrets():
        text = text.replace(secret, "***")
    return text


def _bare(url: str, scheme: str) -> str:
    """A URL without user and password, and without what a query tells: all of it, or signatures in a bucket's."""
    url = _USER.sub(_HIDDEN + "@", url)
    return re.sub(r"\?.+", "?***", url) if scheme in ("http", "https") else _SIGNATURE.sub(_HIDDEN, url)


def _secrets() -> list[str]:
    """Values of the environment that are secrets by the name of their variable, and do not name a place."""
    return [
        value
        for name, value in os.environ.items()
        if _SECRET_NAME.search(name)
        and len(value) >= _SHORTEST_SECRET
        and not value.startswith(("/", "~", "./", "../"))
        and not os.path.exists(value)  # noqa: PTH110  any text may stand here
    ]
