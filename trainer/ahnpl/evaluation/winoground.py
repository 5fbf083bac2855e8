"""Winoground (Thrush et al., CVPR 2022): two images and two captions of the same words.

Read is the official ``examples.jsonl``, or its folder; images are named without a suffix there. Its authors print the
text, image and group scores over all examples; each asks for *greater*, so a tie is wrong there too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Item, Twin
from ahnpl.evaluation.run import GROUP, IMAGE, TEXT, Report
from ahnpl.evaluation.tasks import CaptionBenchmark

NAME: Final = "Winoground"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of the file or its folder; kinds are its collapsed tags: Object, Relation, Both.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not Winoground.
    """
    folder = open_image_folder(images, path)
    for file in find_files(path, NAME, "examples.jsonl"):
        for row in read_rows(file, NAME):
            first, second = row.text("image_0"), row.text("image_1")
            twin = Twin(folder.read(second), row.text("caption_1"), _kind(row))
            yield Item(first, folder.read(first), row.text("caption_0"), (), row.where, (twin,))


def _kind(row: Row) -> str:
    return str(row.value.get("collapsed_tag") or row.value.get("tag") or "untagged")


def _authors(report: Report) -> dict[str, float]:
    return {name: report.measure(name).micro.share for name in (TEXT, IMAGE, GROUP)}


BENCHMARK: Final = CaptionBenchmark(read, _authors)
