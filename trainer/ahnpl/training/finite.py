"""Losses that nobody has looked at yet: a look makes the host wait for the device, so several steps share one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from ahnpl.losses import LossOut

MOST: Final = 100
"""Steps between two looks, at most: each unseen one holds the keys of its batch."""


@dataclass(frozen=True)
class UnseenStep:
    """What is told of a step whose loss turns out not to be finite.

    Attributes:
        number: from 1.
        keys: of this rank's samples.
    """

    number: int
    keys: list[str]
    total: Tensor
    parts: Mapping[str, Tensor]


class Unseen:
    """The steps since the last look."""

    def __init__(self) -> None:
        self._steps: list[UnseenStep] = []

    def add(self, number: int, keys: list[str], out: LossOut) -> None:
        """A step was done; nothing is read."""
        parts = {name: value.detach() for name, value in out.parts.items()}
        self._steps.append(UnseenStep(number, keys, out.total.detach(), parts))

    @property
    def full(self) -> bool:
        return len(self._steps) >= MOST

    def look(self) -> UnseenStep | None:
        """The first step whose loss is not finite, of those since the last look; None if there is none."""
        steps, self._steps = self._steps, []
        if not steps:
            return None
        good: list[bool] = torch.stack([step.total for step in steps]).isfinite().cpu().tolist()
        return next((step for step, fine in zip(steps, good, strict=True) if not fine), None)
