"""Margins on cosines: the rank loss over own negatives, and a floor under true pairs."""

from __future__ import annotations

import torch
from negmine.base.names import pick
from torch import nn

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part
from ahnpl.losses.margins import GROUPS, RULES, RunningMargins

DIVISORS = ("slots", "valid")


class Rank(nn.Module):
    """CE-CLIP's cross-modal rank loss: the image prefers its caption to each own negative by a margin.

    ``sum m * relu(gamma + H - S) / divisor``, all in logits. The margins are `RunningMargins`.

    Args:
        divisor: ``slots`` (B * K) or ``valid`` (the number of existing negatives).
        upper_bound, rule, by, reset_each_epoch: see `RunningMargins`.
    """

    small = True
    needs_negatives, needs_image_negatives = True, False

    def __init__(
        self,
        *,
        upper_bound: float = 10.0,
        rule: str = "gap",
        by: str = "slot",
        divisor: str = "valid",
        reset_each_epoch: bool = False,
    ) -> None:
        super().__init__()
        self.divisor = pick("divisor", divisor, DIVISORS)
        self.margins = RunningMargins(
            upper_bound=upper_bound,
            rule=pick("margin rule", rule, RULES),
            by=pick("margin group", by, GROUPS),
            reset_each_epoch=reset_each_epoch,
        )

    def forward(self, features: Features) -> Part:
        positive = features.logit_scale * (features.image * features.text).sum(dim=1)
        own = sets.own(features, "i2t")
        negatives = features.logit_scale * own.cosines(features.image)
        valid, groups = own.mask, self.margins.groups(own.mask, features.kinds)
        used = self.margins.value.to(positive.dtype, copy=True)  # the buffer changes below
        hinge = (used[groups] + negatives - positive[:, None]).relu()
        count = valid.numel() if self.divisor == "slots" else valid.sum().clamp_min(1)
        loss = torch.where(valid, hinge, 0).sum() / count
        if self.training:
            self.margins.update(positive, negatives, valid, groups)
        return Part(loss, {"margin": used if self.margins.by == "kind" else used[: valid.shape[1]]})


class PositiveMargin(nn.Module):
    """A floor under the cosine of true pairs: ``mean relu(alpha - cos)`` (the follow-up code's positive margin).

    A learnable alpha only ever sinks to `lowest`: its gradient is never negative.

    Args:
        alpha: cosine units; CLIP ViT-B/32's true pairs lie near 0.3.
        learnable: make alpha a parameter, and so a matter of the optimiser.
        lowest: alpha is clamped to this before use.
    """

    small = True
    needs_negatives, needs_image_negatives = False, False

    def __init__(self, *, alpha: float, learnable: bool = False, lowest: float = 0.2) -> None:
        super().__init__()
        self.lowest = lowest
        self.alpha = nn.Parameter(torch.tensor(alpha), requires_grad=learnable)

    def forward(self, features: Features) -> Part:
        cosine = (features.image * features.text).sum(dim=1)
        floor = self.alpha.clamp_min(self.lowest)
        return Part((floor - cosine).relu().mean(), {"alpha": floor.detach()})
