"""COLA, multi-object setting (Ray et al., NeurIPS 2023): two images with objects whose attributes are exchanged.

Read is the official JSON, a list of ``[link 1, caption 1, link 2, caption 2]``; of a link only the file's name
counts. What its authors call accuracy is the image score: both captions score their own image higher, chance 1/4, a
tie is wrong. The single-object setting is `cola_single`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Item, Twin
from ahnpl.evaluation.run import IMAGE, Report
from ahnpl.evaluation.tasks import CaptionBenchmark

NAME: Final = "COLA"
KIND: Final = "multi-object"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of the file or its folder.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not COLA's multi-object setting.
    """
    folder = open_image_folder(images, path)
    for file in find_files(path, NAME, "COLA_multiobjects*.json"):
        for row in read_rows(file, NAME):
            first, caption, second, other = _fields(row)
            twin = Twin(folder.read(second), other, KIND)
            yield Item(first, folder.read(first), caption, (), row.where, (twin,))


def _fields(row: Row) -> tuple[str, str, str, str]:
    match row.value:
        case [str(first), str(caption), str(second), str(other)]:
            return first.rpartition("/")[2], caption, second.rpartition("/")[2], other
    raise row.error("it should be [link 1, caption 1, link 2, caption 2]; the single-object setting is cola-single")


def _authors(report: Report) -> dict[str, float]:
    return {"multi-object accuracy (the image score)": report.measure(IMAGE).micro.share}


BENCHMARK: Final = CaptionBenchmark(read, _authors)
