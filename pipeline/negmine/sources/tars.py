"""WebDataset tars, img2dataset's output among them: an image with ``.txt`` and/or ``.json`` under one key.

Nothing is unpacked, executed or unpickled: headers are walked, text of known extensions is read, and the place of the
picture is noted. The archive's names are not trusted.
"""

from __future__ import annotations

import re
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import PurePosixPath
from typing import IO, Final

from negmine.records import IMAGE_EXTENSIONS, KEY_PATTERN, MAX_MEMBER_BYTES, Rejected
from negmine.sources import files
from negmine.sources.jsonl import parse_object
from negmine.sources.row import Row, Unusable, excerpt, make_row

TEXT_EXTENSIONS: Final = ("txt", "json")
MAX_TEXT_BYTES: Final = 16 * 1024 * 1024
_IMAGE_NEGATIVE = re.compile(rf"neg\d+\.({'|'.join(IMAGE_EXTENSIONS)})")


@dataclass(frozen=True, slots=True)
class _Member:
    """A regular file of a sample; `number` counts the archive's members from 1."""

    number: int
    key: str
    extension: str
    info: tarfile.TarInfo


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
        except tarfile.TarError:
            return False
        return True

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path, ".tar"):
            with file.open() as stream:
                yield from _read_tar(file, stream)


def _read_tar(file: files.File, stream: IO[bytes]) -> Iterator[Row | Rejected]:
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            yield from _samples(file.name, tar)
            _check_end(file, stream, tar.offset)
    except tarfile.TarError as error:
        raise files.damaged(f"{file.path}, at or after byte {stream.tell():,}", str(error)) from None


def _check_end(file: files.File, stream: IO[bytes], offset: int) -> None:
    """``tarfile`` takes a broken header, or none at all, for the end of the archive; only zeros are."""
    stream.seek(offset)
    if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
        raise files.damaged(f"{file.path}, byte {offset:,}", "there is neither a member nor the end mark of a tar")


def _samples(source: str, tar: tarfile.TarFile) -> Iterator[Row | Rejected]:
    sample: list[_Member] = []
    seen: set[str] = set()
    for member in _members(source, tar):
        if isinstance(member, Rejected):
            yield member
            continue
        if sample and sample[0].key != member.key:
            yield _row(source, tar, sample, seen)
            sample = []
        sample.append(member)
    if sample:
        yield _row(source, tar, sample, seen)


def _members(source: str, tar: tarfile.TarFile) -> Iterator[_Member | Rejected]:
    """The members that belong to samples; what is unsafe or ambiguous is refused here, one by one."""
    for number in count(1):
        info = tar.next()
        tar.members.clear()  # type: ignore[attr-defined]  # else the whole table of contents stays in memory
        if info is None:
            return
        if info.isdir() or PurePosixPath(info.name).name.startswith("."):
            continue
        try:
            member = _checked(number, info)
        except Unusable as problem:
            yield problem.rejected(number, source)
        else:
            if member is not None:
                yield member


def _checked(number: int, info: tarfile.TarInfo) -> _Member | None:
    """A sample's member; None for an image negative of our own shards.

    Raises:
        Unusable: ``unsafe_path``, ``not_a_regular_file``, ``dotted_key`` or ``member_too_large``.
    """
    path = PurePosixPath(info.name)
    if path.is_absolute() or ".." in path.parts:
        raise Unusable("unsafe_path", f"{excerpt(info.name)} leaves the archive's folder")
    if not info.isreg() or info.issparse():
        raise Unusable("not_a_regular_file", f"{excerpt(info.name)} is a link, a device or sparse")
    stem, *extensions = path.name.split(".")
    extension = ".".join(extensions).lower()
    if _IMAGE_NEGATIVE.fullmatch(extension):
        return None
    if len(extensions) > 1 and _is_known(extensions[-1].lower()):
        raise Unusable("dotted_key", f"{excerpt(info.name)}: a key may hold no dot")
    limit = MAX_TEXT_BYTES if extension in TEXT_EXTENSIONS else MAX_MEMBER_BYTES
    if _is_known(extension) and info.size > limit:
        raise Unusable("member_too_large", f"{excerpt(info.name)} has {info.size:,} bytes, the limit is {limit:,}")
    return _Member(number, str(path.with_name(stem)), extension, info)


def _is_known(extension: str) -> bool:
    return extension in IMAGE_EXTENSIONS or extension in TEXT_EXTENSIONS


def _row(source: str, tar: tarfile.TarFile, sample: list[_Member], seen: set[str]) -> Row | Rejected:
    """The row of one key's adjacent members, in `seen` from now on."""
    first, key = sample[0], sample[0].key
    given = key if KEY_PATTERN.fullmatch(key) else None
    try:
        if key in seen:
            raise Unusable("members_not_adjacent", f"{excerpt(key)} has members further up in this tar")
        seen.add(key)
        image, texts = _parts(sample)
        caption, image_id = _caption(tar, texts)
    except Unusable as problem:
        return problem.rejected(first.number, source, given)
    return make_row(
        image.number, source, image=f"{source}::{image.info.name}", caption=caption, key=given,
        image_id=image_id, image_offset=image.info.offset_data, image_bytes=image.info.size,
    )  # fmt: skip


def _parts(sample: list[_Member]) -> tuple[_Member, dict[str, _Member]]:
    """The image of a sample, and its text members by extension; other members are never read."""
    by_extension = {member.extension: member for member in sample}
    if len(by_extension) < len(sample):
        raise Unusable("duplicate_member", f"{excerpt(sample[0].key)} has two members of one extension")
    images = [by_extension[extension] for extension in IMAGE_EXTENSIONS if extension in by_extension]
    if not images:
        raise Unusable("no_image", f"{excerpt(sample[0].key)} has only {', '.join(by_extension)}")
    if len(images) > 1:
        raise Unusable("several_images", ", ".join(excerpt(image.info.name) for image in images))
    return images[0], {extension: by_extension[extension] for extension in TEXT_EXTENSIONS if extension in by_extension}


def _caption(tar: tarfile.TarFile, texts: dict[str, _Member]) -> tuple[object, object]:
    """Caption (that of ``.txt`` first) and image id, as the archive has them."""
    body = parse_object(_content(tar, texts["json"])) if "json" in texts else {}
    text = _content(tar, texts["txt"]).decode("utf-8", "surrogateescape") if "txt" in texts else None
    return text or body.get("caption", text), body.get("image_id")


def _content(tar: tarfile.TarFile, member: _Member) -> bytes:
    stream = tar.extractfile(member.info)
    return b"" if stream is None else stream.read()
