"""Masks that compose by AND: which candidates a row refuses to call negatives. All read detached scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from negmine.base.errors import UsageError
from torch import Tensor

from ahnpl.losses.sets import FROM_NEGATIVES
from ahnpl.losses.view import View

Mask = Callable[[View, Tensor], Tensor]
"""View and the mask so far, ``[B, M]``, to the mask."""


def above_positive(*, by: float = 0.1) -> Mask:
    """Drop what is more than `by` (cosine) above the positive: probably true (UniME d565584). Own negatives stay."""
    return partial(_above_positive, by=by)


def _above_positive(view: View, mask: Tensor, *, by: float) -> Tensor:
    positive = (view.anchor * view.target).sum(dim=1, keepdim=True).detach()
    return mask & ((view.cosines().detach() <= positive + by) | view.named(*FROM_NEGATIVES))


def top_k(*, k: int = 8) -> Mask:
    """Keep the k hardest of those that are left; fewer where fewer are left (UniME, CQ-DINO)."""
    if k < 1:
        raise UsageError(f"top_k keeps {k} candidates", fix="set k to 1 or more")
    return partial(_top_k, k=k)


def _top_k(view: View, mask: Tensor, *, k: int) -> Tensor:
    scores = view.cosines().detach().masked_fill(~mask, -torch.inf)
    places = scores.topk(min(k, scores.shape[1]), dim=1).indices
    return mask & torch.zeros_like(mask).scatter(1, places, True)


def positive_aware(*, rule: str = "margin", margin: float = 0.05, share: float = 0.95, score: str = "shifted") -> Mask:
    """NV-Retriever's filters: keep ``n < p - margin``, or ``n < share p`` of scores shifted to [0, 1].

    Raises:
        UsageError: ``percentage`` of plain cosines, which may be negative and then keeps what is above the positive.
    """
    if rule not in {"margin", "percentage"} or score not in {"shifted", "cosine"}:
        raise UsageError(
            f"positive_aware with rule {rule!r} and score {score!r}", fix="margin | percentage, shifted | cosine"
        )
    if rule == "percentage" and score == "cosine":
        raise UsageError(
            "a percentage of the positive's cosine",
            why="cosines between images and texts may be 0 or less",
            fix="score: shifted, or rule: margin",
        )
    return partial(_positive_aware, rule=rule, margin=margin, share=share)


def _positive_aware(view: View, mask: Tensor, *, rule: str, margin: float, share: float) -> Tensor:
    positive = (view.anchor * view.target).sum(dim=1, keepdim=True).detach()
    scores = view.cosines().detach()
    fits = scores < positive - margin if rule == "margin" else (scores + 1) / 2 < share * (positive + 1) / 2
    return mask & (fits | view.named(*FROM_NEGATIVES))


def near_duplicates(*, above: float = 0.9) -> Mask:
    """Drop others of the batch whose captions are at least so similar (cosine): true of both (after UniME)."""
    return partial(_near_duplicates, above=above)


def _near_duplicates(view: View, mask: Tensor, *, above: float) -> Tensor:
    text = view.features.text.detach()
    return mask & ~view.of_batch(view.features.asking(text) @ text.T >= above, elsewhere=False)


MASKS: Mapping[str, Callable[..., Mask]] = MappingProxyType(
    {
        "above_positive": above_positive,
        "top_k": top_k,
        "near_duplicates": near_duplicates,
        "positive_aware": positive_aware,
    }
)
