"""Reading benchmark files: rows with their place, fields by name, pictures in a folder."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from negmine.errors import InputError, UsageError

SUFFIXES: Final = (".jpg", ".png", ".jpeg", ".webp")
"""Of pictures; tried in this order where a benchmark names a picture without one."""


@dataclass(frozen=True)
class Row:
    """One row of a file and where it stands."""

    value: Any
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
            InputError: none of them, or not text.
        """
        found = self.get(*names)
        if not isinstance(found, str):
            raise self.error(f"{names[0]!r} should be text and is {found!r}")
        return found

    def number(self, *names: str) -> int:
        """The same for a whole number."""
        found = self.get(*names)
        if isinstance(found, bool) or not isinstance(found, int | float) or found != int(found):
            raise self.error(f"{names[0]!r} should be a whole number and is {found!r}")
        return int(found)

    def get(self, *names: str) -> Any:
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
    if not files or not files[0].is_file():
        wanted = " or ".join(patterns)
        raise UsageError(
            f"no {format_name} file here", where=str(path), fix=f"name a file, or a folder that holds {wanted}"
        )
    return files


def read_rows(file: Path, format_name: str) -> Iterator[Row]:
    """The rows of JSONL, or of a JSON array or object of rows; a row's key is its line, place or name.

    Raises:
        InputError: not JSON.
    """
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".jsonl":
            for number, line in enumerate(text.splitlines(), 1):
                if line.strip():
                    yield Row(json.loads(line), str(number), file, format_name)
            return
        body = json.loads(text)
    except ValueError as error:
        raise InputError(f"this is not a {format_name} file", where=str(file), why=str(error)) from None
    if not isinstance(body, dict | list):
        raise InputError(f"this is not a {format_name} file", where=str(file), why="it holds no rows")
    named = body.items() if isinstance(body, dict) else enumerate(body)
    for key, value in named:
        yield Row(value, str(key), file, format_name)


@dataclass
class Pictures:
    """The pictures below a folder, by name; never one outside of it."""

    root: Path
    _below: dict[str, Path] | None = field(default=None, repr=False)

    def read(self, name: str) -> bytes | None:
        """Encoded bytes of a picture: in the folder as named, directly in it, or anywhere below; None if missing."""
        names = [name] if Path(name).suffix else [name + suffix for suffix in SUFFIXES]
        for candidate in (self.root / path for name in names for path in (name, Path(name).name)):
            if candidate.is_file() and candidate.resolve().is_relative_to(self.root.resolve()):
                return candidate.read_bytes()
        found = next((path for name in names if (path := self._find(Path(name).name))), None)
        return found.read_bytes() if found else None

    def _find(self, name: str) -> Path | None:
        """Benchmarks over several sources keep their pictures in sub-folders; the tree is walked once, if at all."""
        if self._below is None:
            self._below = {}
            for path in sorted(self.root.rglob("*")):
                if path.is_file() and not path.is_symlink():
                    self._below.setdefault(path.name, path)
        return self._below.get(name)


def open_pictures(images: Path | None, path: Path) -> Pictures:
    """The folder of a benchmark's pictures.

    Raises:
        UsageError: none was given, or it is no folder.
    """
    if images is None:
        raise UsageError("the pictures of this benchmark are elsewhere", where=str(path), fix="give --images DIR")
    if not images.is_dir():
        raise UsageError("this folder of pictures does not exist", where=str(images), fix="check --images")
    return Pictures(images)
