"""Files that are read as a whole, and that somebody else may have made: a pipe does not end, nor does a device."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

MAX_BYTES: Final = 256 * 1024 * 1024
"""Ten times what the index of a billion pairs has."""


def is_file(path: Path) -> bool:
    """Whether there is such a file; a name may be too long to be one."""
    try:
        return path.is_file()
    except OSError:
        return False


def read_whole(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        OSError: it cannot be read, is a pipe, a device or a folder, or has more than `MAX_BYTES`.
    """
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:  # a pipe would wait
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode):
            raise OSError("it is a pipe, a device or a folder, and no file")
        if found.st_size > MAX_BYTES:
            raise OSError(f"it has {found.st_size:,} bytes, more than {MAX_BYTES:,}")
        return file.read()
