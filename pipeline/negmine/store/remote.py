"""Folders of an object store (``s3://``, ``gs://``, ...): their home on this disk, and what goes to and fro.

A file is written at home first, sent under a temporary key, moved to its own key, and only then entered in the journal.
A file that is read is fetched when it is needed. Maps and spills so have a real disk, and code that reads a path stays
as it is, once `here` has seen the path. For ordinary paths everything in this module does nothing.
"""

from __future__ import annotations

import atexit
import os
import posixpath
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypedDict, TypeVar

from negmine.base.addresses import MIRROR, address_of, readable
from negmine.base.console import note
from negmine.base.errors import UsageError, explain_os_error
from negmine.base.storage_errors import explain, is_storage_error, may_pass

if TYPE_CHECKING:
    import stamina
    from fsspec import AbstractFileSystem
    from stamina.instrumentation import RetryDetails

T = TypeVar("T")

ATTEMPTS: Final = 10
"""Tries of one request, with growing pauses: half a minute in all, which a server needs to start again."""

TEMPORARY: Final = ".tmp-"
"""Names of what is being written begin so; a run removes what an earlier one left."""

_CONTROL: Final = ("manifest.json", "index.json")


# --- requests --------------------------------------------------------------------------------------------------------


def retrying(attempts: int = ATTEMPTS) -> Iterable[stamina.Attempt]:
    """Tries of a request, as long as its error may pass."""
    import stamina

    _tell_of_retries()
    return stamina.retry_context(on=may_pass, attempts=attempts, timeout=None, wait_max=5.0)


@cache
def _tell_of_retries() -> None:
    """Once a process: in our words in place of stamina's log lines."""
    from stamina.instrumentation import set_on_retry_hooks

    set_on_retry_hooks([_tell])


def _tell(details: RetryDetails) -> None:
    """One slip is nothing to speak of."""
    if details.retry_num > 1:
        why = " ".join(str(details.caused_by).split()) or type(details.caused_by).__name__
        note(f"the storage does not answer as it should; again in {details.wait_for:.1f} s: {why[:_SHOWN]}")


_SHOWN: Final = 200


def request(what: Callable[[], T], where: str) -> T:
    """The result of a request, tried again while its error may pass.

    Raises:
        ResourceError: it does not pass.
    """
    try:
        for attempt in retrying():
            with attempt:
                return what()
    except FileExistsError:
        raise
    except Exception as error:
        if not is_storage_error(error):
            raise
        raise explain(error, where) from None
    raise AssertionError("a request ends in a result or an error")


def file_system(address: str) -> tuple[AbstractFileSystem, str]:
    """The fsspec file system of an address, which keeps no listings, and the key in it.

    Raises:
        UsageError: no such protocol, its driver is not installed, or credentials in the address.
    """
    if "@" in address.partition("://")[2].partition("/")[0]:
        raise UsageError(
            "an address holds no credentials",
            where=readable(address),
            fix="leave them out, and set them in the environment",
        )
    from fsspec.core import url_to_fs

    try:
        system, key = url_to_fs(address, use_listings_cache=False)
    except ImportError as error:
        fix = "pip install 'negmine[s3]'" if address.startswith(("s3://", "s3a://")) else "install what it asks for"
        raise UsageError(
            "the driver for such addresses is not installed", where=address, why=str(error), fix=fix
        ) from None
    except ValueError as error:
        raise UsageError(
            "this kind of address is not known",
            where=address,
            why=str(error),
            fix="name a folder, or s3://, gs://, hf://",
        ) from None
    return system, str(key)


# --- homes -----------------------------------------------------------------------------------------------------------


@cache
def _mirror() -> Path:
    """The folder of all homes of this process's addresses, gone with the process."""
    folder = Path(tempfile.gettempdir()).resolve() / f"{MIRROR}{uuid.uuid4().hex}"
    folder.mkdir(mode=0o700)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def open_home(address: str) -> Path:
    """The home of a folder's address, with the folders and control files that lie there now."""
    system, _ = file_system(address)
    protocol, _, rest = address.partition("://")
    rest = posixpath.normpath(rest)
    if rest.partition("/")[0] in ("", ".", ".."):
        raise UsageError("this address names no bucket", where=address, fix="write it as s3://BUCKET/FOLDER")
    home = _mirror() / protocol.replace("s3a", "s3") / rest
    home.mkdir(parents=True, exist_ok=True)
    key = _key(home)
    for found in request(lambda: system.find(key), address):
        path = home / str(found).removeprefix(key).lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        if _is_control(path.name):
            _fetch(path)
    return home


def refresh(folder: Path) -> None:
    """Bring the manifest and the journals of a folder up to date: others may have written them."""
    if address_of(folder) is None:
        return
    there = sizes(folder)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_file() and _is_control(path.name) and path.name not in there:
            path.unlink()
    for name in there:
        if _is_control(name):
            _fetch(folder / name)


def _is_control(name: str) -> bool:
    return name in _CONTROL or name.startswith(".journal")


def _key(path: Path) -> str:
    return file_system(str(address_of(path)))[1].rstrip("/")


def _at(path: Path) -> tuple[AbstractFileSystem, str, str]:
    """File system, key and address of a path at home."""
    address = address_of(path)
    assert address is not None
    return *file_system(address), address


# --- files -----------------------------------------------------------------------------------------------------------


def send(path: Path) -> None:
    """Put a file from home into the store: whole under its key, or not there."""
    if address_of(path) is None:
        return
    system, key, address = _at(path)
    folder, _, name = key.rpartition("/")
    temporary = f"{folder}/{TEMPORARY}{uuid.uuid4().hex[:12]}-{name}"
    size = path.stat().st_size

    def put() -> None:
        system.put_file(str(path), temporary)
        if (arrived := system.size(temporary)) != size:
            raise OSError(f"{arrived:,} of {size:,} bytes arrived")

    request(put, address)
    request(lambda: system.cp_file(temporary, key), address)  # again gives the same; `copy` takes keys for patterns
    request(lambda: _remove(system, [temporary]), address)


def fetch_local(path: Path) -> Path:
    """The same path, once its file is on this disk."""
    if address_of(path) is not None and not path.exists():
        _fetch(path)
    return path


def _fetch(path: Path) -> None:
    system, key, address = _at(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex[:8]}-{path.name}")

    def get() -> None:
        size = system.size(key)
        system.get_file(key, str(temporary))
        if (arrived := temporary.stat().st_size) != size:
            raise OSError(f"{arrived:,} of {size:,} bytes arrived")

    try:
        request(get, address)
        temporary.replace(path)
    except OSError as error:
        raise explain_os_error(error, address) from error
    finally:
        temporary.unlink(missing_ok=True)


def release(path: Path) -> None:
    """Free the disk of a file that was sent and is not read soon."""
    if address_of(path) is not None:
        path.unlink(missing_ok=True)


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of each file in a folder, by name; nothing where there is no folder."""
    if address_of(folder) is None:
        return (
            {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file()} if folder.is_dir() else {}
        )
    system, key, address = _at(folder)
    found = request(lambda: _listed(system, key), address)
    return {one["name"].rpartition("/")[2]: one["size"] for one in found if one["type"] == "file"}


class _Info(TypedDict):
    """A file or folder as fsspec tells of it."""

    name: str
    size: int
    type: str


def _listed(system: AbstractFileSystem, key: str) -> list[_Info]:
    try:
        return list(system.ls(key, detail=True))
    except FileNotFoundError:  # a folder without files
        return []


def delete(path: Path) -> None:
    """Remove a file, here and in the store, if it is there."""
    path.unlink(missing_ok=True)
    if address_of(path) is not None:
        system, key, address = _at(path)
        request(lambda: _remove(system, [key]), address)


def delete_folder(folder: Path) -> None:
    """Remove a folder with all that is in it, here and in the store."""
    shutil.rmtree(folder, ignore_errors=True)
    if address_of(folder) is not None:
        system, key, address = _at(folder)
        request(lambda: _remove(system, system.find(key)), address)


def _remove(system: AbstractFileSystem, keys: Sequence[str]) -> None:
    for key in keys:
        try:
            system.rm_file(key)
        except FileNotFoundError:
            continue
