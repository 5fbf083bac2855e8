"""Groups of figures: every member asks."""

from __future__ import annotations

import torch
from negmine.base.errors import UsageError
from negmine.base.names import pick
from torch import Tensor, nn

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part
from ahnpl.losses.kernel import mean, row_losses

SCOPES = ("group", "block")


class Members(nn.Module):
    """Every member of a group asks: the sample itself, and each of its image negatives with its own caption.

    Candidates are the other members of the same group (``group``), or of all groups of the batch (``block``: one
    square matrix of all images and captions). Both directions of a row or column have one right answer, because every
    image of a group makes the other captions false.

    Samples of one image are not candidates for each other.

    Args:
        direction: ``i2t`` or ``t2i``.
        scope: ``group`` or ``block``.
        drop_same_text: leave out candidates with the very caption of the anchor.
    """

    needs_negatives, needs_image_negatives = False, True

    def __init__(self, *, direction: str, scope: str, drop_same_text: bool = True) -> None:
        super().__init__()
        self.direction = pick("direction", direction, ("i2t", "t2i"))
        self.scope = pick("scope", scope, SCOPES)
        self.drop_same_text = drop_same_text

    def forward(self, features: Features) -> Part:
        others, valid = sets.negatives(features, "t2i")
        captions = features.image_negative_texts
        if captions is None:
            raise UsageError("members of groups need the captions of the image negatives, and the batch has none")
        there = torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)
        images = torch.cat([features.image[:, None], others], dim=1).flatten(0, 1)
        texts = torch.cat([features.text[:, None], captions], dim=1).flatten(0, 1)
        anchors, targets = (images, texts) if self.direction == "i2t" else (texts, images)
        logits = features.logit_scale * anchors @ targets.T
        candidates = logits.masked_fill(~self._candidates(features, there), -torch.inf)
        return Part(mean(row_losses(logits.diagonal(), candidates), there.flatten()))

    def _candidates(self, features: Features, there: Tensor) -> Tensor:
        """``[N, N]`` bool for all N members, False for those that do not exist: leaving them out would need a look at
        the device."""
        group = torch.arange(len(there), device=there.device).repeat_interleave(there.shape[1])
        mask = ~torch.eye(len(group), dtype=torch.bool, device=there.device) & there.flatten()
        if self.scope == "group":
            mask &= group[:, None] == group[None, :]
        own = torch.zeros_like(there)
        own[:, 0] = True  # the others' images have no ids
        own = own.flatten()
        mask &= ~(sets.of_own_image(features)[group][:, group] & own[:, None] & own[None, :])
        if self.drop_same_text and features.text_ids is not None:
            texts = features.text_ids.flatten()
            mask &= texts[:, None] != texts[None, :]
        return mask
