"""Similarities that are learned on top of the features: gates, heads, temperatures of pairs."""

from __future__ import annotations

import math

import torch
from negmine.base.errors import UsageError
from negmine.contract.records import KINDS
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part


def _check_width(features: Features, width: int) -> None:
    if features.image.shape[1] != width:
        raise UsageError(
            f"this recipe's heads are made for features of {width}, the model's have {features.image.shape[1]}",
            fix=f"set width: {features.image.shape[1]} in the recipe",
        )


class Gated(nn.Module):
    """Hydra, a reconstruction: cosines in a subspace for each kind of negative, ``mean softplus(n - p)``.

    Gates ``sigmoid(a_t)`` in ``[0, 1]^D`` start near 1. `sparsity` pulls them to 0, `diversity` apart.
    """

    small = True
    needs_negatives, needs_image_negatives = True, False

    def __init__(
        self, *, width: int = 512, sparsity: float = 1e-3, diversity: float = 1e-2, start: float = 4.0
    ) -> None:
        super().__init__()
        self.width, self.sparsity, self.diversity = width, sparsity, diversity
        self.gates = nn.Parameter(torch.full((len(KINDS), width), start))

    def forward(self, features: Features) -> Part:
        _check_width(features, self.width)
        if features.kinds is None:
            raise UsageError("gates by kind need the negatives' kinds", fix="pass kinds")
        found, valid = sets.negatives(features, "i2t")
        gates = self.gates.to(found).sigmoid()
        gate = gates[features.kinds.long().clamp_min(0)]
        image = F.normalize(gate * features.image[:, None], dim=-1, eps=1e-6)
        true = (image * F.normalize(gate * features.text[:, None], dim=-1, eps=1e-6)).sum(dim=2)
        false = (image * F.normalize(gate * found, dim=-1, eps=1e-6)).sum(dim=2)
        losses = F.softplus(features.logit_scale * (false - true))
        value = torch.where(valid, losses, 0).sum() / valid.sum().clamp_min(1)
        unit = F.normalize(gates, dim=1)
        alike = (unit.sum(dim=0).square().sum() - len(gates)) / (len(gates) * (len(gates) - 1))
        return Part(value + self.sparsity * gates.mean() + self.diversity * alike)


class MultiHead(nn.Module):
    """AMCL: a symmetric InfoNCE per head with a temperature for each pair (after notes on the paper; the released code,
    LeiWangR/cl 3318352, scores the positive alone).

    ``tau_ij = tau 2^(range tanh(a(I_i) . b(T_j)))``. Heads start as rotations and b at 0, so that the loss starts as
    `heads` times CLIP's, divided by `heads`. `regulariser` times ``mean (D/2) log tau + 1/tau`` holds temperatures.
    """

    needs_negatives, needs_image_negatives = False, False

    def __init__(
        self, *, width: int = 512, heads: int = 3, hidden: int = 16, range: float = 1.0, regulariser: float = 0.0
    ) -> None:
        super().__init__()
        self.width, self.range, self.regulariser = width, range, regulariser
        turn = torch.stack([nn.init.orthogonal_(torch.empty(width, width)) for _ in torch.arange(heads)])
        self.image, self.text = nn.Parameter(turn.clone()), nn.Parameter(turn.clone())
        self.a = nn.Parameter(torch.randn(heads, width, hidden) / math.sqrt(width))
        self.b = nn.Parameter(torch.zeros(heads, width, hidden))

    def forward(self, features: Features) -> Part:
        _check_width(features, self.width)
        images = F.normalize(features.image @ self.image.to(features.image), dim=-1)  # [C, B, D]
        texts = F.normalize(features.text @ self.text.to(features.image), dim=-1)
        pair = (images @ self.a.to(images)) @ (texts @ self.b.to(images)).transpose(1, 2)
        log_change = self.range * math.log(2) * pair.tanh()
        logits = features.logit_scale * (-log_change).exp() * (images @ texts.transpose(1, 2))
        diagonal = logits.diagonal(dim1=1, dim2=2)
        same = sets.of_own_image(features) & ~sets.itself_only(features)
        rows = logits.masked_fill(same, -torch.inf)
        value = (rows.logsumexp(dim=1) + rows.logsumexp(dim=2)).mean() / 2 - diagonal.mean()
        if self.regulariser:
            log_tau = log_change - features.logit_scale.log()
            value = value + self.regulariser * (self.width / 2 * log_tau + (-log_tau).exp()).mean()
        return Part(value)


class CommonSalient(nn.Module):
    """SepCLR on an image and its perturbed ones: what they share is pulled together in one space, what was changed is
    told apart in another, and the two are made independent (neurospin-projects/2024_rlouiset_sep_clr 0e40bff).

    Alignment and uniformity of the common space, a row of own negatives in the salient one, and `independence` times
    the joint entropy term.

    Args:
        size: of both spaces.
        temperature: of the kernels.
    """

    needs_negatives, needs_image_negatives = True, True

    def __init__(
        self, *, width: int = 512, size: int = 64, temperature: float = 0.5, independence: float = 1.0
    ) -> None:
        super().__init__()
        self.width, self.temperature, self.independence = width, temperature, independence
        self.common = nn.Parameter(nn.init.orthogonal_(torch.empty(width, size)))
        self.salient = nn.Parameter(nn.init.orthogonal_(torch.empty(width, size)))

    def forward(self, features: Features) -> Part:
        _check_width(features, self.width)
        others, shown = sets.negatives(features, "t2i")
        texts, valid = sets.negatives(features, "i2t")
        common, theirs = self._project(self.common, features.image), self._project(self.common, others)
        far = torch.where(shown, (common[:, None] - theirs).square().sum(dim=2), 0)
        align = (far.sum(dim=1) / shown.sum(dim=1).clamp_min(1)).mean() / (2 * self.temperature)
        image, text = self._project(self.salient, features.image), self._project(self.salient, features.text)
        false = torch.einsum("bd,bkd->bk", image, self._project(self.salient, texts)).masked_fill(~valid, -torch.inf)
        true = (image * text).sum(dim=1, keepdim=True)
        listed = torch.cat([true, false], dim=1) / self.temperature
        told = (listed.logsumexp(dim=1) - listed[:, 0]).mean()
        same = sets.of_own_image(features) & ~sets.itself_only(features)
        both = joint_entropy_term([image, common], self.temperature, same)
        uniform = joint_entropy_term([common], self.temperature, same)
        return Part(align + uniform + told + self.independence * both)

    def _project(self, weight: Tensor, vectors: Tensor) -> Tensor:
        return F.normalize(vectors @ weight.to(vectors), dim=-1, eps=1e-6)


def joint_entropy_term(spaces: list[Tensor], temperature: float, left_out: Tensor | None = None) -> Tensor:
    """``mean_i log mean_j prod exp(-|x_i - x_j|^2 / 2 tau)`` over spaces ``[B, D]``: 0 if all rows coincide.

    Args:
        left_out: ``[B, B]`` bool, pairs that do not count; None for none.
    """
    exponent = sum((2 - 2 * x @ x.T for x in spaces), spaces[0].new_zeros(())) / (2 * temperature)
    out = torch.zeros_like(exponent, dtype=torch.bool) if left_out is None else left_out
    counted = (~out).sum(dim=1).to(exponent.dtype)
    return ((-exponent).masked_fill(out, -torch.inf).logsumexp(dim=1) - counted.log()).mean()
