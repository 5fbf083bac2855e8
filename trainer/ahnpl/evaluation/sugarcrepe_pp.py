"""SugarCrepe++ (Dumpala et al., NeurIPS 2024): two true captions in different words, and one false caption.

Read are the official JSON files (a list of rows; the file's name is the kind), or the folder of five. Its authors
print for each file: *image to text*, both true captions score above the false one; *text only*, the true captions are
nearer to each other than either is to the false one. A tie is wrong there too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Foil, Item
from ahnpl.evaluation.run import BOTH, TEXT_ONLY, Report
from ahnpl.evaluation.tasks import CaptionBenchmark

NAME: Final = "SugarCrepe++"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of a file or folder.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not SugarCrepe++.
    """
    folder = open_image_folder(images, path)
    for file in find_files(path, NAME, "*.json"):
        for row in read_rows(file, NAME):
            name = row.text("filename")
            foil = Foil(row.text("negative_caption"), file.stem)
            yield Item(
                name, folder.read(name), row.text("caption"), (foil,), row.where, paraphrase=row.text("caption2")
            )


def _authors(report: Report) -> dict[str, float]:
    return {
        "image to text, mean of files": report.measure(BOTH).macro,
        "text only, mean of files": report.measure(TEXT_ONLY).macro,
    }


BENCHMARK: Final = CaptionBenchmark(read, _authors)
