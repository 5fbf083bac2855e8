"""Retrieval among captioned images (recall at 1, 5, 10, both ways).

Read is what ``negmine parse`` reads, by the same readers; of Karpathy's splits the test split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Final

from negmine.base.console import note
from negmine.contract.records import Rejected
from negmine.sources import Row, Source, image_root, open_source
from negmine.sources.columns import WithColumns
from negmine.sources.karpathy import Karpathy
from negmine.store.input_files import root

from ahnpl.evaluation.files import ImageFolder, open_image_folder
from ahnpl.evaluation.items import Item
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.tasks import CaptionBenchmark

SPLIT: Final = "test"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item | Rejected]:
    """One item a caption; an image is one path. What the source noted is said at the end.

    Args:
        images: the folder of the images. Without it tars, folders and Parquet hold their own, and those of a table
            are relative to it.

    Raises:
        UsageError: no such file, no format that is known, or no `images`.
        InputError: the file is cut or damaged, or has no caption column.
    """
    source = open_source(str(path), images=None if images is None else str(images))
    if isinstance(source, Karpathy):
        source = replace(source, split=SPLIT)
    folder = _image_folder(source, path, images)
    notes: Counter[str] = Counter()
    try:
        for row in source.read(str(path)):
            if isinstance(row, Row):
                yield _item(row, folder)
            elif isinstance(row, Rejected):
                yield row
            elif row.what == "other_split":
                dropped[f"captions of other splits than {SPLIT}"] += row.number
            else:
                notes[str(row)] += row.number
    finally:
        for what, number in notes.items():
            note(f"{path}: {what.replace(':', ': ', 1)}" + (f" ({number:,})" if number > 1 else ""))


def _item(row: Row, folder: ImageFolder) -> Item | Rejected:
    if not row.caption.strip():
        return Rejected(row.row, row.source, row.key, "empty_caption", None)
    if row.image is None:
        return Rejected(row.row, row.source, row.key, "no_image", "the row names no image")
    content = folder.read(row.image, row.image_offset, row.image_bytes)
    where = row.source if row.row is None else f"{row.source}, row {row.row}"
    return Item(str(PurePosixPath(row.image)), content, row.caption, (), where)


def _image_folder(source: Source, path: Path, images: Path | None) -> ImageFolder:
    if images is None:
        own = image_root(source, str(path)) or (root(str(path)) if isinstance(source, WithColumns) else None)
        if own is not None:
            return ImageFolder(Path(own))
    return open_image_folder(images, path)


def _authors(report: Report) -> dict[str, float]:
    return {"sum of the six recalls (rsum)": sum(report.retrieval.values())}


BENCHMARK: Final = CaptionBenchmark(read, _authors, retrieval=True)
