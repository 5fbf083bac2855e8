"""From a batch to gradients: towers under autocast, features gathered, the loss in float32.

With `chunks` above 1 a batch is encoded in chunks, with the memory of one (GradCache, Gao et al. 2021, arXiv
2101.06983): all chunks are encoded without gradient, the loss of the whole batch gives the gradient at each feature,
and each chunk is encoded again to carry it into the weights. What layers draw at random is the same both times.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields, replace
from types import EllipsisType
from typing import Final

import torch
from negmine.base.errors import UsageError
from negmine.base.hashing import derived_seed
from negmine.base.options import Values
from torch import Tensor, nn
from torch.distributed.fsdp import FSDPModule
from torch.nn.parallel import DistributedDataParallel

from ahnpl.data.batch import Batch
from ahnpl.losses import Features, LossOut, RecipeLoss
from ahnpl.model.clip import ClipModel
from ahnpl.model.ranks import SCALARS, Ranks
from ahnpl.model.sharded import in_parts, is_sharded
from ahnpl.training.data_parallel import distributed, normalises_over_batch
from ahnpl.training.ema import Teacher

HALVES: Final = {"bf16": torch.bfloat16, "fp16": torch.float16}
_LEARNT: Final = ("image", "text", "text_negatives", "text_positives", "image_negatives", "image_negative_texts")
"""The features that carry a gradient into the towers."""


@dataclass(frozen=True)
class _Cached:
    """What is kept between a loss and its backward pass where a batch was encoded in chunks.

    Attributes:
        leaves: the features of the whole batch, where the loss leaves its gradient.
    """

    step: int
    chunks: list[Batch]
    leaves: Features


class Objective:
    """The loss of a batch that the ranks share, and its gradient.

    Args:
        grad_cache_chunks: in which a rank encodes its share of the batch, one after the other.
        fsdp: each rank keeps a part of the weights, see `ahnpl.model.sharded`.
        local_loss: each rank computes the loss of its own rows against the candidates of all.
        loss_rows: rows of the loss whose logits stand at one time; None for all.
        precision: ``fp32``, ``bf16`` or ``fp16``, of the towers.
        seed: of what layers and losses draw, together with the step: a resumed run draws the same.

    Raises:
        UsageError: chunks with batch normalisation, which would see each chunk twice and never the batch; or several
            processes with it on a CPU, where none sees the others' images.
    """

    def __init__(
        self,
        model: ClipModel,
        loss: RecipeLoss,
        *,
        teacher: Teacher | None = None,
        ranks: Ranks = Ranks(),
        grad_cache_chunks: int = 1,
        local_loss: bool = False,
        fsdp: bool = False,
        loss_rows: int | None = None,
        precision: str = "fp32",
        seed: int = 0,
    ) -> None:
        if grad_cache_chunks > 1 and normalises_over_batch(model):
            raise UsageError(
                "this model normalises over the batch, and a batch in parts is not the same",
                fix="use --grad-cache-chunks 1, or a model without batch normalisation",
            )
        self.local_loss, self.loss_rows = local_loss, loss_rows
        self.model, self.recipe_loss, self.teacher, self.ranks = model, loss, teacher, ranks
        self.chunks, self.seed = grad_cache_chunks, seed
        self.half = HALVES.get(precision)
        self.towers = distributed(model, ranks, reads_bias=loss.reads_bias, fsdp=fsdp)
        self._scalars = in_parts(model.parameters())[1] if is_sharded(model) else []
        self._cached: _Cached | None = None

    def loss(self, batch: Batch, step: int) -> LossOut:
        """The loss of the joined batch, the same on all ranks.

        Args:
            batch: this rank's share.
        """
        if self.chunks == 1:
            features = self._taught(self._encode(self.towers, batch, step, 0), batch)
        else:
            features = self._encode_in_chunks(batch, step)
        gathered = self.ranks.gather(features, local=self.local_loss)
        torch.manual_seed(derived_seed(self.seed, "loss", step))  # what the loss draws is the same on all ranks
        out: LossOut = self.recipe_loss(gathered, self.loss_rows)
        return self._told_to_all(out) if self.local_loss else out

    def _told_to_all(self, out: LossOut) -> LossOut:
        """The values of the joined batch; the total keeps the gradient of the own rows."""
        names, own = list(out.parts), torch.stack([out.total, *out.parts.values()])
        mean = self.ranks.mean(own.detach())
        total = out.total + (mean[0] - own[0]).detach()
        return replace(out, total=total, parts=dict(zip(names, mean[1:], strict=True)))

    def backward(self, total: Tensor) -> None:
        """Add the gradient of the last loss to ``.grad``, the same on all ranks.

        Args:
            total: that loss, or a multiple of it (``GradScaler.scale``).
        """
        torch.autograd.backward(total)
        cached, self._cached = self._cached, None
        if cached is not None:
            self._carry_into_weights(cached)
        self.ranks.add(self._scalars)
        self.ranks.average(self.recipe_loss)

    def _encode_in_chunks(self, batch: Batch, step: int) -> Features:
        """Features without a way back into the towers; what `backward` needs for it is kept."""
        chunks = batch.split(self.chunks)
        with torch.no_grad():
            found = [self._taught(self._encode(self.model, chunk, step, n), chunk) for n, chunk in enumerate(chunks)]
        self._cached = _Cached(step, chunks, _leaves(_joined(found)))
        return self._cached.leaves

    def _carry_into_weights(self, cached: _Cached) -> None:
        """Encode each chunk again, and go back from the gradient at its features; ranks speak at the last chunk."""
        row = 0
        for number, chunk in enumerate(cached.chunks):
            last = number == len(cached.chunks) - 1
            with _spoken(self.towers, last):
                features = self._encode(self.towers, chunk, cached.step, number)
                rows = slice(row, row + len(chunk.keys))
                found = _with_gradients(features, cached.leaves, _LEARNT, rows)
                if last:
                    found += _with_gradients(features, cached.leaves, SCALARS, ...)
                tensors, gradients = zip(*found, strict=True)
                torch.autograd.backward(tensors, gradients)
            row += len(chunk.keys)

    def _encode(self, towers: nn.Module, batch: Batch, step: int, chunk: int) -> Features:
        torch.manual_seed(derived_seed(self.seed, "towers", step, self.ranks.rank, chunk))
        with torch.autocast(batch.images.device.type, dtype=self.half, enabled=self.half is not None):
            features: Features = towers(batch)
        return features

    def _taught(self, features: Features, batch: Batch) -> Features:
        if self.teacher is None:
            return features
        with torch.autocast(batch.images.device.type, dtype=self.half, enabled=self.half is not None):
            return self.teacher.teach(features, batch)


def _spoken(towers: nn.Module, speak: bool) -> AbstractContextManager[None]:
    """Whether ranks sum gradients in a backward pass within."""
    if isinstance(towers, FSDPModule):
        towers.set_requires_gradient_sync(speak)
    return towers.no_sync() if isinstance(towers, DistributedDataParallel) and not speak else nullcontext()


def _joined(chunks: list[Features]) -> Features:
    """The features of a batch from those of its chunks."""
    values: Values = {}
    for field in fields(Features):
        column = [getattr(chunk, field.name) for chunk in chunks]
        has_rows = isinstance(column[0], Tensor) and column[0].ndim > 0
        values[field.name] = torch.cat(column) if has_rows else column[0]
    return replace(chunks[0], **values)


def _leaves(features: Features) -> Features:
    """The same features, the learnt ones as leaves that collect gradients."""
    learnt = {name: getattr(features, name) for name in (*_LEARNT, *SCALARS)}
    return replace(features, **{n: t.detach().clone().requires_grad_() for n, t in learnt.items() if t is not None})


def _with_gradients(
    features: Features, leaves: Features, names: Sequence[str], rows: slice | EllipsisType
) -> list[tuple[Tensor, Tensor]]:
    """Learnt features of some rows, each with the gradient that the loss has at it."""
    found = ((getattr(features, name), getattr(leaves, name)) for name in names)
    return [(tensor, _gradient(leaf)[rows]) for tensor, leaf in found if tensor is not None and tensor.requires_grad]


def _gradient(leaf: Tensor) -> Tensor:
    return torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
