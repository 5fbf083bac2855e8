"""One writer or many readers of a folder, by a lock that dies with its holder."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from negmine.base.errors import DamagedError, ResourceError, explain_os_error
from negmine.store.files import open_own
from negmine.store.folder import folder_at

LOCK: Final = ".lock"
_HOLDER: Final = b"host "


@contextmanager
def locked(folder: Path, name: str = LOCK, *, shared: bool = False, waits: bool = False) -> Iterator[None]:
    """Hold a store: one writer, or any number of readers. The kernel frees the lock when its holder dies.

    A reader needs no right to write: where it cannot make the lock's file, it goes without.

    Args:
        name: of the lock's file.
        waits: until it is free, instead of giving up.

    Raises:
        ResourceError: somebody else holds it; the message names host and process.
        DamagedError: the lock's file is a link, or the folder is one that a stage would make itself.
    """
    path = folder / name
    if folder_at(folder).address is not None:
        from negmine.store.lease import leased

        folder.mkdir(parents=True, exist_ok=True)
        with leased(path, shared=shared, waits=waits):
            yield
        return
    _refuse_hidden_link(folder)
    try:
        handle, signs = _opened(folder, path, shared)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error
    if handle is None:
        yield
        return
    try:
        try:
            fcntl.flock(handle, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | (0 if waits else fcntl.LOCK_NB))
        except OSError as error:
            holder = os.pread(handle, 4096, 0).decode(errors="replace").strip() or "another reader"
            raise ResourceError(
                "another run is using this folder",
                where=str(folder),
                why=f"held by {holder}",
                fix="wait for it to end, stop it, or use another folder",
            ) from error
        if signs:
            _sign(handle, path)
        yield
    finally:
        os.close(handle)


def _opened(folder: Path, path: Path, shared: bool) -> tuple[int | None, bool]:
    """A handle of the lock's file and whether it can be written; none for a reader where nobody can lock."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return open_own(path, os.O_RDWR | os.O_CREAT), True
    except OSError as error:
        if not shared or error.errno not in (errno.EACCES, errno.EPERM, errno.EROFS):
            raise
    try:
        return open_own(path, os.O_RDONLY), False
    except (FileNotFoundError, PermissionError):
        return None, False


def _refuse_hidden_link(folder: Path) -> None:
    """A stage makes its hidden folders itself: a link in the place of one leads where its maker wants us to write."""
    if folder.name.startswith(".") and folder.is_symlink() and (folder.parent / LOCK).exists():
        raise DamagedError(
            "this is none of negmine's folders",
            where=str(folder),
            why=f"it is a link to {folder.resolve()}",
            fix="look where the work folder comes from; delete the link, then run the same command",
        )


def _sign(handle: int, path: Path) -> None:
    """Name the holder of a lock; of several readers the last one. What nobody of us wrote stays."""
    try:
        if os.pread(handle, len(_HOLDER), 0) not in (b"", _HOLDER):
            return
        os.ftruncate(handle, 0)
        os.pwrite(handle, _HOLDER + f"{socket.gethostname()}, process {os.getpid()}".encode(), 0)
    except OSError as error:
        raise explain_os_error(error, str(path)) from error
