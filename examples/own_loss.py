"""A loss term of one's own: `python examples/own_loss.py 'data/*.tar'`.

A term maps `Features`, all of unit length and with masks, to a `Part`; a recipe adds it to others with a weight.
"""

import sys
from pathlib import Path

import ahnpl
import torch
from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part
from ahnpl.losses.terms import TERMS
from torch import nn

RECIPE = """
title: CLIP and a hinge on each text negative
extends: clip
terms:
  hinge: {term: hinge, weight: 0.5, margin: 0.1}
"""


class Hinge(nn.Module):
    """max(0, margin - (s(image, caption) - s(image, negative))), mean over the negatives that are there."""

    needs_negatives, needs_image_negatives = True, False

    def __init__(self, *, margin: float) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, features: Features) -> Part:
        negatives, valid = sets.negatives(features, "i2t")  # [B, K, D] and which of them are there [B, K]
        own = (features.image * features.text).sum(-1, keepdim=True)  # [B, 1]
        others = torch.einsum("bd,bkd->bk", features.image, negatives)
        lost = (self.margin - own + others).clamp(min=0) * valid
        return Part(lost.sum() / valid.sum().clamp(min=1))


TERMS["hinge"] = Hinge

if __name__ == "__main__":
    Path("hinge.yaml").write_text(RECIPE)
    config = ahnpl.TrainConfig(
        shards=(sys.argv[1],), model="tiny", recipe="hinge.yaml", steps=20, batch_size=16, out="run-hinge", workers=1
    )
    print(ahnpl.train(config).checkpoint)
