"""CLAPS: features moved along the gradient of the loss, a little for a negative, far for a positive."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses.kernel import row_losses
from ahnpl.losses.sets import of_own_image
from ahnpl.losses.view import Columns, View


def _unit(vectors: Tensor) -> Tensor:
    return F.normalize(vectors, dim=1, eps=1e-12)


def ascent(view: View) -> Tensor:
    """``[B, D]`` unit directions in which each target raises its own pair's symmetric InfoNCE; encoders untouched."""
    anchor, target, scale = view.anchor.detach(), view.target.detach(), view.scale.detach()
    with torch.enable_grad():
        moving = target.clone().requires_grad_()
        positive = scale * (anchor * moving).sum(dim=1)
        own = of_own_image(view.features)
        there = (scale * anchor @ target.T).masked_fill(own, -torch.inf)
        back = (scale * moving @ anchor.T).masked_fill(own, -torch.inf)
        loss = (row_losses(positive, there) + row_losses(positive, back)).sum()
        (gradient,) = torch.autograd.grad(loss, moving)
    return _unit(gradient)


class AdversarialNegative(nn.Module):
    """One more candidate: the target moved by `angle` up the loss, near enough to be mistaken for it. Detached.

    Args:
        angle: radians, nearly; the source's steps are on unnormalised states (seanie12/CLAPS a0a5747).
    """

    def __init__(self, *, angle: float = 0.1) -> None:
        super().__init__()
        self.angle = angle

    def forward(self, view: View) -> View:
        moved = _unit(view.target.detach() + self.angle * ascent(view))[:, None]
        there = torch.ones(moved.shape[:2], dtype=torch.bool, device=moved.device)
        return replace(view, columns=(*view.columns, Columns("synthetic", moved, there)))


class AdversarialPositive(nn.Module):
    """In place of the target: moved by `angle` up the loss, then back towards what its distribution over the batch was.

    Detached. Its logits have the temperature of all others, which the source forgets.
    """

    def __init__(self, *, angle: float = 0.3) -> None:
        super().__init__()
        self.angle = angle

    def forward(self, view: View) -> View:
        anchor, target, scale = view.anchor.detach(), view.target.detach(), view.scale.detach()
        far = _unit(target + self.angle * ascent(view))
        before = (scale * target @ anchor.T).softmax(dim=1)
        with torch.enable_grad():
            far.requires_grad_()
            loss = F.kl_div((scale * far @ anchor.T).log_softmax(dim=1), before, reduction="sum")
            (gradient,) = torch.autograd.grad(loss, far)
        return replace(view, target=_unit(far.detach() - self.angle * _unit(gradient)))
