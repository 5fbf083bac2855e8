"""What a resumed run compares to know that its input is still the same."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from negmine.errors import UsageError
from negmine.records import IMAGE_EXTENSIONS
from negmine.sources import files

_BLOCK: Final = 1024 * 1024
_IMAGES: Final = tuple(f".{extension}" for extension in IMAGE_EXTENSIONS)


def digest(path: str) -> str:
    """sha256 over the input's files, in hexadecimal. Equal for a copy elsewhere: neither folder nor time counts.

    Every file counts by its name and size, text also by its content. Pictures are not read, and of tars only the
    first and last megabyte: an input of a terabyte must not be read twice.
    """
    total = hashlib.sha256()
    for file in _files(path):
        size = int(file.filesystem.size(file.path))
        total.update(f"{file.name}\0{size}\0".encode())
        if not files.has_ending(file.path, _IMAGES):
            total.update(_content(file, size))
    return total.hexdigest()


def _files(path: str) -> Iterator[files.File]:
    """The input's files; of a folder its tars, or else everything beneath it."""
    if not files.is_folder(path) or files.has_files(path, (".tar",)):
        yield from files.expand(path, ".tar")
        return
    system, inner = files.filesystem(path)
    for folder, names in files.walk(path):
        for name in names:
            relative = f"{folder}/{name}" if folder else name
            yield files.File(system, f"{inner}/{relative}", files.printable(relative))


def _content(file: files.File, size: int) -> bytes:
    content = hashlib.sha256()
    try:
        with file.open() as stream:
            if file.path.endswith(".tar") and size > 2 * _BLOCK:
                content.update(stream.read(_BLOCK))
                stream.seek(size - _BLOCK)
            while block := stream.read(_BLOCK):
                content.update(block)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            "this file cannot be read", where=file.path, why=why, fix="check the file and its disk"
        ) from None
    return content.digest()
