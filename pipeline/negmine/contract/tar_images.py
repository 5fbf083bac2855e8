"""The images of somebody's tars, read forward only: what `negmine.sources.tars` passes over is passed over here too."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from negmine.base.errors import DamagedError
from negmine.contract.records import IMAGE_EXTENSIONS, MAX_MEMBER_BYTES
from negmine.contract.tar_headers import UNREADABLE, Header, Readable

OBTAIN_AGAIN: Final = "download or write this tar again, or leave it out"


def split_name(name: str) -> tuple[str, str]:
    """The key of a tar's member, as WebDataset has it: its path up to the first dot of the file name; and what follows
    that dot, in lower case."""
    *folders, file = [part for part in name.split("/") if part not in ("", ".")] or [""]
    stem, _, extension = file.partition(".")
    return "/".join((*folders, stem)), extension.lower()


def read_images(stream: IO[bytes], where: str) -> Iterator[tuple[str, str, bytes]]:
    """Key, extension and content of the images of a tar, to the last byte of `stream`.

    Other members are passed over, however large they are, and so are images of more than `MAX_MEMBER_BYTES`. Tars that
    were joined by ``cat`` are read as one.

    Raises:
        DamagedError: the tar is cut, is no tar, or something that is no tar follows its end.
    """
    following: Readable | None = stream
    try:
        while following is not None:
            tar = tarfile.open(fileobj=following, mode="r|", tarinfo=Header)  # type: ignore[call-overload]  # noqa: SIM115 - of no file
            while (member := tar.next()) is not None:
                tar.members.clear()  # else they pile up
                key, extension = split_name(member.name)
                is_image = extension in IMAGE_EXTENSIONS and member.isreg() and not member.issparse()
                if is_image and member.size <= MAX_MEMBER_BYTES:
                    yield key, extension, tar.extractfile(member).read()
            following = _following(tar.fileobj)
    except UNREADABLE as error:
        raise DamagedError(
            "this tar of images is cut or damaged, or is no tar", where=where, why=str(error), fix=OBTAIN_AGAIN
        ) from None


@dataclass
class _Chained:
    """A block that was read, and the stream it was read from."""

    block: bytes
    stream: Readable

    def read(self, size: int, /) -> bytes:
        block, self.block = self.block, b""
        return block or self.stream.read(size)


def _following(stream: IO[bytes]) -> Readable | None:
    """What follows the zeros that end a tar, which fill up a record; None at the end of the file.

    Raises:
        tarfile.ReadError: they do not.
    """
    for block in iter(lambda: stream.read(tarfile.BLOCKSIZE), b""):
        if block.strip(b"\0"):
            if (start := stream.tell() - len(block)) % tarfile.RECORDSIZE:
                raise tarfile.ReadError(f"zeros before byte {start:,} that are not the end of a tar")
            return _Chained(block, stream)
    return None
