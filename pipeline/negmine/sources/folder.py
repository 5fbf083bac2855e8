"""A folder of images with texts beside them; see `captions_of` for what a text says."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from negmine.base.errors import UsageError
from negmine.contract.records import IMAGE_EXTENSIONS, Rejected
from negmine.sources.captions import MAX_TEXT_BYTES, PLAIN_EXTENSIONS, TEXT_EXTENSIONS, captions_of
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, make_row
from negmine.store import input_files as files
from negmine.store.file_systems import file_system

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem


@dataclass(frozen=True, slots=True)
class _Files:
    """The files of one stem, in the order of their names."""

    images: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)


class Folder:
    """Sub-folders too. Other files are passed over; what is held is one folder's file names."""

    name = "folder"
    endings = ()
    holds_images = True

    def recognises(self, path: str, head: bytes) -> bool:
        return not head and any(
            found.images and found.texts for _, names in files.walk(path) for found in _by_stem(names).values()
        )

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        if not files.is_folder(path):
            raise UsageError("this is no folder", where=path, fix="name the folder that holds the images")
        system, inner = file_system(path, fresh=False)
        for folder, names in files.walk(path):
            for found in _by_stem(names).values():
                yield from _rows(system, inner, folder, found)


def _by_stem(names: list[str]) -> dict[str, _Files]:
    """The files of each stem that has an image or a plain text; names are sorted."""
    found = defaultdict[str, _Files](_Files)
    for name in names:
        if _extension(name) in IMAGE_EXTENSIONS:
            found[_stem(name)].images.append(name)
        elif _extension(name) in TEXT_EXTENSIONS:
            found[_stem(name)].texts.append(name)
    return {stem: of for stem, of in sorted(found.items()) if of.images or any(map(_is_plain, of.texts))}


def _stem(name: str) -> str:
    return posixpath.splitext(name)[0]


def _extension(name: str) -> str:
    return posixpath.splitext(name)[1].lower().removeprefix(".")


def _is_plain(name: str) -> bool:
    return _extension(name) in PLAIN_EXTENSIONS


def _rows(system: AbstractFileSystem, inner: str, folder: str, found: _Files) -> Iterator[Row | Rejected | Noted]:
    def file(name: str) -> files.File:
        path = posixpath.join(folder, name)
        return files.File(system, posixpath.join(inner, path), files.printable(path))

    texts = {_extension(name): name for name in sorted(found.texts, key=lambda name: _extension(name) == "json")}
    source = file(next(iter(texts.values()), None) or found.images[0]).name
    try:
        if not found.images:
            raise Unusable("no_image", "there is no image of this name")
        if len(found.images) > 1:
            raise Unusable("several_images", files.printable(", ".join(found.images)))
        if len(texts) < len(found.texts):
            raise Unusable("duplicate_member", files.printable(", ".join(found.texts)))
        captions = captions_of({extension: _content(file(name)) for extension, name in texts.items()})
    except Unusable as problem:
        yield problem.rejected(None, source)
        return
    yield from map(Noted, captions.notes)
    image = posixpath.join(folder, found.images[0])
    for number, caption in captions.texts:
        yield make_row(number, source, image=image, caption=caption, image_id=captions.image_id)


def _content(file: files.File) -> bytes:
    with file.open() as stream:
        content = stream.read(MAX_TEXT_BYTES + 1)
    if len(content) > MAX_TEXT_BYTES:
        raise Unusable("member_too_large", f"{file.name} has more than {MAX_TEXT_BYTES:,} bytes")
    return content
