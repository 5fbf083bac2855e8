"""Held-out groups of scenes, decoded once, and what a checkpoint makes of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from ahnpl.data.images import evaluation_pixels
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.metrics import TIE
from ahnpl.model.clip import ClipModel, ModelSpec, load_checkpoint, load_model, load_tokenizer
from negmine.base.errors import DamagedError
from PIL.Image import Image
from torch import Tensor

GROUPS = 600
"""Held-out groups that are scored, the first so many."""
POOL = 500
"""Captions and images among which R@1 is measured."""


@dataclass(frozen=True)
class HeldOut:
    """Groups of ``M`` members, the base first.

    Attributes:
        images: ``[G, M, 3, S, S]`` bytes.
        tokens: ``[G, M, L]``.
        kinds: of the members after the base, by group.
        pool: groups of distinct base captions, the first `POOL`.
    """

    images: Tensor
    tokens: Tensor
    kinds: list[list[str]]
    pool: Tensor


@dataclass(frozen=True)
class Score:
    """Means, and what they are means of.

    Attributes:
        summary: 2x2 ``group`` score, in-group ``i2t`` and ``t2i`` top-1 with every member asking, ``text`` accuracy
            (base caption against each false one), ``recall`` (R@1, mean of both directions), and ``kinds``.
        items: by group the share of its pairs that are matched, and by pool member its mean of both hits.
    """

    summary: dict[str, Any]
    items: dict[str, list[float]]


@lru_cache(maxsize=2)
def held_out(shards: Path, model: str) -> HeldOut:
    """The first held-out groups that have all their members (the others are few, and left out)."""
    network = load_model(ModelSpec(model))
    transform, tokenizer = network.transform(), load_tokenizer(model)
    found = open_shards([f"{shards}/heldout/*.tar"])
    whole = (item for item in shard_items(found) if len(item.twins) == found.image_negatives)
    items = list(islice(whole, GROUPS))
    groups = [[item.image, *(twin.image for twin in item.twins)] for item in items]
    images = torch.stack([torch.stack([_pixels(one, transform) for one in group]) for group in groups])
    texts = [[item.caption, *(twin.caption for twin in item.twins)] for item in items]
    tokens = torch.stack([tokenizer(group) for group in texts])
    firsts = {caption: place for place, (caption, *_) in reversed(list(enumerate(texts)))}
    kinds = [[twin.kind for twin in item.twins] for item in items]
    return HeldOut(images, tokens, kinds, torch.tensor(sorted(firsts.values())[:POOL]))


def _pixels(content: bytes | None, transform: Callable[[Image], Any]) -> Tensor:
    """``[3, S, S]`` bytes."""
    if content is None:
        raise DamagedError("a held-out image is missing", fix="remove the folder of these scenes: they are drawn again")
    return torch.from_numpy(evaluation_pixels(content, transform).copy()).permute(2, 0, 1)


def score(checkpoint: Path, tests: HeldOut) -> Score:
    """Score a checkpoint."""
    with torch.inference_mode():
        model = load_checkpoint(checkpoint).eval()
        return judge(*features(model, tests.images, tests.tokens), tests.kinds, tests.pool)


def features(model: ClipModel, images: Tensor, tokens: Tensor) -> tuple[Tensor, Tensor]:
    """Unit ``[..., D]`` of images ``[..., 3, S, S]`` and of captions ``[..., L]``."""
    seen = [model.encode_image(part) for part in torch.split(images.view(-1, *images.shape[-3:]), 256)]
    read = [model.encode_text(part) for part in torch.split(tokens.view(-1, tokens.shape[-1]), 256)]
    return torch.cat(seen).view(*images.shape[:-3], -1), torch.cat(read).view(*tokens.shape[:-1], -1)


def judge(images: Tensor, texts: Tensor, kinds: list[list[str]], pool: Tensor) -> Score:
    """Score features ``[G, M, D]``; a tie is wrong."""
    cosines = images @ texts.transpose(1, 2)  # [G, image, caption]
    own = cosines.diagonal(dim1=1, dim2=2)
    base, other = own[:, :1], own[:, 1:]
    text = (cosines[:, 0, 1:] < base - TIE) & (cosines[:, 1:, 0] < other - TIE)
    image = (cosines[:, 1:, 0] < base - TIE) & (cosines[:, 0, 1:] < other - TIE)
    group = (text & image).double()
    eye = torch.eye(cosines.shape[1], dtype=torch.bool)
    rivals = cosines.masked_fill(eye, -torch.inf)
    hits = _recall(images[pool, 0], texts[pool, 0])
    by_kind: dict[str, list[float]] = defaultdict(list)
    for row, names in zip(group.tolist(), kinds, strict=True):
        for value, name in zip(row, names, strict=True):
            by_kind[name].append(value)
    summary = {
        "group": float(group.mean()),
        "i2t": float((rivals.amax(2) < own - TIE).double().mean()),
        "t2i": float((rivals.amax(1) < own - TIE).double().mean()),
        "text": float((cosines[:, 0, 1:] < base - TIE).double().mean()),
        "recall": float(hits.mean()),
        "kinds": {name: [sum(values) / len(values), len(values)] for name, values in sorted(by_kind.items())},
    }
    return Score(summary, {"group": _short(group.mean(1)), "recall": _short(hits)})


def _recall(images: Tensor, texts: Tensor) -> Tensor:
    """``[N]``: 1 where image and caption find each other first, 0.5 where one finds the other."""
    cosines = images @ texts.T
    own = cosines.diagonal()
    rivals = cosines.masked_fill(torch.eye(len(own), dtype=torch.bool), -torch.inf)
    found = [rivals.amax(dim) < own - TIE for dim in (0, 1)]
    return torch.stack(found).double().mean(0)


def _short(values: Tensor) -> list[float]:
    return [round(value, 4) for value in values.tolist()]
