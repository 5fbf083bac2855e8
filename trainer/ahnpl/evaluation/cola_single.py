"""COLA, single-object setting (Ray et al., NeurIPS 2023): which images show an object with these attributes?

Read is an official JSON: labels, and rows of ``[image, annotation, true, hard]``, the last two with a 0 or 1 for each
label. The number is its authors': of each label the average precision among the images that are marked hard for it,
and the mean over labels that are true of one of these. Ties share a place.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import torch
from negmine.base.errors import InputError
from torch import Tensor

from ahnpl.evaluation.encode import EncodedImage, check_bad, chunks, open_encoder
from ahnpl.evaluation.files import Row, find_files, open_image_folder, read_json
from ahnpl.evaluation.metrics import mean
from ahnpl.evaluation.run import Report
from ahnpl.evaluation.settings import Settings
from ahnpl.model.clip import ClipModel

NAME: Final = "COLA single-object"


@dataclass(frozen=True)
class Labelled:
    """An image, and for each label whether it is true of it and whether it counts there."""

    image: str
    true: tuple[bool, ...]
    hard: tuple[bool, ...]
    where: str


class SingleObject:
    """The benchmark."""

    def score(self, path: Path, images: Path | None, model: ClipModel, settings: Settings) -> Report:
        """Mean average precision.

        Raises:
            UsageError: no such file, or no `images`.
            InputError: a file of another format, too many bad images.
        """
        labels, rows = read(find_files(path, NAME, "COLA_singleobjects*.json")[0])
        folder = open_image_folder(images, path)
        bad: list[str] = []
        kept: list[Labelled] = []
        features: list[Tensor] = []
        with open_encoder(model, settings.batch_size, settings.workers) as encoder:
            for some in chunks(islice(rows, settings.limit), settings.batch_size):
                found = encoder.images([EncodedImage(folder.read(row.image)) for row in some])
                for row, feature in zip(some, found, strict=True):
                    if isinstance(feature, str):
                        bad.append(f"{row.image} ({row.where}): {feature}")
                    else:
                        kept.append(row)
                        features.append(feature)
                settings.advance(len(some))
            check_bad(bad, len(kept) + len(bad), settings.max_bad)
            scores = torch.stack(features) @ encoder.texts(labels).T
        found_mean, number = mean_average_precision(
            scores, torch.tensor([row.true for row in kept]), torch.tensor([row.hard for row in kept])
        )
        return Report((), len(kept), number, bad, authors={f"mean average precision of {number} labels": found_mean})


def mean_average_precision(scores: Tensor, true: Tensor, hard: Tensor) -> tuple[float, int]:
    """Mean over labels, and how many labels it is of; ``[I, L]`` each."""
    from sklearn.metrics import average_precision_score

    found = [
        float(average_precision_score(true[hard[:, label], label].numpy(), scores[hard[:, label], label].numpy()))
        for label in range(scores.shape[1])
        if bool(true[hard[:, label], label].any())
    ]
    return mean(found), len(found)


def read(file: Path) -> tuple[list[str], list[Labelled]]:
    """Labels and rows.

    Raises:
        InputError: another format.
    """
    match read_json(file, NAME):
        case {"labels": [*labels], "data": [*rows]} | [[*labels], [*rows]]:
            named = [str(label) for label in labels]
            return named, [_labelled(Row(row, str(at), file, NAME), len(named)) for at, row in enumerate(rows)]
    raise InputError(f"this is not a {NAME} file", where=str(file), why="it has no labels and data")


def _labelled(row: Row, labels: int) -> Labelled:
    match row.value:
        case [str(image), _, [*true], [*hard]] if len(true) == len(hard) == labels:
            return Labelled(image.rpartition("/")[2], _flags(row, true), _flags(row, hard), row.where)
    raise row.error(f"it should be [image, annotation, {labels} labels, {labels} labels]")


def _flags(row: Row, values: list[object]) -> tuple[bool, ...]:
    if any(value not in (0, 1) for value in values):
        raise row.error("a label is 0 or 1")
    return tuple(map(bool, values))


BENCHMARK: Final = SingleObject()
