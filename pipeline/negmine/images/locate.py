"""Images as the input names them: where their bytes are, and whether they can be trusted and decoded."""

from __future__ import annotations

import hashlib
import os
import stat
import tarfile
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, TYPE_CHECKING, Final
from unicodedata import normalize

from negmine.base.addresses import is_address
from negmine.contract.records import MAX_MEMBER_BYTES, MEMBER_MARK, THUMBNAIL
from negmine.contract.tar_headers import UNREADABLE, Header
from negmine.images.decode import MAX_PIXELS, BadImageError, decode
from negmine.images.parquet_cells import ParquetCells, is_parquet
from negmine.store.file_systems import file_system, request

if TYPE_CHECKING:
    from negmine.contract.records import PairRow

PLACE: Final = ("image", "image_offset", "image_bytes", "content")
"""Columns of the pairs that say where an image lies and which it is: the arguments of `ImageRoot.read`."""

Place = tuple[str | None, int | None, int | None, int | None]
"""The values of these columns."""


def place_of(row: PairRow) -> Place:
    return row["image"], row["image_offset"], row["image_bytes"], row["content"]


_OPEN_ARCHIVES: Final = 32

_CLEARLY: Final = 3
"""Shades by which a neighbour must be brighter: less is the noise of compression."""


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the bytes of an image say.

    Attributes:
        extension: ``jpg``, ``png`` or ``webp``, from the content and not from the name.
        width: pixels, upright.
        height: pixels, upright.
        signature: 64-bit difference hash: of one image, scaled or compressed again, nearly the same bits.
        thumbnail: see `negmine.contract.records.THUMBNAIL`: whether it is that image.
        content: `content_hash`.
        plain: whether every reader sees these pixels (see `negmine.images.decode.Decoded`).
    """

    extension: str
    width: int
    height: int
    signature: int
    thumbnail: bytes
    content: int
    plain: bool


def inspect_image(content: bytes, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Check the header, then decode everything once.

    Raises:
        BadImageError: ``image_format``, ``too_many_pixels``, ``too_thin`` or ``damaged_image``.
    """
    from PIL import Image

    seen = decode(content, max_pixels, least=64)  # of a JPEG all of the stream, but only an eighth of the pixels
    grey = seen.rgb.convert("L")
    signature = _difference_hash(grey.resize((9, 8), Image.Resampling.BOX).tobytes())
    shades, colours = (
        image.resize((side, side), Image.Resampling.BOX).tobytes()
        for image, side in zip((grey, seen.rgb), THUMBNAIL, strict=True)
    )
    thumbnail = shades + colours
    return ImageFacts(seen.extension, seen.width, seen.height, signature, thumbnail, content_hash(content), seen.plain)


def content_hash(content: bytes) -> int:
    """64 bits that stand for the bytes of an image."""
    return int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "big")


def _difference_hash(pixels: bytes) -> int:
    """One bit for each of 8 x 8 neighbours in 9 x 8 grey pixels: is the right one clearly brighter?"""
    bits = 0
    for row in range(8):
        for column in range(8):
            at = row * 9 + column
            bits = bits << 1 | (pixels[at] + _CLEARLY < pixels[at + 1])
    return bits


class ImageRoot:
    """Reads the images below a folder, a local path or an fsspec URL.

    Images inside archives are read at their offset; a few archives stay open. No name and no link leads out of the
    folder, which may itself be a link.
    """

    def __init__(self, root: str) -> None:
        self._files, self._root = file_system(root, fresh=False)
        self._remote = is_address(root)
        self._within = self._root if self._remote else os.path.realpath(self._root)
        self._archives: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._cells = ParquetCells()

    def read(self, image: str, offset: int | None = None, size: int | None = None, content: int | None = None) -> bytes:
        """The encoded image.

        Args:
            image: path below the root, ``archive.tar::member``, or ``table.parquet::column[row]``.
            offset: byte position of the member's content, if it is known; `size` its length.
            content: `content_hash` of the image that is meant, if it was seen before.

        Raises:
            BadImageError: ``missing_image``, ``path_outside``, ``member_too_large`` or ``changed_image``.
            ResourceError: a store does not answer: that says nothing of the image.
        """
        if self._remote:
            found = request(partial(self._read, image, offset, size), f"{self._root}/{image}")
        else:
            found = self._read(image, offset, size)
        check_same(image, found, content)
        return found

    def _read(self, image: str, offset: int | None, size: int | None) -> bytes:
        archive, _, member = image.partition(MEMBER_MARK)
        try:
            if not member:
                return bytes(self._files.cat_file(self._regular(image)))
            stream = self._archive(archive, is_input=offset is not None)
            if offset is None and is_parquet(stream):
                return self._cells.read(stream, archive, member)
            if offset is None or size is None:
                offset, size = _find(stream, member)
            _check_size(image, size)
            stream.seek(offset)
            return stream.read(size)
        except OSError as error:
            if self._remote and not isinstance(error, FileNotFoundError):
                self._archives.pop(archive, None)
                raise
            raise BadImageError("missing_image", f"{image}: {error.strerror or error}") from None
        except ValueError as error:  # a zero byte in the name, or a table without this cell
            raise BadImageError("missing_image", f"{image!r}: {error}") from None

    def _archive(self, name: str, *, is_input: bool) -> IO[bytes]:
        """An open archive; one that the user named as input may be a link to elsewhere."""
        found = self._archives.pop(name, None)
        stream = found or self._files.open(self._regular(name, archive=True, follows=is_input), "rb")
        self._archives[name] = stream
        if len(self._archives) > _OPEN_ARCHIVES:
            self._archives.popitem(last=False)[1].close()
        return stream

    def _regular(self, name: str, *, archive: bool = False, follows: bool = False) -> str:
        """Where a file lies. What is no regular file is never opened: a pipe would wait, a device would not end."""
        path = self._below(name, follows=follows)
        if not self._remote:
            if not name.isascii() and not os.path.lexists(path):
                path = self._in_another_form(name, follows) or path
            found = os.stat(path)  # noqa: PTH116
            if not stat.S_ISREG(found.st_mode):
                raise BadImageError("missing_image", f"{name} is no regular file")
            if not archive:
                _check_size(name, found.st_size)
        return path

    def _in_another_form(self, name: str, follows: bool) -> str | None:
        """Where a file lies whose name has its accents as characters of their own, or not: Macs write them apart."""
        forms = (self._below(normalize(form, name), follows=follows) for form in ("NFC", "NFD"))
        return next(filter(os.path.lexists, forms), None)

    def _below(self, image: str, *, follows: bool = False) -> str:
        """Where an image or an archive lies.

        Args:
            follows: links that lead out of the root.

        Raises:
            BadImageError: ``path_outside``.
        """
        path = os.path.join(self._root, image)  # noqa: PTH118  fsspec paths are strings
        within = self._root
        if self._remote or follows:
            path = os.path.normpath(path)
        else:
            path, within = os.path.realpath(path), self._within
        if path != within and not PurePosixPath(path).is_relative_to(within):
            leads = "" if self._remote else f": it leads to {path}"
            raise BadImageError("path_outside", f"{image} is not below {within}{leads}")
        return path


def check_same(image: str, found: bytes, content: int | None) -> None:
    """Refuse other bytes than those whose `content_hash` the pairs hold; None: none were seen.

    Raises:
        BadImageError: ``changed_image``.
    """
    if content is not None and content_hash(found) != content:
        raise BadImageError("changed_image", f"{image} is another image than when the pairs were read")


def _check_size(image: str, size: int) -> None:
    if size > MAX_MEMBER_BYTES:
        raise BadImageError("member_too_large", f"{image} has {size:,} bytes, more than {MAX_MEMBER_BYTES:,}")


def _find(stream: IO[bytes], member: str) -> tuple[int, int]:
    """Where a tar member's content lies: offset and size in bytes."""
    stream.seek(0)
    try:
        with tarfile.open(fileobj=stream, mode="r:", tarinfo=Header) as tar:
            found = tar.getmember(member)
            return found.offset_data, found.size
    except UNREADABLE as error:
        raise BadImageError("missing_image", f"{member}: {error}") from None
