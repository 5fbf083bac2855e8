"""Files that somebody else wrote: local paths, patterns and fsspec URLs, and how their bytes are read."""

from __future__ import annotations

import io
import os
import posixpath
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from fsspec.implementations.local import LocalFileSystem

from negmine.base.addresses import is_address, without_query
from negmine.base.errors import InputError, UsageError
from negmine.store.file_systems import file_system
from negmine.store.places import fixed_part, matches

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

HEAD_BYTES: Final = 64 * 1024
"""As much of a file as most formats are recognised by."""

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""Longer lines are rejected unread: a file without line ends must not fill the memory."""

BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True, slots=True)
class File:
    """One input file.

    Attributes:
        filesystem: fsspec's.
        path: in that file system.
        name: relative to the input's root; for people and for `Row.source`.
    """

    filesystem: AbstractFileSystem
    path: str
    name: str

    def open(self) -> IO[bytes]:
        """The bytes, buffered and seekable.

        Raises:
            UsageError: the file cannot be read, or its server cannot seek.
        """
        try:
            if isinstance(self.filesystem, LocalFileSystem):
                return Path(self.path).open("rb")
            stream = self.filesystem.open(self.path, "rb")
        except PermissionError as error:
            raise UsageError(
                "this file may not be read",
                where=self.path,
                why=str(error.strerror or error),
                fix="change its permissions, or copy it to where you may read it",
            ) from None
        if not stream.seekable():
            raise UsageError(
                "this server sends files only from the beginning to the end",
                where=self.path,
                fix="download the file first, or write simplecache:: before its URL",
            )
        return io.BufferedReader(stream)  # its readline takes a limit, that of fsspec's own files does not


def root(path: str) -> str:
    """The folder that file names, and image names by default, are relative to.

    A folder is its own root; a file's root is its folder; a pattern's is the folder before its first wildcard. A root
    on this machine is an absolute path.
    """
    system, inner = file_system(path, fresh=False)
    named = path if is_address(path) else inner
    if system.isdir(inner):
        return named
    fixed = without_query(named.removesuffix(fixed_part(system, inner)[1]))
    scheme, separator, rest = fixed.rpartition("://")
    return scheme + separator + (posixpath.dirname(rest) or "/" * (not separator))


def is_folder(path: str) -> bool:
    system, inner = file_system(path, fresh=False)
    return bool(system.isdir(inner))


def has_files(path: str, endings: tuple[str, ...]) -> bool:
    """Whether a folder itself, not its sub-folders, has files with one of these endings."""
    system, inner = file_system(path, fresh=False)
    return any(name.endswith(endings) for name in system.ls(inner, detail=False))


def expand(path: str, ending: str | None = None, *, some: bool = False) -> list[File]:
    """The files that a path or pattern stands for: a file itself, what a pattern matches, a folder's own files.

    Args:
        path: local path or URL; ``*``, ``?``, ``[...]`` and ``{00..07}`` make a pattern where no such file exists.
        ending: of the files to take from a folder; None where the format does not read folders.
        some: whether it is enough that one of several files is there; opening another raises FileNotFoundError.

    Raises:
        UsageError: nothing is there.
    """
    system, inner = file_system(path, fresh=False)
    if system.isdir(inner):
        if ending is None:
            raise UsageError("this is a folder; this format is read from files", where=path, fix="name the file")
        found = sorted(name for name in system.ls(inner, detail=False) if name.endswith(ending))
    else:
        found = matches(system, inner, some=some)
    missing = [name for name in found if not system.isfile(name)]
    if len(missing) == len(found) or (missing and not some):
        where = (missing or [inner])[0]
        raise UsageError("there is no such file", where=where, fix="name a file, or a folder that holds some")
    base = file_system(root(path), fresh=False)[1]
    return [File(system, name, printable(without_query(name).removeprefix(base).lstrip("/"))) for name in found]


def heads(path: str) -> Iterator[bytes]:
    """`heads_of` the first file that has some bytes; one, empty, for a folder.

    Raises:
        UsageError: nothing is there.
        InputError: all files are empty.
    """
    if is_folder(path):
        yield b""
        return
    found = expand(path, some=True)
    for file in found:
        with suppress(FileNotFoundError), file.open() as stream:
            for start in heads_of(stream):
                if not start:
                    break
                yield start
            else:
                return
    raise InputError("this file is empty", where=found[0].path, fix="make or download it again")


def heads_of(stream: IO[bytes], least: int = HEAD_BYTES) -> Iterator[bytes]:
    """The first bytes of a file, at `least` so many, and twice as many each time if they are of JSON: its first value
    may be as long as a line, and only behind it is seen what the file holds."""
    head = stream.read(least)
    yield head
    while is_json(head) and len(head) < MAX_LINE_BYTES and (more := stream.read(len(head))):
        head += more
        yield head


def is_json(head: bytes) -> bool:
    """Whether a file that begins so can be JSON, or lines of it."""
    return head.removeprefix(BOM).lstrip().startswith((b"{", b"["))


def walk(path: str) -> Iterator[tuple[str, list[str]]]:
    """Each folder under a folder (relative to it, ``""`` first) and the sorted names of its files.

    Linked folders are not entered; hidden files and folders are passed over.
    """
    system, inner = file_system(path, fresh=False)
    local = isinstance(system, LocalFileSystem)
    for folder, folders, names in os.walk(inner, onerror=_refuse) if local else system.walk(inner):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield folder.removeprefix(inner).strip("/"), sorted(name for name in names if not name.startswith("."))


def _refuse(error: OSError) -> None:
    raise UsageError(
        "this folder cannot be read", where=str(error.filename), why=str(error.strerror), fix="change its permissions"
    )


def numbered_lines(stream: IO[bytes]) -> Iterator[tuple[int, bytes | None]]:
    """Lines with their line ends, numbered from 1; None for one longer than `MAX_LINE_BYTES`.

    Raises:
        InputError: the lines end in CR alone: all of them would be one.
    """
    for number in count(1):
        line = stream.readline(MAX_LINE_BYTES)
        if not line:
            return
        if number == 1 and b"\r" in line.strip() and not line.endswith(b"\n"):
            raise InputError(
                "the lines of this file end in CR, as on old Macs",
                where=str(getattr(stream, "name", "")) or None,
                fix="write it with LF: tr '\\r' '\\n' < FILE > NEW",
            )
        complete = line.endswith(b"\n") or len(line) < MAX_LINE_BYTES
        if not complete:
            _skip_line(stream)
        yield number, (line.removeprefix(BOM) if number == 1 else line) if complete else None


def _skip_line(stream: IO[bytes]) -> None:
    while (rest := stream.readline(MAX_LINE_BYTES)) and not rest.endswith(b"\n"):
        pass


def head_lines(head: bytes) -> list[bytes]:
    """The complete lines of a file's first bytes that are not blank."""
    lines = head.removeprefix(BOM).splitlines(keepends=True)
    if len(head) >= HEAD_BYTES and len(lines) > 1 and not lines[-1].endswith(b"\n"):
        lines.pop()
    return [line for line in lines if line.strip()]


def has_ending(path: str, endings: Iterable[str]) -> bool:
    return path.lower().endswith(tuple(endings))


def printable(name: str) -> str:
    """A file name that can be stored: bytes that are no UTF-8 become escapes."""
    return name.encode("utf-8", "backslashreplace").decode()


def damaged(where: str, why: str) -> InputError:
    """A file that stops half-way, or is broken inside."""
    return InputError(
        "this file is cut or damaged", where=where, why=why, fix="download or write it again, then run the same command"
    )
