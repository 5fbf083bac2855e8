"""Pictures as the input names them: where their bytes are, and whether they can be trusted and decoded."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import IO, Any, Final

from negmine.addresses import is_address
from negmine.archives import ParquetCells, is_parquet

MAX_PIXELS: Final = 25_000_000
"""Largest picture that is decoded, in pixels, unless the user says otherwise; open_clip draws the line there too."""

_EXTENSIONS: Final = {"JPEG": "jpg", "MPO": "jpg", "PNG": "png", "WEBP": "webp"}
_OPEN_ARCHIVES: Final = 32


class BadImageError(Exception):
    """A picture that cannot be used; `reason` is one word for the count, `detail` is for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What the bytes of a picture say.

    Attributes:
        extension: ``jpg``, ``png`` or ``webp``, from the content and not from the name.
        width: pixels.
        height: pixels.
        signature: 64-bit difference hash: equal or nearly equal bits mean nearly the same picture.
    """

    extension: str
    width: int
    height: int
    signature: int


def inspect_image(content: bytes, max_pixels: int = MAX_PIXELS) -> ImageFacts:
    """Check the header, then decode everything once.

    Raises:
        BadImageError: ``image_format``, ``too_many_pixels`` or ``damaged_image``.
    """
    from PIL import Image

    picture = open_image(content, max_pixels)
    width, height = picture.size
    try:
        picture.draft("L", (64, 64))  # JPEG: decode all of the stream, but only an eighth of the pixels
        small = picture.convert("L").resize((9, 8), Image.Resampling.BILINEAR)
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise BadImageError("damaged_image", str(error)) from None
    return ImageFacts(_EXTENSIONS[picture.format], width, height, _difference_hash(small.tobytes()))


def open_image(content: bytes, max_pixels: int = MAX_PIXELS) -> Any:
    """A Pillow image whose header was read and found acceptable; no pixel is decoded yet.

    Raises:
        BadImageError: ``image_format`` or ``too_many_pixels``.
    """
    from PIL import Image

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            picture = Image.open(io.BytesIO(content), formats=("JPEG", "PNG", "WEBP"))
    except Image.DecompressionBombError as error:
        raise BadImageError("too_many_pixels", str(error)) from None
    except (OSError, ValueError, SyntaxError, EOFError):
        raise BadImageError("image_format", "not a JPEG, PNG or WebP picture") from None
    width, height = picture.size
    if width * height > max_pixels:
        raise BadImageError("too_many_pixels", f"{width} x {height}, more than {max_pixels:,} pixels")
    return picture


def _difference_hash(pixels: bytes) -> int:
    """One bit for each of 8 x 8 neighbours in 9 x 8 grey pixels: is the right one brighter?"""
    bits = 0
    for row in range(8):
        for column in range(8):
            at = row * 9 + column
            bits = bits << 1 | (pixels[at] < pixels[at + 1])
    return bits


class ImageRoot:
    """Reads the pictures below a folder, a local path or an fsspec URL.

    Pictures inside archives are read at their offset; a few archives stay open.
    """

    def __init__(self, root: str) -> None:
        from fsspec.core import url_to_fs

        self._files, self._root = url_to_fs(root)
        self._remote = is_address(root)
        self._archives: OrderedDict[str, IO[bytes]] = OrderedDict()
        self._cells = ParquetCells()

    def read(self, image: str, offset: int | None = None, size: int | None = None) -> bytes:
        """The encoded picture.

        Args:
            image: path below the root, ``archive.tar::member``, or ``table.parquet::column[row]``.
            offset: byte position of the member's content, if it is known; `size` its length.

        Raises:
            BadImageError: ``missing_image`` or ``path_outside``.
            ResourceError: a store does not answer: that says nothing of the picture.
        """
        if not self._remote:
            return self._read(image, offset, size)
        from negmine.store.remote import request

        return request(partial(self._read, image, offset, size), f"{self._root}/{image}")

    def _read(self, image: str, offset: int | None, size: int | None) -> bytes:
        archive, _, member = image.partition("::")
        try:
            if not member:
                return bytes(self._files.cat_file(self._below(image)))
            stream = self._archive(archive)
            if offset is None and is_parquet(stream):
                return self._cells.read(stream, archive, member)
            if offset is None or size is None:
                offset, size = _find(stream, member)
            stream.seek(offset)
            return stream.read(size)
        except OSError as error:
            if self._remote and not isinstance(error, FileNotFoundError):
                self._archives.pop(archive, None)
                raise
            raise BadImageError("missing_image", f"{image}: {error.strerror or error}") from None
        except ValueError as error:  # a zero byte in the name, or a table without this cell
            raise BadImageError("missing_image", f"{image!r}: {error}") from None

    def _archive(self, name: str) -> IO[bytes]:
        stream = self._archives.pop(name, None) or self._files.open(self._below(name), "rb")
        self._archives[name] = stream
        if len(self._archives) > _OPEN_ARCHIVES:
            self._archives.popitem(last=False)[1].close()
        return stream

    def _below(self, image: str) -> str:
        path = os.path.normpath(os.path.join(self._root, image))  # noqa: PTH118  fsspec paths are strings
        if path != self._root and not PurePosixPath(path).is_relative_to(self._root):
            raise BadImageError("path_outside", f"{image} is not below {self._root}")
        return path


def _find(stream: IO[bytes], member: str) -> tuple[int, int]:
    """Where a tar member's content lies: offset and size in bytes."""
    stream.seek(0)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            found = tar.getmember(member)
            return found.offset_data, found.size
    except (KeyError, tarfile.TarError) as error:
        raise BadImageError("missing_image", f"{member}: {error}") from None
