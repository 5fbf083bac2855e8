"""The row kernel: one positive against many candidates. Every softmax loss in this package is a call to it."""

from __future__ import annotations

import torch
from torch import Tensor


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
    anchor = positive - margin
    candidates = negatives + log_weight
    if mask is not None:
        candidates = candidates.masked_fill(~mask, -torch.inf)
    if aggregation == "mean":
        candidates = candidates - _log_count(candidates, mask)
    if include_positive:
        losses = torch.cat([anchor[:, None], candidates], dim=1).logsumexp(dim=1) - anchor
        return _mean(losses, sample_weight)
    kept = torch.isfinite(candidates.detach()).any(dim=1)
    losses = candidates[kept].logsumexp(dim=1) - anchor[kept]
    return _mean(losses, None if sample_weight is None else sample_weight[kept])


def _log_count(candidates: Tensor, mask: Tensor | None) -> Tensor:
    present = torch.ones_like(candidates) if mask is None else mask.to(candidates.dtype)
    return present.sum(dim=1, keepdim=True).clamp_min(1).log()


def _mean(losses: Tensor, weight: Tensor | None) -> Tensor:
    weighted = losses if weight is None else weight * losses
    return weighted.sum() / max(len(losses), 1)
