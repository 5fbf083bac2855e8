"""What a resumed run compares to know that its input is still the same."""

from __future__ import annotations

import hashlib
import os
import tarfile
from collections.abc import Iterator
from typing import IO, Final

from negmine.base.errors import UsageError
from negmine.contract.records import IMAGE_EXTENSIONS
from negmine.store import input_files as files
from negmine.store.file_systems import file_system

_BLOCK: Final = 1024 * 1024
_IMAGE_BYTES: Final = 8 * tarfile.BLOCKSIZE
_EXTENSIONS: Final = tuple(f".{extension}" for extension in IMAGE_EXTENSIONS)
_IMAGES: Final = tuple(ending.encode() for ending in _EXTENSIONS)


def digest(path: str) -> str:
    """sha256 over the input's files, in hexadecimal. Equal for a copy elsewhere: neither folder nor time counts.

    Every file counts by its name and size, text also by its content. Images are not read, and in tars only their
    first bytes, which come with the header: an input of a terabyte must not be read twice.
    """
    total = hashlib.sha256()
    for file in _files(path):
        if not file.filesystem.isfile(file.path):
            continue  # a tar that is refused when it is read
        size = int(file.filesystem.size(file.path))
        total.update(f"{file.name}\0{size}\0".encode())
        if not files.has_ending(file.path, _EXTENSIONS):
            total.update(_content(file))
    return total.hexdigest()


def _files(path: str) -> Iterator[files.File]:
    """The input's files; of a folder its tars, or else everything beneath it."""
    if not files.is_folder(path) or files.has_files(path, (".tar",)):
        yield from files.expand(path, ".tar", some=True)
        return
    system, inner = file_system(path, fresh=False)
    for folder, names in files.walk(path):
        for name in names:
            relative = f"{folder}/{name}" if folder else name
            yield files.File(system, f"{inner}/{relative}", files.printable(relative))


def _content(file: files.File) -> bytes:
    content = hashlib.sha256()
    try:
        with file.open() as stream:
            if file.path.endswith(".tar"):
                for block in _members(stream):
                    content.update(block)
            while block := stream.read(_BLOCK):
                content.update(block)
    except OSError as error:
        why = error.strerror or str(error)
        raise UsageError(
            "this file cannot be read", where=file.path, why=why, fix="check the file and its disk"
        ) from None
    return content.digest()


def _members(stream: IO[bytes]) -> Iterator[bytes]:
    """Headers and contents of a tar, of images only the first bytes; to the first block that is no plain header."""
    while True:
        header = stream.read(tarfile.BLOCKSIZE)
        yield header
        left = _padded_size(header)
        if left is None:
            return
        if _is_image(header):
            start = stream.read(min(left, _IMAGE_BYTES))
            yield start
            stream.seek(left - len(start), os.SEEK_CUR)
            continue
        while left and (block := stream.read(min(left, _BLOCK))):
            yield block
            left -= len(block)


def _padded_size(header: bytes) -> int | None:
    """Bytes to the next header; None for what is no header. A fifth of what `tarfile` needs for it."""
    if header[257:262] != b"ustar":
        return None
    try:
        size = int(header[124:136].strip(b" \0") or b"0", 8)
    except ValueError:  # of 8 GB or more, or damaged
        return None
    return None if size < 0 else -(-size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE


def _is_image(header: bytes) -> bool:
    return header[156:157] in tarfile.REGULAR_TYPES and header[:100].rstrip(b"\0").lower().endswith(_IMAGES)
