"""Karpathy's splits (``dataset_coco.json``): ``images[]`` with ``filepath, filename, sentences[].raw``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar

from negmine.contract.records import Rejected
from negmine.sources.json_stream import entries, outline
from negmine.sources.noted import Noted
from negmine.sources.row import Row, Unusable, excerpt, make_row
from negmine.store import input_files as files


@dataclass(frozen=True)
class Karpathy:
    """Keys are sentence ids, image ids are COCO's where the file has them.

    Attributes:
        split: the only one that is read, with images that are of none; None reads all.
    """

    name: ClassVar[str] = "karpathy"
    endings: ClassVar[tuple[str, ...]] = ()
    holds_images: ClassVar[bool] = False

    split: str | None = None

    def recognises(self, path: str, head: bytes) -> bool:
        seen = outline(head)
        return seen is not None and "images" in seen.arrays and "sentences" in seen.names("images")

    def read(self, path: str) -> Iterator[Row | Rejected | Noted]:
        for file in files.expand(path):
            for number, image in entries(file, "images"):
                yield from _rows(number, file.name, image, self.split)


def _rows(number: int, source: str, image: object, split: str | None) -> Iterator[Row | Rejected | Noted]:
    if not isinstance(image, Mapping):
        yield Unusable("not_an_object", f"{excerpt(image)} is no image").rejected(number, source)
        return
    sentences = image.get("sentences")
    if not isinstance(sentences, list) or not sentences:
        yield Unusable("no_caption", f"sentences of {excerpt(image.get('filename'))}: none").rejected(number, source)
        return
    if split is not None and image.get("split", split) != split:
        yield Noted("other_split", len(sentences))
        return
    for sentence in sentences:
        yield _row(number, source, image, sentence)


def _row(number: int, source: str, image: Mapping[str, object], sentence: object) -> Row | Rejected:
    if not isinstance(sentence, Mapping):
        return Unusable("not_an_object", f"{excerpt(sentence)} is no sentence").rejected(number, source)
    image_id = image.get("cocoid")
    return make_row(
        number,
        source,
        image=_path(image),
        caption=sentence.get("raw"),
        key=sentence.get("sentid"),
        image_id=image.get("imgid") if image_id is None else image_id,
    )


def _path(image: Mapping[str, object]) -> object:
    folder, name = image.get("filepath"), image.get("filename")
    return f"{folder.rstrip('/')}/{name}" if folder and isinstance(folder, str) and isinstance(name, str) else name
