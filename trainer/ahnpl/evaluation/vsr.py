"""VSR (Liu et al., TACL 2023): is a statement about places true of an image?

Read is the official JSONL of a split, or its folder (``test.jsonl``). Its authors print accuracy, for which a model
of two towers needs a threshold: it is chosen on ``dev.jsonl`` beside the file, and without that there is no accuracy.
The area under the ROC curve needs none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_rows
from ahnpl.evaluation.items import Claim, Item
from ahnpl.evaluation.run import CLAIMS, Report
from ahnpl.evaluation.tasks import CaptionBenchmark

NAME: Final = "VSR"
DEVELOPMENT: Final = "dev.jsonl"


def read(path: Path, images: Path | None, dropped: Counter[str]) -> Iterator[Item]:
    """Items of a split, after those of the development split if it is there; kinds are the relations.

    Raises:
        UsageError: no such path, or no `images`.
        InputError: a file that is not VSR.
    """
    folder = open_image_folder(images, path)
    file = find_files(path, NAME, "test.jsonl")[0]
    development = file.parent / DEVELOPMENT
    for fit, part in ((True, development), (False, file)):
        if fit and (file == part or not part.is_file()):
            continue
        for row in read_rows(part, NAME):
            name = row.text("image")
            claim = Claim(_label(row), row.text("relation"), fit)
            yield Item(name, folder.read(name), row.text("caption"), (), row.where, claim=claim)


def _label(row: Row) -> bool:
    label = row.get("label")
    if label not in (0, 1):
        raise row.error(f"'label' should be 0 or 1 and is {label!r}")
    return bool(label)


def _authors(report: Report) -> dict[str, float]:
    claims = report.measure(CLAIMS)
    return {"accuracy": claims.micro.share} if claims.kinds else {}


BENCHMARK: Final = CaptionBenchmark(read, _authors)
