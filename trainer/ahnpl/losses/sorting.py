"""A differentiable odd-even sorting network (Petersen et al.; Felix-Petersen/diffsort 5c417ea, Cauchy swaps)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def soft_sort(values: Tensor, steepness: float) -> Tensor:
    """``[B, n, n]`` doubly stochastic: how much of input i stands at place j of the ascending order of ``[B, n]``."""
    size = values.shape[1]
    share = torch.eye(size, dtype=values.dtype, device=values.device).expand(len(values), -1, -1)
    for layer in range(size):
        low = torch.arange(layer % 2, size - 1, 2, device=values.device)
        if not len(low):
            continue
        left, right = values[:, low], values[:, low + 1]
        keep = torch.atan(steepness * (right - left)) / torch.pi + 0.5
        order = torch.stack([low, low + 1])
        values = values.index_copy(1, order[0], keep * left + (1 - keep) * right)
        values = values.index_copy(1, order[1], (1 - keep) * left + keep * right)
        a, b, keep = share[:, :, low], share[:, :, low + 1], keep[:, None]
        share = share.index_copy(2, order[0], keep * a + (1 - keep) * b)
        share = share.index_copy(2, order[1], (1 - keep) * a + keep * b)
    return share


def sort_losses(negatives: Tensor, positives: Tensor, steepness: float) -> Tensor:
    """``[B]`` GroCo's loss: cross-entropy of each input's chance to stand among the negatives, and the positives.

    Args:
        negatives: ``[B, k]``.
        positives: ``[B, p]``.
    """
    k = negatives.shape[1]
    share = soft_sort(torch.cat([negatives, positives], dim=1), steepness)
    low, high = share[:, :, :k].sum(dim=2).clamp(0, 1), share[:, :, k:].sum(dim=2).clamp(0, 1)
    is_high = (torch.arange(share.shape[1], device=share.device) >= k).to(share.dtype).expand_as(high)
    both = F.binary_cross_entropy(high, is_high, reduction="none") + F.binary_cross_entropy(
        low, 1 - is_high, reduction="none"
    )
    return both.mean(dim=1) / 2
