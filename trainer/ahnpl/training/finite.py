"""Losses and gradients that nobody has looked at yet: a look makes the host wait for the device, so steps share one."""

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
    """What is told of a step whose loss or gradient turns out not to be finite.

    Attributes:
        number: from 1.
        keys: of this rank's samples.
        total: the loss.
        norm: of its gradient; None where one that is not finite moves no weight, as with fp16's scaler.
    """

    number: int
    keys: list[str]
    total: Tensor
    norm: Tensor | None
    parts: Mapping[str, Tensor]

    @property
    def checked(self) -> Tensor:
        """A number that is finite if the step was."""
        return self.total if self.norm is None else self.total * 0 + self.norm


class Unseen:
    """The steps since the last look."""

    def __init__(self) -> None:
        self._steps: list[UnseenStep] = []

    def add(self, number: int, keys: list[str], out: LossOut, norm: Tensor | None) -> None:
        """A step was done; nothing is read."""
        parts = {name: value.detach() for name, value in out.parts.items()}
        self._steps.append(UnseenStep(number, keys, out.total.detach(), norm, parts))

    @property
    def full(self) -> bool:
        return len(self._steps) >= MOST

    def look(self) -> UnseenStep | None:
        """The first step that was not finite, of those since the last look; None if there is none."""
        steps, self._steps = self._steps, []
        if not steps:
            return None
        good: list[bool] = torch.stack([step.checked for step in steps]).isfinite().cpu().tolist()
        return next((step for step, fine in zip(steps, good, strict=True) if not fine), None)
