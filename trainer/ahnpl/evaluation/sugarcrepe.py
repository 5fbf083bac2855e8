"""SugarCrepe (Hsieh et al., NeurIPS 2023): one true and one false caption for a COCO val2017 image.

Read are the official JSON (one file, or the folder of seven; the file's name is the kind) and JSONL with ``image``,
``caption``, ``negative_caption``, ``kind``. Its authors print an accuracy for each file; papers add the plain mean of
the files of replace, swap and add. A tie is wrong there too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Foil, Item
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.tasks import CaptionBenchmark, mean_by_category

NAME: Final = "SugarCrepe"
FILES: Final = ("replace_obj", "replace_att", "replace_rel", "swap_obj", "swap_att", "add_obj", "add_att")
_CATEGORIES: Final = {file: file.partition("_")[0] for file in FILES}


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of a SugarCrepe file or folder.

    Args:
        path: ``.json``, ``.jsonl``, or a folder of ``.json`` files.
        images: the folder of the images; for JSONL the file's own folder is the default.
        dropped: nothing is.

    Raises:
        UsageError: no such path, or official files without `images`.
        InputError: a file that is not SugarCrepe.
    """
    for file in find_files(path, NAME, "*.json"):
        folder = open_image_folder(images or (file.parent if file.suffix == ".jsonl" else None), file)
        for row in read_rows(file, NAME):
            yield _item(row, folder.read(name := row.text("image", "filename")), name)


def _item(row: Row, image: bytes | None, name: str) -> Item:
    kind = row.text("kind") if row.has("kind") else row.file.stem
    return Item(name, image, row.text("caption"), (Foil(row.text("negative_caption"), kind),), row.where)


def _authors(report: Report) -> dict[str, float]:
    shares = {kind: accuracy.share for kind, accuracy in report.kinds.items()}
    found = mean_by_category(shares, _CATEGORIES)
    return {f"{category}, mean of its files": share for category, share in found.items()}


BENCHMARK: Final = CaptionBenchmark(read, _authors)
