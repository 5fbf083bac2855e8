"""What the command lines take for a path: a place on this machine, or one in an object store where that will do."""

from __future__ import annotations

from pathlib import Path

from negmine.addresses import is_address
from negmine.errors import UsageError


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
        raise UsageError(
            "this must be on a disk, and is an address", where=str(text), fix="name a local path, and copy"
        )
    return Path(text)
