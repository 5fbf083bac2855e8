"""Retrieval among captioned pictures (recall at 1, 5, 10, both ways).

Read are Karpathy's JSON (its test split), COCO's captions JSON, or JSONL with ``image`` and ``caption``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from negmine.errors import InputError

from ahnpl.evaluate.files import Row, find_files, open_pictures, read_json, read_rows
from ahnpl.evaluate.items import Item
from ahnpl.evaluate.run import Report
from ahnpl.evaluate.tasks import CaptionBenchmark

NAME: Final = "captions"
SPLIT: Final = "test"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """One item a caption; for JSONL the file's own folder is the default of `images`.

    Raises:
        UsageError: no such file, or no `images`.
        InputError: a file of none of the three formats.
    """
    file = find_files(path, NAME, "*.json", "*.jsonl")[0]
    pictures = open_pictures(images or (file.parent if file.suffix == ".jsonl" else None), file)
    for row, name, caption in _pairs(file, dropped):
        yield Item(name, pictures.read(name), caption, (), row.where)


def _pairs(file: Path, dropped: Counter[str]) -> Iterator[tuple[Row, str, str]]:
    """Row, picture and caption."""
    if file.suffix == ".jsonl":
        for row in read_rows(file, NAME):
            yield row, row.text("image"), row.text("caption")
        return
    body = _read(file)
    if "annotations" in body:
        named = {Row(image, "images", file, NAME).get("id"): image.get("file_name") for image in body["images"]}
        for place, annotation in enumerate(body["annotations"]):
            row = Row(annotation, f"annotations {place}", file, NAME)
            yield row, str(named.get(row.get("image_id"))), row.text("caption")
        return
    for place, image in enumerate(body["images"]):
        row = Row(image, f"images {place}", file, NAME)
        sentences = row.get("sentences")
        if image.get("split", SPLIT) != SPLIT:
            dropped[f"captions of other splits than {SPLIT}"] += len(sentences)
            continue
        for sentence in sentences:
            yield row, _path(row), Row(sentence, row.key, file, NAME).text("raw")


def _path(row: Row) -> str:
    name = row.text("filename")
    return f"{row.text('filepath').rstrip('/')}/{name}" if row.has("filepath") else name


def _read(file: Path) -> dict[str, Any]:
    body = read_json(file, NAME)
    if isinstance(body, dict) and isinstance(body.get("images"), list):
        return body
    raise InputError(f"this is not a {NAME} file", where=str(file), why="it has no list of images")


def _authors(report: Report) -> dict[str, float]:
    return {"sum of the six recalls (rsum)": sum(report.retrieval.values())}


BENCHMARK: Final = CaptionBenchmark(read, _authors, retrieval=True)
