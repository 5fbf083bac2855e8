"""Pointer files of Git LFS: what a clone holds in place of large files that were not downloaded."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_BEGINNING: Final = b"version https://git-lfs.github.com/spec/"

POINTER: Final = "it is a Git LFS pointer, not the file itself"
PULL: Final = "download the files: git lfs pull"


def is_pointer(content: bytes) -> bool:
    """Whether a file that begins so is a pointer."""
    return content.startswith(_BEGINNING)


def is_pointer_file(path: Path) -> bool:
    """Whether a file on this machine is a pointer."""
    try:
        with path.open("rb") as stream:
            return is_pointer(stream.read(len(_BEGINNING)))
    except OSError:
        return False
