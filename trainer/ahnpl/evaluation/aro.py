"""ARO (Yuksekgonul et al., ICLR 2023): relations and attributes of Visual Genome, and the order of words.

Read are the official ``visual_genome_relation.json`` and ``visual_genome_attribution.json`` (each image is cut to
its box, as there), their folder, and order sets with ``image`` and ``caption_options``, whose first option is true.
The official order sets are shuffled anew by everybody who loads them, so there is no official file.

Its authors print the mean over relations, without those that are symmetric (`SYMMETRIC`), and the mean over pairs of
attributes with at least 25 items. A tie is wrong there in relations and attributes; in order sets, where the true
caption comes first, it counted as right, and here it does not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import ImageFolder, Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Box, Foil, Item
from ahnpl.evaluation.metrics import mean
from ahnpl.evaluation.run import ALL_FOILS, Report
from ahnpl.evaluation.tasks import CaptionBenchmark

NAME: Final = "ARO"
RELATION, ATTRIBUTION, ORDER = "relation: ", "attribution: ", "order"
LEAST_ITEMS: Final = 25
SYMMETRIC: Final = frozenset((Path(__file__).parent / "aro_symmetric.txt").read_text(encoding="utf-8").splitlines())
"""Relations that its authors leave out of their mean (list from their repository, MIT licence)."""


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of a file or folder.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not ARO.
    """
    folder = open_image_folder(images, path)
    for file in find_files(path, NAME, "visual_genome_*.json", "*order*.json", "*order*.jsonl"):
        for row in read_rows(file, NAME):
            yield _order(row, folder) if row.has("caption_options") else _boxed(row, folder)


def _boxed(row: Row, folder: ImageFolder) -> Item:
    name, kind = row.text("image_path"), _kind(row)
    left, top = row.number("bbox_x"), row.number("bbox_y")
    box: Box = (left, top, left + row.number("bbox_w"), top + row.number("bbox_h"))
    foil = Foil(row.text("false_caption"), kind)
    return Item(f"{name} {box}", folder.read(name), row.text("true_caption"), (foil,), row.where, box=box)


def _kind(row: Row) -> str:
    if row.has("attributes") and not row.has("relation_name"):
        attributes = row.get("attributes")
        if not isinstance(attributes, list | str):
            raise row.error(f"'attributes' should be a list and is {attributes!r}")
        return ATTRIBUTION + "_".join(map(str, attributes))
    return RELATION + row.text("relation_name")


def _order(row: Row, folder: ImageFolder) -> Item:
    name, options = row.text("image"), row.get("caption_options")
    if not isinstance(options, list) or len(options) < 2 or not all(isinstance(text, str) for text in options):
        raise row.error("'caption_options' should be a list of texts, the true one first")
    return Item(name, folder.read(name), options[0], tuple(Foil(text, ORDER) for text in options[1:]), row.where)


def _authors(report: Report) -> dict[str, float]:
    relations = [
        accuracy.share
        for kind, accuracy in report.kinds.items()
        if kind.startswith(RELATION) and kind.removeprefix(RELATION) not in SYMMETRIC
    ]
    attributes = [
        accuracy.share
        for kind, accuracy in report.kinds.items()
        if kind.startswith(ATTRIBUTION) and accuracy.total >= LEAST_ITEMS
    ]
    order = report.measure(ALL_FOILS).by_kind.get(ORDER)
    found = {
        f"VG-Relation, mean of the {len(relations)} relations that are not symmetric": mean(relations),
        f"VG-Attribution, mean of the {len(attributes)} pairs with {LEAST_ITEMS} items or more": mean(attributes),
        "order, the true caption above all others": order.share if order else float("nan"),
    }
    return {name: value for name, value in found.items() if value == value}


BENCHMARK: Final = CaptionBenchmark(read, _authors)
