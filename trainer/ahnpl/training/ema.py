"""Copies of the model beside it: an average of its weights, and teachers for losses that ask for one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from ahnpl.data.batch import Batch
from ahnpl.losses import Features, TeacherSpec
from ahnpl.model.clip import ClipModel
from ahnpl.model.lora import plain_copy, plain_state
from ahnpl.model.sharded import whole


class EmaModel:
    """A copy of a model whose weights are a moving average of the model's: ``w <- decay * w + (1 - decay) * model``."""

    def __init__(self, model: ClipModel, decay: float) -> None:
        network = plain_copy(model.network).requires_grad_(False)
        self.model = model.around(network).to(model.mean).eval()
        self.decay = decay

    @torch.no_grad()
    def follow(self, network: nn.Module, decay: float | None = None) -> None:
        """Move towards the weights of `network`, and take over its buffers."""
        kept = self.decay if decay is None else decay
        own = self.model.network
        mine, theirs = dict(own.named_parameters()), plain_state(network)
        torch._foreach_lerp_(list(mine.values()), [whole(theirs[name]) for name in mine], 1 - kept)
        for name, buffer in own.named_buffers():
            if name in theirs:
                buffer.copy_(theirs[name])


class Teacher(EmaModel):
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
        return replace(
            features,
            teacher_image=own.image,
            teacher_text=own.text,
            teacher_text_negatives=own.text_negatives,
            teacher_logit_scale=own.logit_scale,
        )

    @property
    def state(self) -> Mapping[str, Tensor]:
        """What a checkpoint must hold: nothing for a frozen one, which the run's start gives again."""
        return {} if self.spec.kind == "frozen" else self.model.network.state_dict()
