"""COCO captions: ``images[]`` with ``id`` and ``file_name``, ``annotations[]`` with ``id, image_id, caption``."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import ClassVar

from negmine.contract.records import Rejected
from negmine.sources.columns import has_images
from negmine.sources.json_stream import entries, outline
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, excerpt, identifier, make_row
from negmine.store import input_files as files
from negmine.store.file_systems import file_system


@dataclass(frozen=True)
class Coco:
    """Keys are annotation ids. Only the image names are held in memory, whatever order the file has.

    Attributes:
        images: root of the images, if the user names one: where it holds a folder for each split, as COCO's own
            layout does, the images of ``captions_train2017.json`` are looked for in ``train2017``.
    """

    name: ClassVar[str] = "coco"
    endings: ClassVar[tuple[str, ...]] = ()
    holds_images: ClassVar[bool] = False

    images: str | None = None

    def recognises(self, path: str, head: bytes) -> bool:
        """Images with a file name, or annotations that name an image by its id and not by a file or URL."""
        seen = outline(head)
        if seen is None:
            return False
        images, annotations = (seen.names(name) if name in seen.arrays else [] for name in ("images", "annotations"))
        return "file_name" in images or (
            not {"image_id", "caption"}.isdisjoint(annotations) and not has_images(annotations)
        )

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path):
            names = _image_names(file)
            folder = self._folder(file, names)
            if folder:
                yield Noted("folder", detail=f"{folder}/")
            for number, annotation in entries(file, "annotations"):
                yield _row(number, file.name, annotation, names, folder)

    def _folder(self, file: files.File, names: Mapping[str, object]) -> str:
        """The folder of this file's split below the root of the images; empty where there is none."""
        split = PurePosixPath(file.path).stem.rpartition("_")[2]
        first = next((name for name in names.values() if isinstance(name, str)), None)
        if self.images is None or first is None or not split:
            return ""
        system, root = file_system(self.images, fresh=False)
        if system.exists(posixpath.join(root, first)) or not system.isdir(posixpath.join(root, split)):
            return ""
        return split


def _image_names(file: files.File) -> dict[str, object]:
    """Image id to file name; None for an id that stands for two files. Ids are equal as text: 7, 7.0 and ``"7"``."""
    names: dict[str, object] = {}
    for _, image in entries(file, "images"):
        if not isinstance(image, Mapping):
            continue
        identity = _identity(image.get("id"))
        if identity is not None:
            name = image.get("file_name")
            names[identity] = name if names.get(identity, name) == name else None
    return names


def _row(number: int, source: str, annotation: object, names: Mapping[str, object], folder: str) -> Row | Rejected:
    if not isinstance(annotation, Mapping):
        return Unusable("not_an_object", f"{excerpt(annotation)} is no annotation").rejected(number, source)
    given = annotation.get("image_id")
    identity = _identity(given)
    name = names.get(identity) if identity is not None else None
    if folder and isinstance(name, str):
        name = f"{folder}/{name}"
    row = make_row(
        number, source, image=name, caption=annotation.get("caption"), key=annotation.get("id"), image_id=given
    )
    if isinstance(row, Row) and row.image is None:
        problem = Unusable("unknown_image", f"images[] has no file for image_id {excerpt(given)}, or two")
        return problem.rejected(number, source, row.key)
    return row


def _identity(value: object) -> str | None:
    try:
        return identifier(value, "bad_image_id")
    except Unusable:
        return None
