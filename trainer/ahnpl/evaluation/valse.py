"""VALSE (Parcalabescu et al., ACL 2022): caption and foil, eleven files of six linguistic phenomena and FOIL-it.

Read are the official JSON files, or their folder. Only foils that people confirmed count, as its authors ask: at
least two of three annotators chose the caption and not the foil (``mturk.caption >= 2``); the others are counted. Of
its authors' metrics this is pairwise ranking accuracy. Papers print either the mean of the eleven files or that of
the seven categories; scores in half precision, as in the usual script, make ties that here are none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Foil, Item
from ahnpl.evaluation.metrics import mean
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.tasks import CaptionBenchmark, mean_by_category

NAME: Final = "VALSE"
CONFIRMED: Final = 2
CATEGORIES: Final = {
    "existence": "existence",
    "plurals": "plurality",
    "counting-hard": "counting",
    "counting-small-quant": "counting",
    "counting-adversarial": "counting",
    "relations": "relations",
    "action-replacement": "actions",
    "actant-swap": "actions",
    "coreference-standard": "coreference",
    "coreference-hard": "coreference",
    "foil-it": "foil it",
}


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of a file or folder; unconfirmed foils are counted in `dropped`.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not VALSE.
    """
    folder = open_image_folder(images, path)
    for file in find_files(path, NAME, "*.json"):
        for row in read_rows(file, NAME):
            if _votes(row) < CONFIRMED:
                dropped["fewer than two of three annotators confirmed the foil"] += 1
                continue
            name, foil = row.text("image_file"), Foil(row.text("foil"), file.stem)
            yield Item(name, folder.read(name), row.text("caption"), (foil,), row.where)


def _votes(row: Row) -> int:
    return Row(row.get("mturk"), f"{row.key}, mturk", row.file, row.format).number("caption")


def _authors(report: Report) -> dict[str, float]:
    shares = {kind: accuracy.share for kind, accuracy in report.kinds.items() if kind in CATEGORIES}
    categories = mean_by_category(shares, CATEGORIES)
    number = len(set(CATEGORIES.values()))
    return {
        **{f"{category}, mean of its files": share for category, share in categories.items()},
        f"mean of {len(shares)} of the {len(CATEGORIES)} files": mean(list(shares.values())),
        f"mean of {len(categories)} of the {number} categories": mean(list(categories.values())),
    }


BENCHMARK: Final = CaptionBenchmark(read, _authors)
