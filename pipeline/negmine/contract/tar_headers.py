"""What `tarfile` forgives in silence, or trips over, said aloud.

It takes any block that is no header for the end of an archive, and follows sizes into the void; what it raises over
hostile headers is whatever its parsing happens to raise. Everything here that reads tars reads them through `Header`.
"""

from __future__ import annotations

import tarfile
from typing import Final, Protocol, Self

MAX_HEADER_BYTES: Final = 32 * 1024
"""Of a long name or a pax header: `tarfile` reads them whole, and parses some in quadratic time."""

UNREADABLE: Final = (tarfile.TarError, EOFError, ValueError, ArithmeticError, LookupError, RecursionError)
"""What `tarfile` raises over a tar that is cut, damaged or hostile."""

_ADDITIONS: Final = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)


class NoMember(tarfile.ReadError):
    """A block that is neither a header nor zeros, or no block at all."""


_End = tarfile.EOFHeaderError  # type: ignore[attr-defined]  # the stubs do not have it


class Header(tarfile.TarInfo):
    """A header for ``tarfile.open(tarinfo=Header)``: only a block of zeros ends an archive."""

    @classmethod
    def fromtarfile(cls, tar: tarfile.TarFile) -> Self:
        try:
            return super().fromtarfile(tar)
        except _End:
            raise
        except tarfile.HeaderError as error:  # `next` would take it for the end
            raise tarfile.ReadError(str(error)) from None

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> Self:
        """The header in a block.

        Raises:
            tarfile.HeaderError: the block is zeros.
            NoMember: it is no header.
            tarfile.ReadError: its size cannot be.
        """
        try:
            info = super().frombuf(buf, encoding, errors)
        except _End:
            raise
        except tarfile.HeaderError:
            if len(buf) < tarfile.BLOCKSIZE:
                raise NoMember("it ends without the end mark of a tar: it was cut") from None
            raise NoMember("there is neither a member nor the end mark of a tar") from None
        if info.size < 0 or (info.type in _ADDITIONS and info.size > MAX_HEADER_BYTES):
            raise tarfile.ReadError(f"a header claims {info.size:,} bytes")
        return info


class Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...
