"""Copies of the model beside it: an average of its weights, and teachers for losses that ask for one."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from ahnpl.losses import Features, TeacherSpec
from ahnpl.model import ClipModel
from ahnpl.stream import Batch


class Shadow:
    """A copy of a model whose weights are a moving average of the model's: ``w <- decay * w + (1 - decay) * model``."""

    def __init__(self, model: ClipModel, decay: float) -> None:
        network = deepcopy(model.network).requires_grad_(False)
        self.model = ClipModel(model.spec, network, model.config).to(model.mean.device).eval()
        self.decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float | None = None) -> None:
        """Move towards the weights of `network`, and take over its buffers."""
        kept = self.decay if decay is None else decay
        own = self.model.network
        mine: list[Tensor] = [p for p in own.parameters() if p.is_floating_point()]
        theirs = [p.detach() for p in network.parameters() if p.is_floating_point()]
        torch._foreach_lerp_(mine, theirs, 1 - kept)
        for buffer, new in zip(own.buffers(), network.buffers(), strict=True):
            buffer.copy_(new)


class Teacher(Shadow):
    """A copy of the model whose features a loss learns from. The spec says how it follows the model."""

    def __init__(self, model: ClipModel, spec: TeacherSpec) -> None:
        super().__init__(model, spec.decay if spec.kind == "ema" else 0.0)
        self.spec = spec

    def after_step(self, step: int, network: nn.Module) -> None:
        """Follow the model.

        Args:
            step: done, from 1.
        """
        if self.spec.kind == "ema" or (self.spec.kind == "lagged" and step % self.spec.every == 0):
            self.follow(network)

    @torch.no_grad()
    def teach(self, features: Features, batch: Batch) -> Features:
        """The same features with the teacher's beside them."""
        own: Features = self.model(batch)
        beside: dict[str, Any] = {
            "teacher_image": own.image, "teacher_text": own.text, "teacher_text_negatives": own.text_negatives,
            "teacher_logit_scale": own.logit_scale,
        }  # fmt: skip
        return replace(features, **beside)

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What a checkpoint must hold: nothing for a frozen one, which the run's start gives again."""
        return {} if self.spec.kind == "frozen" else self.model.network.state_dict()
