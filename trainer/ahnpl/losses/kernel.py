"""The row kernel: one positive against many candidates. Every softmax loss in this package is a call to it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Logits:
    """What a denominator reads.

    Attributes:
        positive: ``[B]``.
        negatives: ``[B, M]``.
        mask: ``[B, M]`` bool, False removes a candidate.
        log_weight: ``[B, M]``, added to the candidates' logits.
        trusted: ``[M]`` bool, candidates that are false by construction.
        scale: s, the multiplier that made logits of cosines.
        same: ``[B, M]`` bool, candidates that belong to the anchor's own image.
        bias: the model's own, a scalar; None where it has none.
    """

    positive: Tensor
    negatives: Tensor
    mask: Tensor
    log_weight: Tensor
    trusted: Tensor
    scale: Tensor
    same: Tensor
    bias: Tensor | None = None

    @property
    def candidates(self) -> Tensor:
        """Weighted logits; -inf where masked."""
        return (self.negatives + self.log_weight).masked_fill(~self.mask, -torch.inf)

    @property
    def kept(self) -> Tensor:
        """``[B]`` bool, rows that have a candidate."""
        return self.mask.any(dim=1)

    def probability(self) -> Tensor:
        """``[B]`` softmax probability of the positive."""
        return torch.cat([self.positive[:, None], self.candidates], dim=1).softmax(dim=1)[:, 0]


def row_losses(positive: Tensor, candidates: Tensor, *, include_positive: bool = True) -> Tensor:
    """``[B]`` losses of rows; a row whose candidates are all -inf costs exactly 0 and has zero gradient."""
    if include_positive:
        return torch.cat([positive[:, None], candidates], dim=1).logsumexp(dim=1) - positive
    if not candidates.shape[1]:
        return positive * 0 + candidates.sum(dim=1)
    kept = torch.isfinite(candidates.detach()).any(dim=1)
    losses = candidates.masked_fill(~kept[:, None], 0).logsumexp(dim=1) - positive
    return torch.where(kept, losses, 0)


def row(
    positive: Tensor,
    negatives: Tensor,
    *,
    log_weight: Tensor | float = 0.0,
    mask: Tensor | None = None,
    margin: Tensor | float = 0.0,
    include_positive: bool = True,
    aggregation: str = "sum",
    sample_weight: Tensor | None = None,
) -> Tensor:
    """Mean over rows of the negative log-probability of the positive among all candidates.

    With the defaults on a square matrix (diagonal against the rest) this is ``F.cross_entropy``. A row without a
    candidate costs exactly 0 and has zero gradient; without the positive in the denominator such a row is left out
    of the mean.

    Args:
        positive: ``[B]`` logits.
        negatives: ``[B, M]`` logits, M may be 0.
        log_weight: added to the candidates' logits.
        mask: ``[B, M]`` bool, False removes a candidate.
        margin: logit units, subtracted from the positive.
        include_positive: whether the positive is in the denominator (InfoNCE) or not (decoupled).
        aggregation: ``sum`` of the candidates' exponentials, or their ``mean``.
        sample_weight: ``[B]``.

    Returns:
        A scalar.
    """
    present = torch.ones_like(negatives, dtype=torch.bool) if mask is None else mask
    candidates = (negatives + log_weight).masked_fill(~present, -torch.inf)
    if aggregation == "mean":
        candidates = candidates - log_count(present).to(candidates.dtype)
    losses = row_losses(positive - margin, candidates, include_positive=include_positive)
    kept = torch.ones_like(losses, dtype=torch.bool) if include_positive else present.any(dim=1)
    return mean(losses, kept, sample_weight)


def log_count(mask: Tensor) -> Tensor:
    """``[B, 1]`` logarithm of how many candidates a row has; 0 for none."""
    return mask.sum(dim=1, keepdim=True).clamp_min(1).double().log()


def mean(losses: Tensor, kept: Tensor, weight: Tensor | None = None) -> Tensor:
    """Mean of the losses of the rows that are kept, each times its weight."""
    weighted = losses if weight is None else weight * losses
    return torch.where(kept, weighted, 0).sum() / kept.sum().clamp_min(1)
