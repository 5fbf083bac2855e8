"""One writer or many readers of a folder, by a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from negmine.addresses import address_of
from negmine.errors import ResourceError, explain_os_error

LOCK: Final = ".lock"


@contextmanager
def locked(folder: Path, name: str = LOCK, *, shared: bool = False, waits: bool = False) -> Iterator[None]:
    """Hold a store: one writer, or any number of readers. The kernel frees the lock when its holder dies.

    Args:
        name: of the lock's file.
        waits: until it is free, instead of giving up.

    Raises:
        ResourceError: somebody else holds it; the message names host and process.
    """
    path = folder / name
    if address_of(folder) is not None:
        from negmine.store.lease import leased

        folder.mkdir(parents=True, exist_ok=True)
        with leased(path, shared=shared, waits=waits):
            yield
        return
    try:
        folder.mkdir(parents=True, exist_ok=True)
        read_only = shared and path.exists() and not os.access(path, os.W_OK)
        handle = os.open(path, os.O_RDONLY if read_only else os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error
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
        if not read_only:
            _sign(handle, path)
        yield
    finally:
        os.close(handle)


def _sign(handle: int, path: Path) -> None:
    """Name the holder of a lock; of several readers the last one."""
    try:
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"host {socket.gethostname()}, process {os.getpid()}".encode(), 0)
    except OSError as error:
        raise explain_os_error(error, str(path)) from error
