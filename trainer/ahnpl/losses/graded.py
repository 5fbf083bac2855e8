"""Other captions of the batch that are true to some degree."""

from __future__ import annotations

import torch
from negmine.base.names import pick
from torch import Tensor, nn

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part


class GradedPositives(nn.Module):
    """SPACE-2: ``-sum_j f_ij / sum_j f_ij log softmax_j(s cos)``, f how alike the captions' structures are.

    f is ``Features.structure``; without it, 1 for equal ``text_ids`` and 0 for others. Of samples of one image only
    the pair itself, and those that are alike, are in the sum. Its source aggregates trees in a
    way not verified (DAMO-ConvAI/space-2 483554e).

    Args:
        direction: ``i2t`` or ``t2i``.
        least: an f below this counts as 0.
    """

    needs_negatives, needs_image_negatives = False, False

    def __init__(self, *, direction: str, least: float = 0.0) -> None:
        super().__init__()
        self.direction, self.least = pick("direction", direction, ("i2t", "t2i")), least

    def forward(self, features: Features) -> Part:
        logits = (
            features.logit_scale * sets.anchors(features, self.direction) @ sets.targets(features, self.direction).T
        )
        share = self._alike(features).to(logits)
        share = torch.where(share < self.least, 0, share).detach()
        logits = logits.masked_fill(sets.of_own_image(features) & (share == 0), -torch.inf)
        log_shares = logits.log_softmax(dim=1).masked_fill(share == 0, 0)
        return Part(-(share / share.sum(dim=1, keepdim=True) * log_shares).sum(dim=1).mean())

    def _alike(self, features: Features) -> Tensor:
        own = torch.eye(len(features.text), dtype=torch.bool, device=features.text.device)
        if features.structure is not None:
            return features.structure.masked_fill(own, 1)
        if features.text_ids is None:
            return own
        ids = features.text_ids[:, 0]
        return (ids[:, None] == ids[None, :]) | own
