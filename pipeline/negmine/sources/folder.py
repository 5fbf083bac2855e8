"""A folder of images with a ``.txt`` beside each: one caption a line."""

from __future__ import annotations

import posixpath
from collections import defaultdict
from collections.abc import Iterator

from negmine.errors import UsageError
from negmine.records import IMAGE_EXTENSIONS, Rejected
from negmine.sources import files
from negmine.sources.row import Row, Unusable, make_row

_IMAGE_ENDINGS = tuple(f".{extension}" for extension in IMAGE_EXTENSIONS)


class Folder:
    """Sub-folders too. Other files are passed over; what is held is one folder's file names."""

    name = "folder"
    endings = ()
    holds_images = True

    def recognises(self, path: str, head: bytes) -> bool:
        return not head and any(
            images and text is not None for _, names in files.walk(path) for images, text in _by_stem(names).values()
        )

    def read(self, path: str) -> Iterator[Row | Rejected]:
        if not files.is_folder(path):
            raise UsageError("this is no folder", where=path, fix="name the folder that holds the pictures")
        system, inner = files.filesystem(path)
        for folder, names in files.walk(path):
            for images, text in _by_stem(names).values():
                name = posixpath.join(folder, text or images[0])
                file = files.File(system, posixpath.join(inner, name), files.printable(name))
                yield from _rows(file, folder, images, text)


def _by_stem(names: list[str]) -> dict[str, tuple[list[str], str | None]]:
    """The images and the text file of each stem that has any; names are sorted."""
    images, texts = defaultdict[str, list[str]](list), dict[str, str]()
    for name in names:
        stem, ending = posixpath.splitext(name)
        if ending.lower() in _IMAGE_ENDINGS:
            images[stem].append(name)
        elif ending.lower() == ".txt":
            texts[stem] = name
    return {stem: (images.get(stem, []), texts.get(stem)) for stem in sorted(images.keys() | texts.keys())}


def _rows(file: files.File, folder: str, images: list[str], text: str | None) -> Iterator[Row | Rejected]:
    if not images:
        yield Unusable("no_image", "there is no image of this name").rejected(None, file.name)
    elif text is None:
        yield Unusable("no_caption", "there is no .txt of this name").rejected(None, file.name)
    elif len(images) > 1:
        yield Unusable("several_images", files.printable(", ".join(images))).rejected(None, file.name)
    else:
        yield from _captions(file, posixpath.join(folder, images[0]))


def _captions(file: files.File, image: str) -> Iterator[Row | Rejected]:
    empty = True
    with file.open() as stream:
        for number, line in files.numbered_lines(stream):
            if line is None:
                problem = Unusable("line_too_long", f"more than {files.MAX_LINE_BYTES:,} bytes")
                yield problem.rejected(number, file.name)
            elif line.strip():
                caption = line.strip().decode("utf-8", "surrogateescape")
                yield make_row(number, file.name, image=image, caption=caption)
            empty = empty and line is not None and not line.strip()
    if empty:
        yield Unusable("no_caption", "this file is empty").rejected(None, file.name)
