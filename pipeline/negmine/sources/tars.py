"""WebDataset tars, img2dataset's output among them: an image with ``.txt`` and/or ``.json`` under one key.

Nothing is unpacked, executed or unpickled: headers are walked, text of known extensions is read, and the place of the
image is noted. The archive's names are not trusted, and neither is its end.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import IO, Final

from negmine.base import lfs
from negmine.contract.records import IMAGE_EXTENSIONS, KEY_PATTERN, MAX_MEMBER_BYTES, Rejected
from negmine.contract.tar_headers import UNREADABLE, Header, NoMember
from negmine.contract.tar_images import split_name
from negmine.sources.captions import MAX_TEXT_BYTES, TEXT_EXTENSIONS, Captions, captions_of
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, excerpt, make_row
from negmine.store import input_files as files

_IMAGE_NEGATIVE = re.compile(rf"neg\d+\.({'|'.join(IMAGE_EXTENSIONS)})")
_HIDDEN = re.compile(r"(?:^|/)\.(?!\.?\Z)[^/]*\Z")
_MAGIC: Final = b"ustar"
_MAGIC_AT: Final = 257
_CHUNK: Final = 2048 * tarfile.BLOCKSIZE


@dataclass(frozen=True, slots=True)
class _Member:
    """A regular file of a sample.

    Attributes:
        number: counts the archive's members from 1.
        key: see `split_name`, as for `extension`.
    """

    number: int
    key: str
    extension: str
    info: tarfile.TarInfo

    @property
    def known(self) -> bool:
        """Whether its last ending is one that is read."""
        return _is_known(self.extension.rpartition(".")[2])

    @property
    def extra(self) -> bool:
        """Whether it is a known kind of file, but not the sample's image or text itself: ``x.mask.png``."""
        return "." in self.extension and self.known


class Tars:
    """One tar, a folder of tars, or a pattern. What is held is one archive's keys."""

    name = "tars"
    endings = (".tar",)
    holds_images = True

    def recognises(self, path: str, head: bytes) -> bool:
        if not head:
            return files.has_files(path, self.endings)
        try:
            tarfile.TarInfo.frombuf(head[: tarfile.BLOCKSIZE], tarfile.ENCODING, "surrogateescape")
        except UNREADABLE:
            return False
        return True

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        """Rows of all archives; one that is missing, empty or damaged is refused by itself."""
        for file in files.expand(path, ".tar", some=True):
            try:
                stream = file.open()
            except FileNotFoundError:
                yield Unusable("missing_archive", "there is no such file").rejected(None, file.name)
                continue
            with stream:
                yield from _read_tar(file.name, stream)


def _read_tar(source: str, stream: IO[bytes]) -> Iterator[Row | Rejected | Noted]:
    if not stream.seek(0, os.SEEK_END):
        yield Unusable("empty_archive", "this file has no bytes: was a download stopped?").rejected(None, source)
        return
    stream.seek(0)
    try:
        tar = tarfile.open(fileobj=stream, mode="r:", tarinfo=Header)  # noqa: SIM115 - closed below
    except UNREADABLE as error:
        stream.seek(0)
        pointer = lfs.is_pointer(stream.read(files.HEAD_BYTES))
        why = f"{lfs.POINTER} ({lfs.PULL})" if pointer else "cut or damaged, or no tar at all: " + str(error)
        yield Unusable("damaged_archive", files.printable(why)).rejected(None, source)
        return
    with tar:
        yield from _samples(source, tar, stream)


def _samples(source: str, tar: tarfile.TarFile, stream: IO[bytes]) -> Iterator[Row | Rejected | Noted]:
    sample: list[_Member] = []
    seen: set[str] = set()
    for member in _members(source, tar, stream):
        if not isinstance(member, _Member):
            yield member
            continue
        if sample and sample[0].key != member.key:
            yield from _rows(source, tar, sample, seen)
            sample = []
        sample.append(member)
    if sample:
        yield from _rows(source, tar, sample, seen)


# --- members ---------------------------------------------------------------------------------------------------------


def _members(source: str, tar: tarfile.TarFile, stream: IO[bytes]) -> Iterator[_Member | Rejected | Noted]:
    """The members that belong to samples; what is unsafe or ambiguous is refused here, one by one."""
    number = 0
    for info in _headers(tar, stream):
        if isinstance(info, Noted):
            yield info
            continue
        if isinstance(info, Unusable):
            yield info.rejected(None, source)
            continue
        number += 1
        if info.isdir():
            continue
        if _HIDDEN.search(info.name):
            yield Noted("hidden_member")
            continue
        try:
            member = _checked(number, info)
        except Unusable as problem:
            yield problem.rejected(number, source)
        else:
            if member is not None:
                yield member


def _headers(tar: tarfile.TarFile, stream: IO[bytes]) -> Iterator[tarfile.TarInfo | Unusable | Noted]:
    """The headers from the first to the last byte of the file, whatever lies between them.

    ``tarfile`` stops at the first block that is no header. Here a stretch without one is refused and the next header
    is looked for. Zeros with something behind them are such a stretch too, unless they fill up the records that tars
    are written in: then two tars were joined by ``cat``.
    """
    size, reached = _size(stream), 0
    while True:
        try:
            info = tar.next()
        except NoMember as error:
            following = _find_header(stream, tar.offset + tarfile.BLOCKSIZE)
            yield _hole(tar.offset, following, str(error))
        except UNREADABLE as error:
            yield Unusable(
                "damaged_archive", f"cut or damaged, byte {tar.offset:,} to the end: {files.printable(str(error))}"
            )
            return
        else:
            tar.members.clear()  # type: ignore[attr-defined]  # else the whole table of contents stays in memory
            if info is not None:
                if tar.offset <= reached or (info.isreg() and info.offset_data + info.size > size):
                    yield Unusable(
                        "damaged_archive",
                        f"cut or damaged, byte {info.offset:,} to the end: {excerpt(info.name)} is cut",
                    )
                    return
                reached = tar.offset
                yield info
                continue
            following = _skip_zeros(stream, tar.offset)
            if following is not None and following % tarfile.RECORDSIZE == 0:
                yield Noted("members_after_end")
            elif following is not None:
                following = _find_header(stream, following)
                yield _hole(tar.offset, following, "zeros that are not the end of a tar")
        if following is None:
            return
        tar.offset = reached = following


def _hole(start: int, end: int | None, why: str) -> Unusable:
    return Unusable(
        "damaged_archive", f"cut or damaged, byte {start:,} to {'the end' if end is None else f'{end:,}'}: {why}"
    )


def _size(stream: IO[bytes]) -> int:
    position = stream.tell()
    size = stream.seek(0, os.SEEK_END)
    stream.seek(position)
    return size


def _skip_zeros(stream: IO[bytes], position: int) -> int | None:
    """The first block from `position` on that is not zeros; None where only zeros follow."""
    stream.seek(position)
    while chunk := stream.read(_CHUNK):
        zeros = len(chunk) - len(chunk.lstrip(b"\0"))
        if zeros < len(chunk):
            return position + zeros // tarfile.BLOCKSIZE * tarfile.BLOCKSIZE
        position += len(chunk)
    return None


def _find_header(stream: IO[bytes], position: int) -> int | None:
    """The first block from `position` on that is a header by its magic and its checksum; None if there is none."""
    stream.seek(position)
    while chunk := stream.read(_CHUNK):
        found = chunk.find(_MAGIC)
        while found >= 0:
            start = found - _MAGIC_AT
            if start % tarfile.BLOCKSIZE == 0 and start >= 0 and _is_header(chunk[start : start + tarfile.BLOCKSIZE]):
                return position + start
            found = chunk.find(_MAGIC, found + 1)
        position += len(chunk)
    return None


def _is_header(block: bytes) -> bool:
    try:
        Header.frombuf(block, tarfile.ENCODING, "surrogateescape")
    except UNREADABLE:
        return False
    return True


def _checked(number: int, info: tarfile.TarInfo) -> _Member | None:
    """A sample's member; None for an image negative of our own shards.

    Raises:
        Unusable: ``unsafe_path``, ``not_a_regular_file`` or ``member_too_large``.
    """
    key, extension = split_name(info.name)
    if info.name.startswith("/") or ".." in info.name.split("/"):
        raise Unusable("unsafe_path", f"{excerpt(info.name)} leaves the archive's folder")
    if not (key or extension):
        raise Unusable("unsafe_path", f"{excerpt(info.name)} is no file name")
    if not info.isreg() or info.issparse():
        raise Unusable("not_a_regular_file", f"{excerpt(info.name)} is a link, a device or sparse")
    if _IMAGE_NEGATIVE.fullmatch(extension):
        return None
    limit = MAX_TEXT_BYTES if extension in TEXT_EXTENSIONS else MAX_MEMBER_BYTES
    if _is_known(extension) and info.size > limit:
        raise Unusable("member_too_large", f"{excerpt(info.name)} has {info.size:,} bytes, the limit is {limit:,}")
    return _Member(number, key, extension, info)


def _is_known(extension: str) -> bool:
    return extension in IMAGE_EXTENSIONS or extension in TEXT_EXTENSIONS


# --- samples ---------------------------------------------------------------------------------------------------------


def _rows(
    source: str, tar: tarfile.TarFile, sample: Sequence[_Member], seen: set[str]
) -> Iterator[Row | Rejected | Noted]:
    """The rows of one key's adjacent members; the key is in `seen` from now on."""
    first, key = sample[0], sample[0].key
    given = key if KEY_PATTERN.fullmatch(key) else None
    own, extra = [member for member in sample if not member.extra], [member for member in sample if member.extra]
    if extra and (key in seen or any(member.known for member in own)):
        yield Noted("extra_member", len(extra))
    elif extra:
        yield Unusable("dotted_key", _hint("", extra)).rejected(first.number, source, given)
        return
    if not own:
        return
    try:
        if key in seen:
            raise Unusable("members_not_adjacent", f"{excerpt(key)} has members further up in this tar")
        seen.add(key)
        image, texts = _parts(own, extra)
        found = _captions(tar, texts, extra)
    except Unusable as problem:
        yield problem.rejected(first.number, source, given)
        return
    yield from map(Noted, found.notes)
    for place, (_, caption) in enumerate(found.texts):
        named = f"{given}-{place}" if given and len(found.texts) > 1 else given
        yield make_row(
            image.number,
            source,
            image=f"{source}::{image.info.name}",
            caption=caption,
            key=named,
            image_id=found.image_id,
            image_offset=image.info.offset_data,
            image_bytes=image.info.size,
        )


def _parts(own: Sequence[_Member], extra: Sequence[_Member]) -> tuple[_Member, dict[str, _Member]]:
    """The image of a sample, and its text members by extension; other members are never read."""
    by_extension = {member.extension: member for member in own}
    if len(by_extension) < len(own):
        raise Unusable("duplicate_member", f"{excerpt(own[0].key)} has two members of one extension")
    images = [by_extension[extension] for extension in IMAGE_EXTENSIONS if extension in by_extension]
    if not images:
        raise Unusable(
            "no_image",
            f"{excerpt(own[0].key)} has only {', '.join(map(excerpt, [*by_extension][:5]))}{_hint('; ', extra)}",
        )
    if len(images) > 1:
        raise Unusable("several_images", ", ".join(excerpt(image.info.name) for image in images))
    return images[0], {extension: by_extension[extension] for extension in TEXT_EXTENSIONS if extension in by_extension}


def _captions(tar: tarfile.TarFile, texts: dict[str, _Member], extra: Sequence[_Member]) -> Captions:
    try:
        return captions_of({extension: _content(tar, member) for extension, member in texts.items()})
    except Unusable as problem:
        raise Unusable(problem.reason, problem.detail + _hint("; ", extra)) from None


def _hint(before: str, extra: Sequence[_Member]) -> str:
    """What to do about members that are not read because their names have several dots."""
    if not extra:
        return ""
    names = ", ".join(excerpt(member.info.name) for member in extra[:3])
    return (
        f"{before}{names}: readers disagree whether a key ends at the first or at the last dot; "
        "rename the image to KEY.jpg and its text to KEY.txt, KEY without a dot"
    )


def _content(tar: tarfile.TarFile, member: _Member) -> bytes:
    stream = tar.extractfile(member.info)
    return b"" if stream is None else stream.read()
