"""Adaptive margins: one per negative slot (or kind), from the batch before, clamped."""

from __future__ import annotations

import torch
from negmine.base.errors import UsageError
from negmine.contract.records import KINDS
from torch import Tensor, nn

MAX_SLOTS = 128
"""Most negatives per sample that margins are kept for."""

RULES = ("gap", "released", "fixed")
GROUPS = ("slot", "kind")


class RunningMargins(nn.Module):
    """Margins gamma in logit units: computed on one batch, used on the next, 0 at first.

    ``gap``: the mean over valid pairs of (positive - negative), per group; a group absent from a batch keeps its
    margin. ``released``: mean of all positives minus mean of the valid negatives, an absent group taking 0 for the
    latter, as AHNPL's source does (it then jumps to the upper bound). ``fixed``: always the upper bound.

    Args:
        upper_bound: clamp, logit units; 10 is 0.1 cosine at s = 100.
        rule: one of `RULES`.
        by: a margin for each ``slot`` of ``[B, K]`` or for each ``kind``.
        reset_each_epoch: forget the margins when an epoch begins, as the released loop does.
    """

    value: Tensor

    def __init__(self, *, upper_bound: float, rule: str, by: str, reset_each_epoch: bool) -> None:
        super().__init__()
        self.upper_bound, self.rule, self.by, self.reset_each_epoch = upper_bound, rule, by, reset_each_epoch
        start = upper_bound if rule == "fixed" else 0.0
        self.register_buffer("value", torch.full((len(KINDS) if by == "kind" else MAX_SLOTS,), start))

    def groups(self, valid: Tensor, kinds: Tensor | None) -> Tensor:
        """``[B, K]`` index of the margin that each negative falls under.

        Raises:
            UsageError: margins by kind without kinds, or more than `MAX_SLOTS` negatives.
        """
        if self.by == "kind":
            if kinds is None:
                raise UsageError("margins by kind need the negatives' kinds", fix="pass kinds, or margin_by: slot")
            return kinds.long().clamp_min(0)
        if valid.shape[1] > MAX_SLOTS:
            raise UsageError(f"{valid.shape[1]} negatives per sample, margins are kept for {MAX_SLOTS}")
        return torch.arange(valid.shape[1], device=valid.device).expand(valid.shape)

    @torch.no_grad()
    def update(self, positive: Tensor, negative: Tensor, valid: Tensor, groups: Tensor) -> None:
        """Set the margins for the next batch.

        Args:
            positive: ``[B]`` logits.
            negative: ``[B, K]`` logits.
            valid: ``[B, K]`` bool.
            groups: from `groups`.
        """
        if self.rule == "fixed":
            return
        weight = valid.to(negative.dtype)
        count = self._sum(weight, groups)
        mean_negative = self._sum(weight * negative, groups) / count.clamp_min(1)
        if self.rule == "released":
            seen = self._sum(torch.ones_like(weight), groups) > 0
            fresh = positive.mean() - mean_negative
        else:
            seen = count > 0
            fresh = self._sum(weight * positive[:, None], groups) / count.clamp_min(1) - mean_negative
        fresh = fresh.clamp(0, self.upper_bound).to(self.value.dtype)
        self.value.copy_(torch.where(seen, fresh, self.value))

    def begin_epoch(self) -> None:
        """Tell the margins that an epoch begins."""
        if self.reset_each_epoch and self.rule != "fixed":
            self.value.zero_()

    def _sum(self, values: Tensor, groups: Tensor) -> Tensor:
        return values.new_zeros(len(self.value)).index_add(0, groups.flatten(), values.flatten())
