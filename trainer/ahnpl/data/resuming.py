"""A shard's bytes, read forwards, over connections that break."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Final

import stamina
from negmine.base.addresses import is_address, readable
from negmine.base.errors import ResourceError
from negmine.base.storage_errors import is_storage_error
from negmine.store.file_systems import ATTEMPTS, file_system, retrying

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BLOCK: Final = 8 << 20
"""Bytes of one request to a store."""


class Resuming(io.RawIOBase):
    """A file that is read forwards; where an address (``s3://...``) fails, it is opened again at the same place.

    Attributes:
        sha256: of all bytes up to `position`.

    Raises:
        ResourceError: it failed `ATTEMPTS` times at one place.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.position, self.sha256 = url, 0, hashlib.sha256()
        for attempt in self._attempts():
            with attempt:
                self._stream = self._opened()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        room = memoryview(buffer)
        try:
            for attempt in self._attempts():
                with attempt:
                    if self._stream.closed:
                        self._stream = self._opened()
                    read = self._read(room)
        except Exception as error:
            if not is_storage_error(error):
                raise
            raise ResourceError(
                "this shard cannot be read on",
                where=f"{self.url}, byte {self.position:,}",
                why=readable(str(error)) or type(error).__name__,
                fix="look at the storage; the same command resumes from the last checkpoint",
            ) from None
        self.position += read
        self.sha256.update(room[:read])
        return read

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
        super().close()

    def _attempts(self) -> Iterable[stamina.Attempt]:
        return retrying(ATTEMPTS if is_address(self.url) else 1)

    def _read(self, room: memoryview) -> int:
        try:
            if isinstance(self._stream, io.FileIO):
                return self._stream.readinto(room) or 0
            content = self._stream.read(len(room))
            room[: len(content)] = content
            return len(content)
        except Exception:
            with suppress(Exception):
                self._stream.close()
            raise

    def _opened(self) -> io.FileIO | IO[bytes]:
        stream: io.FileIO | IO[bytes]
        if is_address(self.url):
            files, path = file_system(self.url)
            stream = files.open(path, "rb", block_size=_BLOCK)
        else:
            stream = io.FileIO(self.url)
        stream.seek(self.position)
        return stream
