"""Reading benchmark files: rows with their place, fields by name, images in a folder."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final

from negmine.base.errors import InputError, UsageError
from negmine.base.whole_files import read_whole
from negmine.contract.records import MEMBER_MARK
from negmine.images.decode import BadImageError
from negmine.images.locate import ImageRoot
from negmine.store.input_files import BOM, MAX_LINE_BYTES, numbered_lines, walk

SUFFIXES: Final = (".jpg", ".png", ".jpeg", ".webp")
"""Of images; tried in this order where a benchmark names an image without one."""


@dataclass(frozen=True)
class Row:
    """One row of a file and where it stands."""

    value: object
    key: str
    file: Path
    format: str

    @property
    def where(self) -> str:
        return f"{self.file}, row {self.key}"

    def has(self, name: str) -> bool:
        """Whether the row is an object with this field."""
        return isinstance(self.value, Mapping) and name in self.value

    def text(self, *names: str) -> str:
        """The first of these fields that is there.

        Raises:
            InputError: none of them, or not text, or blank.
        """
        found = self.get(*names)
        if not isinstance(found, str) or not found.strip():
            raise self.error(f"{names[0]!r} should be text and is {found!r}")
        return found

    def number(self, *names: str) -> int:
        """The same for a whole number."""
        found = self.get(*names)
        if isinstance(found, bool) or not isinstance(found, int | float) or found % 1:
            raise self.error(f"{names[0]!r} should be a whole number and is {found!r}")
        return int(found)

    def get(self, *names: str) -> object:
        """The same for any value."""
        if not isinstance(self.value, Mapping):
            raise self.error(f"it should be an object with {', '.join(names)}")
        for name in names:
            if self.value.get(name) is not None:
                return self.value[name]
        raise self.error(f"{' or '.join(map(repr, names))} is missing")

    def error(self, why: str) -> InputError:
        return InputError(f"this is not a row of {self.format}", where=self.where, why=why)


def find_files(path: Path, format_name: str, *patterns: str) -> list[Path]:
    """The file that is named, or those of a folder that match.

    Raises:
        UsageError: there is none.
    """
    files = sorted(file for pattern in patterns for file in path.glob(pattern)) if path.is_dir() else [path]
    lost = next((file for file in files if not file.is_file()), None)
    if not files or lost is not None:
        wanted = " or ".join(patterns)
        raise UsageError(
            f"no {format_name} file here", where=str(lost or path), fix=f"name a file, or a folder that holds {wanted}"
        )
    return files


def read_rows(file: Path, format_name: str) -> Iterator[Row]:
    """The rows of JSONL, or of a JSON array or object of rows; a row's key is its line, place or name.

    Raises:
        InputError: not JSON.
    """
    if file.suffix == ".jsonl":
        with file.open("rb") as stream:
            for number, line in numbered_lines(stream):
                if line is None or line.strip():
                    yield Row(_parsed(line, f"{file}, line {number}", format_name), str(number), file, format_name)
        return
    body = read_json(file, format_name)
    if not isinstance(body, dict | list):
        raise InputError(f"this is not a {format_name} file", where=str(file), why="it holds no rows")
    named = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in named:
        yield Row(value, str(key), file, format_name)


def read_json(file: Path, format_name: str) -> object:
    """The one JSON value of a file.

    Raises:
        InputError: not JSON.
    """
    try:
        content = read_whole(file)
    except OSError as error:
        raise InputError(
            f"this is not a {format_name} file", where=str(file), why=error.strerror or str(error)
        ) from None
    return _parsed(content.removeprefix(BOM), str(file), format_name)


def _parsed(content: bytes | None, where: str, format_name: str) -> object:
    try:
        if content is None:
            raise ValueError(f"more than {MAX_LINE_BYTES:,} bytes")
        value = json.loads(content.decode(), object_pairs_hook=_once)
        json.dumps(value, ensure_ascii=False).encode()  # escapes of half a character are no text
        return value
    except (ValueError, RecursionError) as error:
        raise InputError(f"this is not a {format_name} file", where=where, why=str(error)) from None


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """An object; JSON leaves open which of two values of one key would count."""
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"the key {twice[:100]!r} is there twice")
    return found


class ImageFolder:
    """The images below a folder, by name; never one outside of it, and never a namesake in another folder.

    A name is answered by the file of that path below the folder. If there is none, by the one file whose path ends so:
    benchmarks keep the images of several sources in sub-folders and leave the folder out, or name it where it is
    the given folder itself. If there is none of these either, and the folder that the name begins with is nowhere,
    by the one file that is called so: the images were put together in one folder.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self._source = ImageRoot(str(root))
        self._asked: dict[str, str] = {}

    def read(self, name: str, offset: int | None = None, size: int | None = None) -> bytes | None:
        """Encoded bytes of an image; None if it is missing. The suffix may be left out.

        Args:
            name: path, or ``archive::member`` (see `ImageRoot.read`, for `offset` and `size` too).

        Raises:
            InputError: several files may be meant, or one file stands for two names.
        """
        if MEMBER_MARK in name:
            with suppress(BadImageError):
                return self._source.read(name, offset, size)
            return None
        names = [name] if PurePosixPath(name).suffix.lower() in SUFFIXES else [name + suffix for suffix in SUFFIXES]
        for candidate in (*names, *filter(None, map(self._elsewhere, names))):
            with suppress(BadImageError):
                return self._source.read(candidate)
        return None

    def _elsewhere(self, name: str) -> str | None:
        """The file that a name means which is not the path of one."""
        parts = PurePosixPath(name).parts
        if ".." in parts or not parts:
            return None
        files = self._by_name.get(parts[-1], [])
        meant = [file for file in files if (*self._above, *PurePosixPath(file).parts)[-len(parts) :] == parts]
        if not meant and self._folders.isdisjoint(parts[:-1]):
            meant = files
        if len(meant) > 1:
            raise InputError(
                "an image's name means several files",
                where=f"{name} in {self.root}",
                why=", ".join(meant[:3]),
                fix="give --images the folder that the names begin in, or name the images with their folders",
            )
        if meant and self._asked.setdefault(meant[0], name) != name:
            raise InputError(
                "one file would stand for two images",
                where=f"{meant[0]} in {self.root}",
                why=f"both {self._asked[meant[0]]} and {name} are asked for, and their folders are not there",
                fix="give --images the folder that holds these folders",
            )
        return meant[0] if meant else None

    @cached_property
    def _above(self) -> tuple[str, ...]:
        return self.root.resolve().parts

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        """Name to paths of the files below the folder; the tree is walked once, if at all."""
        found: dict[str, list[str]] = {}
        for folder, names in walk(str(self.root)):
            for name in names:
                found.setdefault(name, []).append(f"{folder}/{name}" if folder else name)
        return found

    @cached_property
    def _folders(self) -> frozenset[str]:
        """Names of the folders that images lie in: the folder itself, and those below it."""
        below = (part for files in self._by_name.values() for file in files for part in PurePosixPath(file).parts[:-1])
        return frozenset({*below, *self._above[-1:]})


def open_image_folder(images: Path | None, path: Path) -> ImageFolder:
    """The folder of a benchmark's images.

    Raises:
        UsageError: none was given, or it is no folder.
    """
    if images is None:
        raise UsageError("the images of this benchmark are elsewhere", where=str(path), fix="give --images DIR")
    if not images.is_dir():
        raise UsageError("this folder of images does not exist", where=str(images), fix="check --images")
    return ImageFolder(images)
