"""A dual encoder of frozen towers and trained projections, and its training by the trainer's own pieces."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from ahnpl.data.batch import Batch
from ahnpl.losses import Features, build_loss
from ahnpl.training.objective import Objective
from ahnpl.training.optimise import clip_gradients, learning_rate, make_optimiser, set_learning_rate
from material import SLOTS, Material, Photo
from torch import Tensor, nn
from torch.nn.functional import normalize

DROPPED = 0.5
WARMUP = 20
"""Steps in which the rate rises."""


@dataclass(frozen=True)
class Schedule:
    """Of one training: AdamW, a cosine to zero."""

    recipe: str
    steps: int
    lr: float
    batch_size: int
    weight_decay: float = 0.1


class Heads(nn.Module):
    """Two projections with a hidden layer each, into one space, over features that stay as they are.

    Half of their inputs are dropped in training: with a thousand photos they would learn these by heart.

    Attributes:
        logit_scale: logarithm of s.
    """

    def __init__(self, material: Material, hidden: int, width: int, seed: int) -> None:
        super().__init__()
        self.images, self.texts = (
            rows * math.sqrt(rows.shape[1]) for rows in (material.images, material.texts)
        )  # entries of variance 1
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.image, self.text = (_projection(rows.shape[1], hidden, width) for rows in (self.images, self.texts))
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    def encode_image(self, rows: Tensor) -> Tensor:
        """Unit features ``[..., D]`` of photos by row."""
        return normalize(self.image(self.images[rows]), dim=-1)

    def encode_text(self, rows: Tensor) -> Tensor:
        """Unit features ``[..., D]`` of texts by row."""
        return normalize(self.text(self.texts[rows]), dim=-1)

    def forward(self, batch: Batch) -> Features:
        """Features of a batch that holds rows in place of pixels and tokens."""
        slots = batch.valid.shape[1]
        return Features(
            image=self.encode_image(batch.images),
            text=self.encode_text(batch.texts),
            logit_scale=self.logit_scale.exp(),
            text_negatives=self.encode_text(batch.negatives) if slots else None,
            text_valid=batch.valid if slots else None,
            image_ids=batch.image_ids,
        )


def _projection(features: int, hidden: int, width: int) -> nn.Module:
    first, last = nn.Linear(features, hidden), nn.Linear(hidden, width)
    return nn.Sequential(nn.Dropout(DROPPED), first, nn.GELU(), nn.Dropout(DROPPED), last)


def fit(heads: Heads, material: Material, negatives: str | None, schedule: Schedule, seed: int) -> None:
    """Train in place.

    Args:
        negatives: a set of false captions, or None.
        seed: of the order of photos and of the negatives drawn, where there are more than `SLOTS`.
    """
    loss = build_loss(schedule.recipe).train()
    objective = Objective(heads.train(), loss, seed=seed)  # type: ignore[arg-type]
    optimiser = make_optimiser({"model": heads, "loss": loss}, schedule.weight_decay)
    slots = SLOTS if loss.needs_negatives else 0
    drawn = batches(material, negatives if slots else None, slots, schedule.batch_size, seed)
    for step, batch in zip(range(schedule.steps), drawn, strict=False):
        set_learning_rate(optimiser, learning_rate(step, schedule.steps, WARMUP, schedule.lr))
        loss.begin_step(step, schedule.steps)
        objective.backward(objective.loss(batch, step).total)
        clip_gradients(optimiser, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        with torch.no_grad():
            heads.logit_scale.clamp_(0, math.log(100))
    heads.eval()


def batches(material: Material, negatives: str | None, slots: int, size: int, seed: int) -> Iterator[Batch]:
    """Epochs without end, each in an order of its own; the last, partial batch of an epoch is left out."""
    chance = torch.Generator().manual_seed(seed)
    while True:
        for places in torch.randperm(len(material.train), generator=chance).split(size):
            if len(places) == size:
                yield _batch(material, [material.train[place] for place in places], negatives, slots, chance)


def _batch(
    material: Material, photos: Sequence[Photo], negatives: str | None, slots: int, chance: torch.Generator
) -> Batch:
    false = [_draw(photo.negatives[negatives], slots, chance) if negatives else [] for photo in photos]
    padded = [[material.text_rows[text] for text in texts] + [0] * (slots - len(texts)) for texts in false]
    rows = [material.image_rows[photo.image_id] for photo in photos]
    return Batch(
        images=torch.tensor(rows),
        texts=torch.tensor([material.text_rows[photo.caption] for photo in photos]),
        negatives=torch.tensor(padded, dtype=torch.long).view(len(photos), slots),
        valid=torch.tensor([[slot < len(texts) for slot in range(slots)] for texts in false]).view(len(photos), slots),
        kinds=torch.full((len(photos), slots), -1, dtype=torch.int8),
        image_ids=torch.tensor(rows),
        keys=[photo.image_id for photo in photos],
    )


def _draw(texts: Sequence[str], slots: int, chance: torch.Generator) -> list[str]:
    """At most so many of them, each as likely as any."""
    return [texts[place] for place in torch.randperm(len(texts), generator=chance)[:slots].tolist()]
