"""From a batch to gradients: towers under autocast, features gathered, the loss in float32.

With ``parts`` above 1 a batch is encoded in parts, with the memory of one part (GradCache, Gao et al. 2021, arXiv
2101.06983): all parts are encoded without gradient, the loss of the whole batch gives the gradient at each feature,
and each part is encoded again to carry it into the weights. What layers draw at random is the same both times.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import fields, replace
from typing import Any, Final

import torch
from negmine.base.errors import UsageError
from timm.layers.norm_act import convert_sync_batchnorm
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from ahnpl.data.stream import Batch
from ahnpl.losses import Features, LossOut, RecipeLoss
from ahnpl.model.clip import ClipModel
from ahnpl.model.ranks import Ranks
from ahnpl.train.memory import trial_batch
from ahnpl.train.teacher import Teacher

HALVES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LEARNT: Final = ("image", "text", "text_negatives", "image_negatives", "image_negative_texts")
"""The features that carry a gradient into the towers, beside the logit scale."""


class Objective:
    """The loss of a batch that the ranks share.

    Args:
        parts: in which a rank encodes its share of the batch, one after the other.
        precision: ``fp32``, ``bf16`` or ``fp16``, of the towers.
        seed: of what layers and losses draw, together with the step: a resumed run draws the same.

    Raises:
        UsageError: parts with batch normalisation, which would see each part twice and never the batch; or several
            processes with it on a CPU, where none sees the others' pictures.
    """

    def __init__(
        self,
        model: ClipModel,
        loss: RecipeLoss,
        *,
        teacher: Teacher | None = None,
        ranks: Ranks = Ranks(),
        parts: int = 1,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        if parts > 1 and _normalises_over_batch(model):
            raise UsageError(
                "this model normalises over the batch, and a batch in parts is not the same",
                fix="use --grad-cache-chunks 1, or a model without batch normalisation",
            )
        self.model, self.loss, self.teacher, self.ranks, self.parts, self.seed = (
            model, loss, teacher, ranks, parts, seed,
        )  # fmt: skip
        self.half = HALVES.get(precision)
        self.towers = _distributed(model, ranks)

    def backward(
        self, batch: Batch, step: int, scale: Callable[[Tensor], Tensor], check: Callable[[LossOut], None]
    ) -> LossOut:
        """Compute the loss of the joined batch and add its gradient to ``.grad``, the same on all ranks.

        Args:
            batch: this rank's share.
            scale: applied to the loss before its backward pass (``GradScaler.scale``).
            check: called with the loss before the backward pass.
        """
        out = self._whole(batch, step, scale, check) if self.parts == 1 else self._cached(batch, step, scale, check)
        self.ranks.average(self.loss)
        return out

    def _whole(
        self, batch: Batch, step: int, scale: Callable[[Tensor], Tensor], check: Callable[[LossOut], None]
    ) -> LossOut:
        features = self._taught(self._encode(self.towers, batch, step, 0), batch)
        out = self._loss(features, step)
        check(out)
        torch.autograd.backward(scale(out.total))
        return out

    def _cached(
        self, batch: Batch, step: int, scale: Callable[[Tensor], Tensor], check: Callable[[LossOut], None]
    ) -> LossOut:
        batches = batch.split(self.parts)
        with torch.no_grad():
            found = [self._taught(self._encode(self.model, part, step, n), part) for n, part in enumerate(batches)]
        leaves = _leaves(_joined(found))
        out = self._loss(leaves, step)
        check(out)
        torch.autograd.backward(scale(out.total))
        row = 0
        for number, part in enumerate(batches):
            last = number == len(batches) - 1
            with nullcontext() if last or self.towers is self.model else self.towers.no_sync():  # type: ignore[operator]
                features = self._encode(self.towers, part, step, number)
                tensors, gradients = _pairs(features, leaves, slice(row, row + len(part.keys)))
                if last:
                    tensors.append(features.logit_scale)
                    gradients.append(_gradient(leaves.logit_scale))
                torch.autograd.backward(tensors, gradients)
            row += len(part.keys)
        return out

    def _encode(self, towers: nn.Module, batch: Batch, step: int, part: int) -> Features:
        torch.manual_seed(hash((self.seed, step, self.ranks.rank, part)))
        with torch.autocast(batch.images.device.type, dtype=self.half, enabled=self.half is not None):
            features: Features = towers(batch)
        return features

    def _taught(self, features: Features, batch: Batch) -> Features:
        if self.teacher is None:
            return features
        with torch.autocast(batch.images.device.type, dtype=self.half, enabled=self.half is not None):
            return self.teacher.teach(features, batch)

    def _loss(self, features: Features, step: int) -> LossOut:
        """The loss of the joined batch; what it draws is the same on all ranks."""
        gathered = self.ranks.gather(features)
        torch.manual_seed(hash((self.seed, step)))
        out: LossOut = self.loss(gathered)
        return out


def _distributed(model: ClipModel, ranks: Ranks) -> nn.Module:
    if ranks.count == 1:
        return model
    if _normalises_over_batch(model):
        if model.mean.device.type == "cpu":
            raise UsageError(
                "this model normalises over the batch, and on a CPU no process sees the others' pictures",
                fix="use one process, --lock image, or a model without batch normalisation",
            )
        model.network = convert_sync_batchnorm(model.network)  # type: ignore[no-untyped-call]
    freeze_unreached(model)
    return DistributedDataParallel(model, gradient_as_bucket_view=True)


def _normalises_over_batch(model: ClipModel) -> bool:
    return any(isinstance(module, _BatchNorm) and module.training for module in model.modules())


def freeze_unreached(model: ClipModel) -> None:
    """Fix weights that no feature depends on, such as CoCa's decoder or SigLIP's bias: no gradient comes for them, and
    processes would wait for it."""
    was_training = model.training
    model.eval()  # leaves running statistics alone
    with torch.compiler.set_stance("force_eager"):
        found = model(trial_batch(model, 0, 0))
        (found.image.sum() + found.text.sum() + found.logit_scale.sum()).backward()
    for parameter in model.parameters():
        parameter.requires_grad_(parameter.grad is not None)
        parameter.grad = None
    model.train(was_training)


def _joined(parts: list[Features]) -> Features:
    """The features of a batch from those of its parts."""
    values: dict[str, Any] = {}
    for field in fields(Features):
        column = [getattr(part, field.name) for part in parts]
        rows = isinstance(column[0], Tensor) and column[0].ndim > 0
        values[field.name] = torch.cat(column) if rows else column[0]
    return replace(parts[0], **values)


def _leaves(features: Features) -> Features:
    """The same features, the learnt ones as leaves that collect gradients."""
    learnt = {name: getattr(features, name) for name in (*_LEARNT, "logit_scale")}
    return replace(features, **{n: t.detach().clone().requires_grad_() for n, t in learnt.items() if t is not None})


def _pairs(features: Features, leaves: Features, rows: slice) -> tuple[list[Tensor], list[Tensor]]:
    """Learnt features of some rows, and the gradients that the loss has at them."""
    tensors, gradients = [], []
    for name in _LEARNT:
        tensor = getattr(features, name)
        if tensor is not None and tensor.requires_grad:
            tensors.append(tensor)
            gradients.append(_gradient(getattr(leaves, name))[rows])
    return tensors, gradients


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
