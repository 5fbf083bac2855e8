"""One writer of a folder in an object store: an object that its holder renews, and that others may take else."""

from __future__ import annotations

import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Final, TypeVar

from negmine.base.addresses import address_of
from negmine.base.errors import ResourceError
from negmine.store.file_systems import file_system, request
from negmine.store.files import lives
from negmine.store.folder import TEMPORARY

T = TypeVar("T")

LEASE: Final = 120.0
"""Seconds without a renewal after which a holder counts as dead; the store's clock alone is asked."""

_RENEW: Final = LEASE / 6
_LOOK: Final = 2.0


@contextmanager
def leased(path: Path, *, shared: bool, waits: bool) -> Iterator[None]:
    """As `negmine.store.locked`. Readers leave no trace: they only refuse to begin while somebody writes.

    Args:
        path: home of the lock's object.
    """
    lease = _Lease(path)
    if shared:
        holder = lease.holder()
        if holder is not None:
            raise _held(lease.address, holder)
        yield
        return
    while (holder := lease.take()) is not None:
        if not waits:
            raise _held(lease.address, holder)
        time.sleep(_LOOK)
    ended = threading.Event()
    renewing = threading.Thread(target=lease.renew, args=(ended,), daemon=True)
    renewing.start()
    try:
        yield
    finally:
        ended.set()
        renewing.join()
        lease.give_back()


class _Lease:
    def __init__(self, path: Path) -> None:
        self.address = str(address_of(path))
        self._system, self._key = file_system(self.address)
        self._body = {"host": socket.gethostname(), "process": os.getpid(), "run": uuid.uuid4().hex}

    def take(self) -> dict[str, object] | None:
        """Hold it, or say who does."""
        holder = self.holder()
        if holder is not None:
            return holder
        self._call(self._remove_dead)
        content = json.dumps(self._body).encode()
        try:
            self._call(lambda: self._system.pipe_file(self._key, content, mode="create"))
        except FileExistsError:
            found = self.holder()
            return found if found is not None and found.get("run") != self._body["run"] else None
        return None

    def holder(self) -> dict[str, object] | None:
        """Who holds it and lives."""
        found = self._call(self._read)
        if found is None:
            return None
        holder, renewed = found
        process = holder.get("process")
        if holder.get("host") == self._body["host"] and isinstance(process, int) and not lives(process):
            return None
        if (self._now() - renewed).total_seconds() > LEASE:
            return None
        return holder

    def renew(self, ended: threading.Event) -> None:
        while not ended.wait(_RENEW):
            try:
                self._call(lambda: self._system.pipe_file(self._key, json.dumps(self._body).encode()))
            except ResourceError:
                continue  # the run's own requests will say so

    def give_back(self) -> None:
        try:
            found = self._call(self._read)
            if found is not None and found[0].get("run") == self._body["run"]:
                self._call(lambda: self._system.rm_file(self._key))
        except ResourceError:
            pass  # it runs out

    def _read(self) -> tuple[dict[str, object], datetime] | None:
        try:
            renewed = self._system.modified(self._key)
            body = json.loads(self._system.cat_file(self._key))
        except FileNotFoundError:
            return None
        except (ValueError, RecursionError):
            body = None
        return body if isinstance(body, dict) else {}, renewed

    def _remove_dead(self) -> None:
        try:
            self._system.rm_file(self._key)
        except FileNotFoundError:
            return

    def _now(self) -> datetime:
        """The store's clock, read off an object."""
        folder, _, _ = self._key.rpartition("/")
        probe = f"{folder}/{TEMPORARY}clock-{uuid.uuid4().hex[:8]}"

        def ask() -> datetime:
            self._system.pipe_file(probe, b".")
            now: datetime = self._system.modified(probe)
            self._system.rm_file(probe)
            return now

        return self._call(ask)

    def _call(self, what: Callable[[], T]) -> T:
        return request(what, self.address)


def _held(address: str, holder: dict[str, object]) -> ResourceError:
    return ResourceError(
        "another run is using this folder",
        where=address.rpartition("/")[0],
        why=f"held by host {holder.get('host')}, process {holder.get('process')}",
        fix=f"wait for it to end, stop it, or use another folder; a lock is free {LEASE:g} s after its holder died",
    )
