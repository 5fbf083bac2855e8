"""The members of a tar, read forward only: plain headers are read here, all others by `tarfile`.

`tarfile`'s own way over a stream takes three times as long: it was what limited how fast shards were read.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from negmine.contract.tar_headers import Header, Readable

_BLOCK: Final = tarfile.BLOCKSIZE
_CHUNK: Final = 1 << 18


class Member(NamedTuple):
    """A member of a tar, its places in bytes from the beginning of the stream.

    Attributes:
        start: of its first header.
        content, size: where its content begins, and how long it is.
        end: where the next member begins.
        regular: whether it is a file with all of its content.
    """

    name: str
    start: int
    content: int
    size: int
    end: int
    regular: bool = True


def read_tar(
    stream: Readable, wanted: Callable[[Member], bool], *, joined: bool = False
) -> Iterator[tuple[Member, bytes]]:
    """The members of a tar in their order, and the content of those that are wanted, to the last byte of `stream`.

    Args:
        joined: tars may follow each other, as ``cat`` joins them.

    Raises:
        tarfile.TarError, or another of `negmine.contract.tar_headers.UNREADABLE`: the tar is cut, is no tar, or
            something follows its end.
    """
    at, block = 0, stream.read(_BLOCK)
    while True:
        if not block.strip(b"\0") and len(block) == _BLOCK:
            end = at
            while block and not block.strip(b"\0"):
                at, block = at + len(block), stream.read(_BLOCK)
            if not block:
                return
            if not joined:
                raise tarfile.ReadError(f"something follows the end of the tar at byte {end:,}")
            if at % tarfile.RECORDSIZE:
                raise tarfile.ReadError(f"zeros before byte {at:,} that are not the end of a tar")
        member = _plain(block, at) or _by_tarfile(block, stream, at)
        rest = member.end - member.content
        if wanted(member) and member.regular:
            yield member, _exactly(stream, rest)[: member.size]
        else:
            _skip(stream, rest)
            yield member, b""
        at, block = member.end, stream.read(_BLOCK)


def _plain(block: bytes, at: int) -> Member | None:
    """The member of a header that says all by itself; None if that is for `tarfile` to say."""
    name = block[: block.find(b"\0", 0, 101)]
    if block[156:157] not in (b"0", b"\0") or block[257:262] != b"ustar" or block[345] or not 0 < len(name) < 100:
        return None
    size, checksum = block[124:136].strip(b"\0 "), block[148:156].strip(b"\0 ")
    if not (size.isdigit() and checksum.isdigit()) or name.endswith(b"/"):
        return None
    try:
        length = int(size, 8)
        if int(checksum, 8) != sum(block) - sum(block[148:156]) + 8 * ord(" "):
            return None
        text = name.decode(tarfile.ENCODING, "surrogateescape")
    except ValueError:
        return None
    content = at + _BLOCK
    return Member(text, at, content, length, content + -(-length // _BLOCK) * _BLOCK)


@dataclass
class _Chained:
    """A block that was read, and the stream it was read from."""

    block: bytes
    stream: Readable

    def read(self, size: int, /) -> bytes:
        block, self.block = self.block, b""
        return block or self.stream.read(size)


def _by_tarfile(block: bytes, stream: Readable, at: int) -> Member:
    """The member that begins with a block: long names, links, sparse files, and what is no header at all."""
    if len(block) < _BLOCK:
        Header.frombuf(block, tarfile.ENCODING, "surrogateescape")  # says what is wrong with it
    tar = tarfile.open(fileobj=_Chained(block, stream), mode="r|", bufsize=_BLOCK, tarinfo=Header)  # type: ignore[call-overload]  # noqa: SIM115 - of no file
    info = tar.next()
    name, places = info.name, (info.offset_data, info.size, tar.offset)
    return Member(name, at, at + places[0], places[1], at + places[2], info.isreg() and not info.issparse())


def _exactly(stream: Readable, length: int) -> bytes:
    content = stream.read(length)
    while len(content) < length:
        more = stream.read(length - len(content))
        if not more:
            raise tarfile.ReadError("unexpected end of data")
        content += more
    return content


def _skip(stream: Readable, length: int) -> None:
    while length:
        length -= len(_exactly(stream, min(length, _CHUNK)))
