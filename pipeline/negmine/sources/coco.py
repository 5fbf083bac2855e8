"""COCO captions: ``images[]`` with ``id`` and ``file_name``, ``annotations[]`` with ``id, image_id, caption``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from negmine.records import Rejected
from negmine.sources import files
from negmine.sources.json_stream import entries, prefixes
from negmine.sources.row import Row, Unusable, excerpt, make_row

_MARKS = {"images.item.file_name", "annotations.item.image_id", "annotations.item.caption"}


class Coco:
    """Keys are annotation ids. Only the image names are held in memory, whatever order the file has."""

    name = "coco"
    endings = ()
    holds_images = False

    def recognises(self, path: str, head: bytes) -> bool:
        return not _MARKS.isdisjoint(prefixes(head))

    def read(self, path: str) -> Iterator[Row | Rejected]:
        for file in files.expand(path):
            names = _image_names(file)
            for number, annotation in entries(file, "annotations"):
                yield _row(number, file.name, annotation, names)


def _image_names(file: files.File) -> dict[Any, Any]:
    """Image id to file name; None for an id that stands for two files."""
    names: dict[Any, Any] = {}
    for _, image in entries(file, "images"):
        if isinstance(image, Mapping) and _is_id(image.get("id")):
            identity, name = image["id"], image.get("file_name")
            names[identity] = name if names.get(identity, name) == name else None
    return names


def _row(number: int, source: str, annotation: Any, names: Mapping[Any, Any]) -> Row | Rejected:
    if not isinstance(annotation, Mapping):
        return Unusable("not_an_object", f"{excerpt(annotation)} is no annotation").rejected(number, source)
    identity = annotation.get("image_id")
    name = names.get(identity) if _is_id(identity) else None
    row = make_row(
        number, source, image=name, caption=annotation.get("caption"), key=annotation.get("id"), image_id=identity
    )
    if isinstance(row, Row) and row.image is None:
        problem = Unusable("unknown_image", f"images[] has no file for image_id {excerpt(identity)}, or two")
        return problem.rejected(number, source, row.key)
    return row


def _is_id(value: Any) -> bool:
    return value is not None and not isinstance(value, dict | list)
