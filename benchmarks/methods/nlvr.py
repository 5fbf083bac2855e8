"""NLVR (Suhr et al. 2017, CC BY 4.0): sentences that people wrote, true of some drawn images and false of others.

A test on data that is none of ours: other drawings, other words. A sentence is judged by which of two images it
suits better, so that what a model makes of its words alone, most of which it never read, decides nothing.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from ahnpl.data.images import BadImage, open_image
from ahnpl.evaluation.metrics import TIE, area_under_curve
from ahnpl.model.clip import ModelSpec, load_checkpoint, load_model, load_tokenizer
from negmine.base.errors import InputError
from PIL import Image
from score import Score, features
from torch import Tensor

FILES: Final = {"captions.jsonl": True, "false_statements.jsonl": False}
"""The files, and whether what they say is true."""

FIX: Final = "name the data folder that holds pairs/nlvr with --others, or leave --others out"

SIZE: Final = (400, 100)
BOXES: Final = (0, 150, 300)
"""Left edges of an image's three boxes, each as wide as the image is high; between them it is `GREY`."""
GREY: Final = (128, 128, 128)
GAP: Final = 10


@dataclass(frozen=True)
class Statement:
    """A sentence about an image."""

    sentence: str
    image: Path
    true: bool


@dataclass(frozen=True)
class Prepared:
    """Statements with what a model reads of each.

    Attributes:
        images: ``[N, 3, S, S]`` bytes.
        tokens: ``[N, L]``.
    """

    statements: list[Statement]
    images: Tensor
    tokens: Tensor


def read_statements(folder: Path) -> list[Statement]:
    """All statements, the true ones first.

    Raises:
        InputError: a file or an image is missing, a row is damaged, or no sentence can be judged.
    """
    found = [one for name, true in FILES.items() for one in _read(folder / name, true)]
    true, false = ({one.sentence for one in found if one.true is sort} for sort in (True, False))
    if not true & false:
        raise InputError("no sentence of NLVR is true of one image and false of another", where=str(folder), fix=FIX)
    return found


def _read(path: Path, true: bool) -> Iterator[Statement]:
    where = str(path)
    try:
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            where = f"{path}, row {number}"
            row = json.loads(line)
            found = Statement(str(row["caption"]), path.parent / row["image"], true)
            if not found.image.is_file():
                raise FileNotFoundError(f"there is no {found.image}")
            yield found
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            "NLVR cannot be read",
            where=where,
            why=f"{type(error).__name__}: {error}",
            fix=FIX,
        ) from None


@lru_cache(maxsize=1)
def prepare(folder: Path, model: str) -> Prepared:
    """All statements, their images decoded and laid out in squares.

    Raises:
        InputError: see `read_statements`; or an image is damaged.
    """
    transform, tokenizer = load_model(ModelSpec(model)).transform(), load_tokenizer(model)
    statements = read_statements(folder)
    images = torch.stack([_pixels(one.image, transform) for one in statements])
    return Prepared(statements, images, tokenizer([one.sentence for one in statements]))


def _pixels(path: Path, transform: Callable[[Image.Image], Any]) -> Tensor:
    """``[3, S, S]`` bytes."""
    try:
        square = in_square(open_image(path.read_bytes()))
    except (OSError, BadImage) as error:
        raise InputError("an image of NLVR is damaged", where=str(path), why=str(error)) from None
    return torch.from_numpy(np.array(transform(square))).permute(2, 0, 1)


def in_square(image: Image.Image) -> Image.Image:
    """The three boxes of a wide image, two above one: a model's own transform would crop to the middle one.

    No sentence that is scored says which box it means, so none becomes false.

    Raises:
        BadImage: another size than NLVR's.
    """
    if image.size != SIZE:
        raise BadImage(f"{image.width} x {image.height} pixels, not {SIZE[0]} x {SIZE[1]}")
    side = SIZE[1]
    square = Image.new("RGB", (2 * side + GAP, 2 * side + GAP), GREY)
    for place, left in enumerate(BOXES):
        down, across = divmod(place, 2)
        square.paste(image.crop((left, 0, left + side, side)), (across * (side + GAP), down * (side + GAP)))
    return square


def score(checkpoint: Path, given: Prepared) -> Score:
    """Score a checkpoint."""
    with torch.inference_mode():
        images, texts = features(load_checkpoint(checkpoint).eval(), given.images, given.tokens)
        return judge((images * texts).sum(1).tolist(), given.statements)


def judge(cosines: Sequence[float], statements: Sequence[Statement]) -> Score:
    """Score the cosine of each statement's sentence and image.

    Accuracy is, of a sentence with images of both sorts, the share of pairs (one that it is true of, one that it is
    false of) where the first has the higher cosine; a tie is wrong, chance is 1/2. The mean is over such sentences.
    ``auc`` is the area under the ROC curve over all statements, whatever their sentences.
    """
    sorts: dict[str, tuple[list[float], list[float]]] = defaultdict(lambda: ([], []))
    for cosine, one in zip(cosines, statements, strict=True):
        sorts[one.sentence][one.true].append(cosine)
    shares = [
        sum(high > low + TIE for low, high in product(false, true)) / (len(false) * len(true))
        for false, true in sorts.values()
        if false and true
    ]
    area = area_under_curve(cosines, [one.true for one in statements])
    summary = {"accuracy": sum(shares) / len(shares), "auc": area}
    return Score(summary, {"accuracy": [round(share, 4) for share in shares]})
