"""Batches of features for tests of losses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from ahnpl.losses import Features, RecipeLoss, build_loss, list_recipes
from ahnpl.losses.rank import Rank
from ahnpl.losses.row import Row
from torch import Tensor
from torch.nn import functional as F

PICTURES = ("image_negatives", "image_valid", "image_negative_texts", "text_ids")
POSITIVES = ("text_positives", "positive_valid", "positive_ids")
TEACHER = ("teacher_image", "teacher_text", "teacher_text_negatives", "teacher_logit_scale")
DRAWING = (
    "mochi",
    "kalm_mix",
    "ft",
    "pg_rank",
    "supremix",
)  # draw random numbers at each call  # random numbers at each call or at the start


def built(recipe: Any) -> RecipeLoss:
    """The loss, heads made for features of 8."""
    torch.manual_seed(0)  # some heads start at random
    loss = build_loss(recipe)
    if "width" not in loss.recipe.parameters:
        return loss
    return build_loss({**(recipe if isinstance(recipe, dict) else {"extends": recipe}), "width": 8})


WITH_NEGATIVES = [name for name in list_recipes() if build_loss(name).needs_negatives]
CORRECTED = ["negclip", "ce_clip", "ahnpl"]
GROUPS = ["mmclip", "mmclip_group", "mmclip_block", "mmclip_both"]


def golden() -> Features:
    i, d, k = torch.arange(3.0).double(), torch.arange(4.0).double(), torch.arange(2.0).double()
    base = 4 * i[:, None] + d
    negatives = 1.7 + 0.4 * k[None, :, None] + base[:, None, :]
    return Features(
        image=F.normalize(torch.sin(1 + base), dim=-1),
        text=F.normalize(torch.sin(1.3 + base), dim=-1),
        logit_scale=torch.tensor(10.0).double(),
        text_negatives=F.normalize(torch.sin(negatives), dim=-1),
        text_valid=torch.tensor([[1, 1], [1, 0], [1, 1]]).bool(),
    )


def random_features(seed: int = 0, batch: int = 5, slots: int = 3, width: int = 8, full: bool = False) -> Features:
    random = torch.Generator().manual_seed(seed)
    unit = lambda *shape: F.normalize(torch.randn(*shape, width, generator=random, dtype=torch.float64), dim=-1)  # noqa: E731
    valid = torch.rand(batch, slots, generator=random) < 0.7
    aside = torch.Generator().manual_seed(seed + 2000)
    teacher = lambda *shape: F.normalize(torch.randn(*shape, width, generator=aside, dtype=torch.float64), dim=-1)  # noqa: E731
    others = torch.Generator().manual_seed(seed + 1000)  # pictures come from a generator of their own
    true = torch.Generator().manual_seed(seed + 3000)
    said = F.normalize(torch.randn(batch, 2, width, generator=true, dtype=torch.float64), dim=-1)
    pictures = torch.randn(2, batch, slots, width, generator=others, dtype=torch.float64)
    return Features(
        image=unit(batch),
        text=unit(batch),
        logit_scale=torch.tensor(7.0, dtype=torch.float64),
        text_negatives=unit(batch, slots),
        text_valid=torch.ones_like(valid) if full else valid,
        kinds=torch.randint(0, 4, (batch, slots), generator=random),
        image_negatives=F.normalize(pictures[0], dim=-1),
        image_valid=torch.ones_like(valid) if full else torch.rand(batch, slots, generator=others) < 0.7,
        image_negative_texts=F.normalize(pictures[1], dim=-1),
        text_ids=torch.arange(batch * (1 + slots)).view(batch, 1 + slots),
        text_positives=said,
        positive_valid=torch.rand(batch, 2, generator=true) < 0.7,
        positive_ids=1_000 + torch.arange(2 * batch).view(batch, 2),
        teacher_image=teacher(batch),
        teacher_text=teacher(batch),
        teacher_text_negatives=teacher(batch, slots),
        teacher_logit_scale=torch.tensor(9.0, dtype=torch.float64),
    )


def with_gradients(features: Features) -> Features:
    names = ("image", "text", "logit_scale", "text_negatives")
    return replace(features, **{name: getattr(features, name).clone().requires_grad_() for name in names})


def part(term: dict[str, Any], features: Features) -> float:
    return float(Row(**term)(features).value)


def rank(margin: list[float], **options: Any) -> Rank:
    term = Rank(**options).double()
    term.margins.value[: len(margin)] = torch.tensor(margin, dtype=torch.float64)
    return term


TEXT = {"direction": "t2t", "masked": False}
IMAGE = {"direction": "i2i", "masked": False}


def shuffled(features: Features, order: Tensor) -> Features:
    names = ("image", "text", "text_negatives", "text_valid", "kinds", *PICTURES, *POSITIVES, *TEACHER[:3])
    return replace(features, **{name: getattr(features, name)[order] for name in names})


OWN = {
    "terms": {
        "i2t": {"direction": "i2t", "columns": ["inbatch", "own"], "weight": 0.5},
        "t2i": {"direction": "t2i", "columns": ["inbatch"], "weight": 0.5},
    }
}
"""InfoNCE with the own negatives as columns."""
OWN_ROW = {"terms": {"own": {"direction": "i2t", "columns": ["own"]}}}


def total(recipe: Any, features: Features) -> Tensor:
    return built(recipe)(features).total
