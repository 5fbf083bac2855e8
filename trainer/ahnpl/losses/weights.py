"""Weights of candidates, added to their logits as logarithms. A weight of 0 removes a candidate."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import torch
from negmine.base.errors import UsageError
from torch import Tensor, nn

from ahnpl.losses.clusters import cluster
from ahnpl.losses.kernel import log_count
from ahnpl.losses.sets import FROM_NEGATIVES, negatives
from ahnpl.losses.specs import Timed
from ahnpl.losses.view import View


class Tilt(nn.Module):
    """HCL's hardness: ``w_j = M softmax_j(beta n_j)``, beta in units of a logit (joshr17/HCL 7b4647f, which does not
    detach). 0 weighs all alike."""

    row_wise = True

    def __init__(self, *, beta: float = 1.0, detach: bool = False) -> None:
        super().__init__()
        self.beta, self.detach = beta, detach

    def forward(self, view: View, logits: Tensor, mask: Tensor) -> Tensor:
        scores = self.beta * (logits.detach() if self.detach else logits)
        there = mask.any(dim=1, keepdim=True)
        shares = scores.masked_fill(there & ~mask, -torch.inf).log_softmax(dim=1) + log_count(mask).to(logits.dtype)
        return torch.where(mask, shares, 0)


class ClusterAgreement(nn.Module):
    """MEOW: R less the number of clusterings that put both captions together; 0 where all R do (jianxiangyu/MEOW
    6a072d7). Of candidates of the batch; own negatives weigh R.

    Args:
        counts: of clusters in the batch, one clustering each.
    """

    def __init__(self, *, counts: Sequence[int] = (4, 8)) -> None:
        super().__init__()
        self.counts = tuple(counts)

    def forward(self, view: View, logits: Tensor, mask: Tensor) -> Tensor:
        text = view.features.text.detach()
        weight = text.new_full((len(text), len(text)), len(self.counts))
        for count in self.counts:
            labels = cluster(text, count)
            weight = weight - (labels[:, None] == labels[None, :]).to(weight.dtype)
        return view.of_batch(weight.log(), elsewhere=math.log(len(self.counts))).to(logits.dtype)


class Posterior(Timed):
    """CET, a reconstruction: how surely a candidate of the batch is false, ``(1 - R) / (1 - R Sel)``.

    ``R = sigmoid(slope (cos - positive))``, detached, is the chance that it is true. `selection` is the chance that a
    true one would have been paired with the anchor: 1 trusts all labels and weighs all alike; the paper learns it.

    Args:
        start: share of the training before which all weigh alike.
    """

    row_wise = True

    def __init__(self, *, slope: float = 20.0, selection: float = 0.5, start: float = 0.1) -> None:
        super().__init__()
        if not 0 <= selection <= 1:
            raise UsageError(f"selection is {selection}, it is a chance")
        self.slope, self.selection, self.start = slope, selection, start

    def forward(self, view: View, logits: Tensor, mask: Tensor) -> Tensor:
        if self.selection == 1 or self.progress < self.start:
            return torch.zeros_like(logits)
        gap = view.cosines().detach() - (view.anchor * view.target).sum(dim=1, keepdim=True).detach()
        relevant = (self.slope * gap).sigmoid()
        weight = ((1 - relevant) / (1 - relevant * self.selection)).clamp(0.02, 1)
        return torch.where(view.named(*FROM_NEGATIVES), 0, weight.log())


class InversePropensity(nn.Module):
    """DebCSE, a reconstruction: candidates in a band of meaning, against the chance that their surface alone made them
    candidates. ``exp(-(v - centre)^2 / 2 width^2) / softmax_j(u / temperature)``, mean 1, in [0.1, 10].

    v: cosine of the teacher's captions. u: ``Features.surface``, without which all surfaces are alike.
    """

    needs_teacher = True

    def __init__(self, *, centre: float = 0.9, width: float = 0.1, temperature: float = 0.1) -> None:
        super().__init__()
        self.centre, self.width, self.temperature = centre, width, temperature

    def forward(self, view: View, logits: Tensor, mask: Tensor) -> Tensor:
        text = view.features.teacher("text")
        surface = view.features.surface
        alike = torch.zeros_like(text @ text.T) if surface is None else surface.to(text)
        others = ~torch.eye(len(text), dtype=torch.bool, device=text.device)
        chance = (alike / self.temperature).masked_fill(~others & (len(text) > 1), -torch.inf).log_softmax(dim=1)
        weight = -(text @ text.T - self.centre).square() / (2 * self.width**2) - chance.clamp_min(-1e4)
        weight = weight.masked_fill(~others, -torch.inf)
        weight = weight - weight.logsumexp(dim=1, keepdim=True) + log_count(others).to(weight.dtype)
        low, high = weight.new_tensor([0.1, 10.0]).log()
        return view.of_batch(weight.clamp(low, high), elsewhere=0.0).to(logits.dtype)


class Quality(nn.Module):
    """QCRD, a reconstruction: own negatives weigh as a teacher (an earlier self) is sure that they are false.

    ``sigmoid((p* - n*) / temperature)^strength``, at least 0.05, mean 1; a strength of 0 weighs all alike. The paper
    trains a discriminator for it.
    """

    needs_teacher = True

    def __init__(self, *, temperature: float = 0.05, strength: float = 1.0) -> None:
        super().__init__()
        self.temperature, self.strength = temperature, strength

    def forward(self, view: View, logits: Tensor, mask: Tensor) -> Tensor:
        if not view.has("own"):
            return torch.zeros_like(logits)
        features = view.features
        image = features.teacher("image")
        positive = (image * features.teacher("text")).sum(dim=1, keepdim=True)
        found = torch.einsum("bd,bkd->bk", image, features.teacher("text_negatives"))
        weight = ((positive - found) / self.temperature).sigmoid().clamp_min(0.05) ** self.strength
        valid = negatives(features, "i2t")[1]
        mean = torch.where(valid, weight, 0).sum(dim=1, keepdim=True) / valid.sum(dim=1, keepdim=True).clamp_min(1)
        log_weight = torch.where(valid, (weight / mean.clamp_min(1e-6)).log(), 0).to(logits.dtype)
        return torch.zeros_like(logits).masked_scatter(view.named("own").expand_as(logits), log_weight)


WEIGHTS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "tilt": Tilt,
        "clusters": ClusterAgreement,
        "posterior": Posterior,
        "inverse_propensity": InversePropensity,
        "quality": Quality,
    }
)
