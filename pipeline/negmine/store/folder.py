"""A folder of files on this disk or in an object store (``s3://``, ``gs://``, ...): the one owner of what lies where.

In a store a file is written at its home on this disk first, sent under a temporary key, moved to its own key, and only
then entered in the journal. A file that is read is fetched when it is needed. Maps and spills so have a real disk.
"""

from __future__ import annotations

import atexit
import os
import posixpath
import shutil
import tempfile
import uuid
from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from negmine.base.addresses import MIRROR, address_of, is_address, one_spelling
from negmine.base.errors import UsageError, explain_os_error
from negmine.store.file_systems import file_system, request
from negmine.store.places import address, local

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

    from negmine.base.documents import Document

TEMPORARY: Final = ".tmp-"
"""Names of what is being written begin so; a run removes what an earlier one left."""

_CONTROL: Final = ("manifest.json", "index.json")


def folder_at(path: Path) -> Folder:
    """The folder at a path, which may be the home of an address."""
    address = address_of(path)
    return Folder(path) if address is None else _Stored(path, address)


class Folder:
    """A folder on this disk.

    Attributes:
        path: where its files are on this disk.
        address: in an object store; None for an ordinary folder.
    """

    address: str | None = None

    def __init__(self, path: Path) -> None:
        self.path = path

    def file(self, name: str) -> Path:
        """A file, once it is on this disk."""
        return self.path / name

    def read(self, name: str) -> bytes:
        return self.file(name).read_bytes()

    def text(self, name: str) -> str:
        return self.file(name).read_text(encoding="utf-8")

    def sizes(self) -> dict[str, int]:
        """Bytes of each file, by name; nothing where there is no folder."""
        there = self.path.iterdir() if self.path.is_dir() else ()
        return {path.name: path.stat().st_size for path in there if path.is_file()}

    def refresh(self) -> None:
        """Bring the manifest and the journals up to date: others may have written them."""

    def send(self, name: str) -> None:
        """Put a file that was written into the store: whole under its key, or not there."""

    def release(self, name: str) -> None:
        """Free the disk of a file that was sent and is not read soon."""

    def delete(self, name: str) -> None:
        """Remove a file, if it is there."""
        (self.path / name).unlink(missing_ok=True)

    def delete_all(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)


class _Stored(Folder):
    """A folder of an object store, and its home."""

    def __init__(self, path: Path, address: str) -> None:
        super().__init__(path)
        self.address = address
        self._system, key = file_system(address)
        self._key = key.rstrip("/")

    def file(self, name: str) -> Path:
        if not (self.path / name).exists():
            self._fetch(name)
        return self.path / name

    def sizes(self) -> dict[str, int]:
        found = request(partial(_listed, self._system, self._key), self._at(""))
        return {str(one["name"]).rpartition("/")[2]: one["size"] for one in found if one["type"] == "file"}

    def refresh(self) -> None:
        there = self.sizes()
        for path in self.path.iterdir() if self.path.is_dir() else ():
            if path.is_file() and _is_control(path.name) and path.name not in there:
                path.unlink()
        for name in filter(_is_control, there):
            self._fetch(name)

    def send(self, name: str) -> None:
        path, key, address = self.path / name, f"{self._key}/{name}", self._at(name)
        temporary = f"{self._key}/{TEMPORARY}{uuid.uuid4().hex[:12]}-{name}"
        size = path.stat().st_size

        def put() -> None:
            self._system.put_file(str(path), temporary)
            if (arrived := self._system.size(temporary)) != size:
                raise OSError(f"{arrived:,} of {size:,} bytes arrived")

        request(put, address)
        request(lambda: self._system.cp_file(temporary, key), address)  # again gives the same; `copy` takes patterns
        request(partial(_remove, self._system, [temporary]), address)

    def release(self, name: str) -> None:
        (self.path / name).unlink(missing_ok=True)

    def delete(self, name: str) -> None:
        super().delete(name)
        request(partial(_remove, self._system, [f"{self._key}/{name}"]), self._at(name))

    def delete_all(self) -> None:
        super().delete_all()
        request(lambda: _remove(self._system, self._system.find(self._key)), self._at(""))

    def _at(self, name: str) -> str:
        return f"{self.address}/{name}" if name else str(self.address)

    def _fetch(self, name: str) -> None:
        path, key, address = self.path / name, f"{self._key}/{name}", self._at(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")

        def get() -> None:
            size = self._system.size(key)
            self._system.get_file(key, str(temporary))
            if (arrived := temporary.stat().st_size) != size:
                raise OSError(f"{arrived:,} of {size:,} bytes arrived")

        try:
            request(get, address)
            temporary.replace(path)
        except OSError as error:
            raise explain_os_error(error, address) from error
        finally:
            temporary.unlink(missing_ok=True)

    def open(self) -> None:
        """Make the home, with the folders and control files that lie there now."""
        self.path.mkdir(parents=True, exist_ok=True)
        for found in request(lambda: self._system.find(self._key), self._at("")):
            name = str(found).removeprefix(self._key).lstrip("/")
            (self.path / name).parent.mkdir(parents=True, exist_ok=True)
            if _is_control(posixpath.basename(name)):
                self._fetch(name)


def place(text: str | Path) -> Path:
    """A folder that a command reads and writes: a path as it is, the home of an address.

    Raises:
        UsageError: no driver for such addresses, or credentials in it.
        ResourceError: the store refuses, or does not answer.
    """
    if not is_address(str(text)):
        return local(text)
    return _open_home(address(str(text)))


def file_place(text: str | Path) -> Path:
    """A file that a command writes: as `place` for its folder.

    Raises:
        UsageError: an address of a bucket or a folder; see `place` for more.
    """
    if not is_address(str(text)):
        return local(text)
    folder, _, name = str(text).rpartition("/")
    if not is_address(folder) or name in ("", ".", ".."):
        raise UsageError("this address names no file", where=address(str(text)), fix="write it as s3://BUCKET/FILE")
    return place(folder) / name


def _open_home(where: str) -> Path:
    """The home of a folder's address, with the folders and control files that lie there now."""
    file_system(where)  # a person hears first of an address that is none
    protocol, _, rest = one_spelling(where).partition("://")
    if rest.partition("/")[0] in ("", ".", ".."):
        raise UsageError("this address names no bucket", where=where, fix="write it as s3://BUCKET/FOLDER")
    home = _mirror() / protocol / rest
    _Stored(home, str(address_of(home))).open()
    return home


@cache
def _mirror() -> Path:
    """The folder of all homes of this process's addresses, gone with the process."""
    folder = Path(tempfile.gettempdir()).resolve() / f"{MIRROR}{uuid.uuid4().hex}"
    folder.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def _is_control(name: str) -> bool:
    return name in _CONTROL or name.startswith(".journal")


def _listed(system: AbstractFileSystem, key: str) -> list[Document]:
    try:
        return list(system.ls(key, detail=True))
    except FileNotFoundError:  # a folder without files
        return []


def _remove(system: AbstractFileSystem, keys: Sequence[str]) -> None:
    for key in keys:
        try:
            system.rm_file(key)
        except FileNotFoundError:
            continue
