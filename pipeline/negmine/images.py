"""Pictures as the input names them: where their bytes are, and whether they can be trusted and decoded."""

from __future__ import annotations

import io
import os
import tarfile
import warnings
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any, Final

from negmine.addresses import address_of, is_address

if TYPE_CHECKING:
    from negmine.store import Manifest

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


def root_of(pairs: Manifest, work: Path) -> str | None:
    """Where the pictures of a work folder's pairs lie: where they were read, figures where the folder is now.

    None where the pairs were read without pictures.
    """
    if "figures" in pairs.spec.inputs:
        figures = work / "figures"
        return address_of(figures) or str(figures.resolve())
    return pairs.spec.context.get("images")


class ImageRoot:
    """Reads the pictures below a folder, a local path or an fsspec URL.

    Pictures inside archives are read at their offset; a few archives stay open. No name and no link leads out of the
    folder, which may itself be a link.
    """

    def __init__(self, root: str) -> None:
        from negmine.sources.files import filesystem

        self._files, self._root = filesystem(root)
        self._remote = is_address(root)
        self._within = self._root if self._remote else os.path.realpath(self._root)
        self._archives: OrderedDict[str, IO[bytes]] = OrderedDict()

    def read(self, image: str, offset: int | None = None, size: int | None = None) -> bytes:
        """The encoded picture.

        Args:
            image: path below the root, or ``archive.tar::member``.
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
            stream = self._archive(archive, is_input=offset is not None)
            if offset is None or size is None:
                offset, size = _find(stream, member)
            stream.seek(offset)
            return stream.read(size)
        except OSError as error:
            if self._remote and not isinstance(error, FileNotFoundError):
                self._archives.pop(archive, None)
                raise
            raise BadImageError("missing_image", f"{image}: {error.strerror or error}") from None
        except ValueError as error:  # a zero byte in the name
            raise BadImageError("missing_image", f"{image!r}: {error}") from None

    def _archive(self, name: str, *, is_input: bool) -> IO[bytes]:
        """An open archive; one that the user named as input may be a link to elsewhere."""
        stream = self._archives.pop(name, None) or self._files.open(self._below(name, follows=is_input), "rb")
        self._archives[name] = stream
        if len(self._archives) > _OPEN_ARCHIVES:
            self._archives.popitem(last=False)[1].close()
        return stream

    def _below(self, image: str, *, follows: bool = False) -> str:
        """Where a picture or an archive lies.

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


def _find(stream: IO[bytes], member: str) -> tuple[int, int]:
    """Where a tar member's content lies: offset and size in bytes."""
    stream.seek(0)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:
            found = tar.getmember(member)
            return found.offset_data, found.size
    except (KeyError, tarfile.TarError) as error:
        raise BadImageError("missing_image", f"{member}: {error}") from None
