"""A cell: one dual encoder, warmed up on captions alone, trained on with one set of negatives, and scored."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterable
from copy import deepcopy
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import torch
from ahnpl.evaluation.metrics import RIGHT, outcome, ranks
from ahnpl.evaluation.run import others
from heads import Heads, Schedule, fit
from material import ALL, REFINED, RETRIEVED, Item, Material
from negmine.base.hashing import hash64
from negmine.store import write_text

START: Final = "start"
NONE: Final = "none"
ROWS: Final[dict[str, tuple[str | None, tuple[str, ...]]]] = {
    START: (None, ("clip",)),
    NONE: (None, ("clip",)),
    **{name: (name, ("negclip", "ahnpl")) for name in ("swaps", "first rules", "unrefined", REFINED, RETRIEVED, ALL)},
}
"""Row to its set of negatives and the recipes it is trained with."""
SHARES: Final = (0.25, 0.5)
"""Of the photos, for the rows of `SIZES`; the whole is in the grid anyway."""
SIZES: Final = ((NONE, "clip"), (REFINED, "negclip"))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that a cell's result depends on.

    Attributes:
        row: of `ROWS`; `START` is the model as it was warmed up, `NONE` is trained on without negatives.
        seed: of first weights, order and draws.
        warm_steps, warm_lr: of CLIP on the captions, from which every row of a seed starts.
        material: digest of features and captions.
        share: of the photos that are trained on; a smaller share is part of a larger one.
    """

    row: str
    recipe: str
    material: str
    share: float = 1.0
    seed: int = 0
    warm_steps: int = 300
    warm_lr: float = 1e-3
    steps: int = 300
    lr: float = 3e-4
    batch_size: int = 64
    hidden: int = 1024
    width: int = 256

    @property
    def key(self) -> str:
        """Changes with every setting."""
        given = json.dumps(asdict(self), sort_keys=True)
        settings = hashlib.sha256(given.encode()).hexdigest()[:10]
        return f"{self.row.replace(' ', '_')}-{self.recipe}-{self.share:g}-{self.seed}-{settings}"


def grid(material: str, seeds: int) -> list[Cell]:
    """Every row with the first seed, then every row with the next."""
    whole = [(row, recipe, 1.0) for row, (_, recipes) in ROWS.items() for recipe in recipes]
    parts = [(row, recipe, share) for share in SHARES for row, recipe in SIZES]
    return [
        Cell(row=row, recipe=recipe, share=share, material=material, seed=seed)
        for seed in range(seeds)
        for row, recipe, share in [*whole, *parts]
    ]


def digest(material: Material) -> str:
    """Changes when features, texts or sets change."""
    found = hashlib.sha256(repr((material.train, material.tests, material.pairs)).encode())
    for rows in (material.images, material.texts):
        found.update(rows.numpy().tobytes())
    return found.hexdigest()[:16]


def result(cell: Cell, out: Path) -> dict[str, Any] | None:
    """What the cell gave, if it was run."""
    path = out / "cells" / f"{cell.key}.json"
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_all(cells: Iterable[Cell], material: Material, out: Path, told: Callable[[str], None]) -> None:
    """Run the cells that have no result yet, one after the other; each result is written whole or not at all."""
    missing = [cell for cell in cells if result(cell, out) is None]
    (out / "cells").mkdir(parents=True, exist_ok=True)
    for count, cell in enumerate(missing, 1):
        found = run(cell, material)
        write_text(out / "cells", f"{cell.key}.json", json.dumps(found))
        told(f"{count}/{len(missing)} {cell.key}: {found['cpu_seconds']:.0f} CPU s")


def run(cell: Cell, material: Material) -> dict[str, Any]:
    """Train and score."""
    began = time.process_time()
    warm = Schedule("clip", cell.warm_steps, cell.warm_lr, cell.batch_size)
    some = _part(material, cell.share)
    heads = deepcopy(_warm(some, warm, cell.seed, cell.hidden, cell.width))
    if cell.row != START:
        schedule = Schedule(cell.recipe, cell.steps, cell.lr, cell.batch_size)
        fit(heads, some, ROWS[cell.row][0], schedule, cell.seed + 1)
    spent = time.process_time() - began
    with torch.inference_mode():
        tests = {name: judge(heads, material, items) for name, items in material.tests.items()}
        pairs = {name: recall(heads, material, both) for name, both in material.pairs.items()}
    return {"cell": asdict(cell), "cpu_seconds": spent, "tests": tests, "recall": pairs}


@lru_cache(maxsize=1)
def _part(material: Material, share: float) -> Material:
    """The same with a share of the photos."""
    order = sorted(material.train, key=lambda photo: hash64(photo.image_id))
    return replace(material, train=order[: round(share * len(order))])


@lru_cache(maxsize=1)
def _warm(material: Material, schedule: Schedule, seed: int, hidden: int, width: int) -> Heads:
    """The start of every row of a seed."""
    heads = Heads(material, hidden, width, seed)
    fit(heads, material, None, schedule, seed)
    return heads


def judge(heads: Heads, material: Material, items: list[Item]) -> dict[str, list[Any]]:
    """By item: whether the caption is above the foil with its photo, and with another photo of the test (a tie is
    wrong); the photo; the kind."""
    places = [material.image_rows[item.image_id] for item in items]
    photos = heads.encode_image(torch.tensor(places))
    wrong = heads.encode_image(torch.tensor([-1 if one is None else one for one in others(places)]))
    texts, foils = (
        heads.encode_text(torch.tensor([material.text_rows[text] for text in several]))
        for several in ([item.caption for item in items], [item.foil for item in items])
    )
    leads = texts - foils
    return {
        "right": [int(outcome(gap) == RIGHT) for gap in (photos * leads).sum(-1).tolist()],
        "wrong_photo": [int(outcome(gap) == RIGHT) for gap in (wrong * leads).sum(-1).tolist()],
        "photo": places,
        "kind": [item.kind for item in items],
    }


def recall(heads: Heads, material: Material, pairs: list[tuple[str, str]]) -> dict[str, list[float]]:
    """By pair: whether photo and caption find each other among the first k, mean of both directions."""
    images = heads.encode_image(torch.tensor([material.image_rows[name] for name, _ in pairs]))
    texts = heads.encode_text(torch.tensor([material.text_rows[text] for _, text in pairs]))
    found = torch.stack(list(ranks(images, texts, torch.arange(len(pairs))).values()))
    return {str(k): (found < k).double().mean(0).tolist() for k in (1, 5)}
