"""Arrays in files: whole or not there, in NumPy's own format, without pickle."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import numpy as np

from negmine.store.files import write_file
from negmine.store.folder import folder_at
from negmine.store.manifest import FileRecord

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

    Arrays = TypeVar("Arrays", bound=DataclassInstance)

Array = np.ndarray[Any, np.dtype[Any]]
"""Of any shape and type, as the file says."""


def write_array(folder: Path, name: str, array: Array) -> FileRecord:
    """One array; its rows are those of the file.

    Raises:
        ResourceError: as `write_file`.
    """
    return _write(folder, name, [array])


def read_array(path: Path, *, mapped: bool = False) -> Array:
    """What `write_array` wrote.

    Args:
        mapped: leave it on the disk, and read what is looked at.
    """
    found: Array = np.load(_on_disk(path), mmap_mode="r" if mapped else None, allow_pickle=False)
    return found


def write_arrays(folder: Path, name: str, arrays: DataclassInstance) -> FileRecord:
    """A data class whose fields are arrays, one behind the other; the rows of the first are those of the file."""
    return _write(folder, name, [getattr(arrays, field.name) for field in fields(arrays)])


def read_arrays(path: Path, kind: type[Arrays]) -> Arrays:
    """What `write_arrays` wrote, as a `kind`."""
    with _on_disk(path).open("rb") as stream:
        return kind(*(np.load(stream, allow_pickle=False) for _ in fields(kind)))


def _on_disk(path: Path) -> Path:
    return folder_at(path.parent).file(path.name)


def _write(folder: Path, name: str, arrays: list[Array]) -> FileRecord:
    def write(stream: IO[bytes]) -> int:
        for array in arrays:
            np.save(stream, array, allow_pickle=False)
        return len(arrays[0])

    return write_file(folder, name, write)
