"""The images of somebody's tars, read forward only: what `negmine.sources.tars` passes over is passed over here too."""

from __future__ import annotations

from collections.abc import Iterator
from typing import IO, Final, NamedTuple

from negmine.base.errors import DamagedError
from negmine.contract.records import IMAGE_EXTENSIONS, MAX_MEMBER_BYTES
from negmine.contract.tar_headers import UNREADABLE
from negmine.contract.tar_members import Member, read_tar

OBTAIN_AGAIN: Final = "download or write this tar again, or leave it out"


def split_name(name: str) -> tuple[str, str]:
    """The key of a tar's member, as WebDataset has it: its path up to the first dot of the file name; and what follows
    that dot, in lower case."""
    *folders, file = [part for part in name.split("/") if part not in ("", ".")] or [""]
    stem, _, extension = file.partition(".")
    return "/".join((*folders, stem)), extension.lower()


class TarImage(NamedTuple):
    """An image in a tar, its place in bytes from the beginning; `content` is empty where it was not asked for."""

    key: str
    extension: str
    start: int
    size: int
    content: bytes


def read_images(stream: IO[bytes], where: str, *, keep: bool = True) -> Iterator[TarImage]:
    """The images of a tar, to the last byte of `stream`.

    Other members are passed over, however large they are, and so are images of more than `MAX_MEMBER_BYTES`. Tars that
    were joined by ``cat`` are read as one.

    Args:
        keep: give their contents too.

    Raises:
        DamagedError: the tar is cut, is no tar, or something that is no tar follows its end.
    """
    try:
        for member, content in read_tar(stream, lambda member: keep and _is_image(member), joined=True):
            if _is_image(member):
                yield TarImage(*split_name(member.name), member.content, member.size, content)
    except UNREADABLE as error:
        raise DamagedError(
            "this tar of images is cut or damaged, or is no tar", where=where, why=str(error), fix=OBTAIN_AGAIN
        ) from None


def _is_image(member: Member) -> bool:
    return member.regular and member.size <= MAX_MEMBER_BYTES and split_name(member.name)[1] in IMAGE_EXTENSIONS
