"""Weights of candidates, added to their logits as logarithms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import torch
from torch import Tensor

from ahnpl.losses.kernel import log_count
from ahnpl.losses.view import View

Weight = Callable[[View, Tensor, Tensor], Tensor]
"""View, ``[B, M]`` logits and mask to ``[B, M]`` log weights."""


def tilt(*, beta: float = 1.0, detach: bool = False) -> Weight:
    """HCL's hardness: ``w_j = M softmax_j(beta n_j)``, beta in units of a logit (joshr17/HCL 7b4647f, which does not
    detach). 0 weighs all alike."""
    return partial(_tilt, beta=beta, detach=detach)


def _tilt(view: View, logits: Tensor, mask: Tensor, *, beta: float, detach: bool) -> Tensor:
    scores = beta * (logits.detach() if detach else logits)
    there = mask.any(dim=1, keepdim=True)
    shares = scores.masked_fill(there & ~mask, -torch.inf).log_softmax(dim=1) + log_count(mask).to(logits.dtype)
    return torch.where(mask, shares, 0)


WEIGHTS: Mapping[str, Callable[..., Weight]] = MappingProxyType({"tilt": tilt})
