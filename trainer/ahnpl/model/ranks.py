"""The processes of one run, as ``torchrun`` starts them: who is who, what they agree on, and what they gather.

Every rank encodes its share of the batch, gathers the others' features with gradient, and computes the loss of the
whole batch, or with ``--local-loss`` of its own rows. The backward pass of the gather gives each rank the gradient of
the batch's loss at its own features, as large as a single process has it (which matters in fp16), and gradients of
weights are summed over ranks. Without a gradient through the gather it would lack a term; that is not offered.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from datetime import timedelta
from typing import Any, Final, TypeGuard, TypeVar

import torch
import torch.distributed as dist
from negmine.base.errors import NegmineError, ResourceError
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from ahnpl.losses import Features

TIMEOUT: Final = timedelta(minutes=30)
"""Longest wait for a rank that hangs; one that dies is noticed at once. Rank 0 may evaluate for that long."""

SCALARS: Final = ("logit_scale", "logit_bias")
"""Of `Features`, what does not belong to a sample."""

T = TypeVar("T")


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run.

    Attributes:
        rank: from 0; rank 0 alone writes.
        count: W, processes in all.
        local: the position on this machine, which picks the GPU.
    """

    rank: int = 0
    count: int = 1
    local: int = 0

    @classmethod
    def of_environment(cls) -> Ranks:
        """As ``torchrun`` tells by ``RANK``, ``WORLD_SIZE`` and ``LOCAL_RANK``; a single process without it."""
        rank, count, local = (int(os.environ.get(name, "0")) for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK"))
        return cls(rank, max(count, 1), local)

    @property
    def first(self) -> bool:
        return self.rank == 0

    @contextmanager
    def joined(self, device: torch.device) -> Iterator[None]:
        """Be connected to the other ranks: gloo for CPU tensors and messages, NCCL for CUDA tensors.

        Raises:
            ResourceError: the connection to another rank broke.
        """
        if self.count == 1:
            yield
            return
        if device.type == "cuda":
            torch.cuda.set_device(device)  # NCCL takes the current one
        dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo", timeout=TIMEOUT)
        try:
            yield
        except RuntimeError as error:
            if not _is_of_connection(error):
                raise
            raise ResourceError(
                f"rank {self.rank} of {self.count} lost another rank of this run",
                why=str(error).splitlines()[0][:200],
                fix="see the other rank's message; the same command resumes from the last checkpoint",
            ) from None
        finally:
            dist.destroy_process_group()

    def agree(self, stop: bool, error: Exception | None = None) -> bool:
        """Vote before a step: does any rank stop?

        Raises:
            Exception: the first rank's that has one, on all ranks.
        """
        if self.count > 1:
            vote = torch.tensor([int(stop), int(error is not None)])
            dist.all_reduce(vote)
            stop = bool(vote[0])
            if vote[1]:
                errors: list[Exception | None] = [None] * self.count
                dist.all_gather_object(errors, error)
                error = next(one for one in errors if one is not None)
        if error is not None:
            raise error
        return stop

    def first_does(self, act: Callable[[], T]) -> T:
        """Let rank 0 do something while the others wait; its result, or its error, on all ranks."""
        done: list[Any] = [None]  # a T, or what torch puts there
        error = None
        if self.first:
            try:
                done[0] = act()
            except NegmineError as problem:
                error = problem
        self.agree(False, error)
        if self.count > 1:
            dist.broadcast_object_list(done, src=0)
        result: T = done[0]
        return result

    def collect(self, items: list[T]) -> list[T]:
        """The items of all ranks, rank by rank."""
        if self.count == 1:
            return items
        found: list[list[T]] = [[]] * self.count
        dist.all_gather_object(found, items)
        return [item for one in found for item in one]

    def gather(self, features: Features, *, local: bool = False) -> Features:
        """Features of the joined batch, rank by rank, with gradient to each rank's own.

        Args:
            local: each rank is to compute its own rows of the loss; else all compute the same loss.
        """
        if self.count == 1:
            return features
        values = {field.name: getattr(features, field.name) for field in fields(features)}
        gather = _gathered_for_own_rows if local else _gathered_for_all
        whole = {name: gather(value) for name, value in values.items() if _has_rows(value)}
        whole |= {name: _Shared.apply(values[name]) for name in SCALARS if values[name] is not None}
        own = len(features.text)
        return replace(features, **whole, rows=slice(self.rank * own, (self.rank + 1) * own) if local else None)

    def mean(self, values: Tensor) -> Tensor:
        """The mean over ranks of a detached tensor."""
        if self.count > 1:
            values = values.clone()
            dist.all_reduce(values)
            values /= self.count
        return values

    def share(self, module: nn.Module) -> None:
        """Give all ranks rank 0's parameters and buffers of a module that is not in `DistributedDataParallel`."""
        if self.count > 1:
            for tensor in (*module.parameters(), *module.buffers()):
                dist.broadcast(tensor.detach(), src=0)

    def add(self, parameters: Iterable[Tensor]) -> None:
        """Sum the gradients of weights that are whole on all ranks, and that no module sums."""
        for parameter in parameters:
            if self.count > 1 and parameter.grad is not None:
                dist.all_reduce(parameter.grad)

    def average(self, module: nn.Module) -> None:
        """Average the gradients of a module that is not in `DistributedDataParallel`, and sees all ranks' features."""
        if self.count > 1:
            for parameter in module.parameters():
                if parameter.grad is not None:
                    dist.all_reduce(parameter.grad)
                    parameter.grad /= self.count


def _has_rows(value: object) -> TypeGuard[Tensor]:
    return isinstance(value, Tensor) and value.ndim > 0


def _gathered_for_all(tensor: Tensor) -> Tensor:
    return _gathered(tensor, _GatherForAll)


def _gathered_for_own_rows(tensor: Tensor) -> Tensor:
    return _gathered(tensor, _GatherForOwnRows)


def _gathered(tensor: Tensor, how: type[_GatherForAll]) -> Tensor:
    if tensor.dtype == torch.bool:
        return _gathered(tensor.to(torch.uint8), how).bool()
    whole: Tensor = how.apply(tensor.contiguous())
    return whole


class _GatherForAll(torch.autograd.Function):
    """``[B, ...]`` of each rank to ``[W * B, ...]``; backwards, the gradient of the own rows: all ranks compute the
    same loss, and no message is needed for it."""

    @staticmethod
    def forward(ctx: FunctionCtx, tensor: Tensor) -> Tensor:
        parts = [torch.empty_like(tensor) for _ in range(dist.get_world_size())]
        dist.all_gather(parts, tensor)
        return torch.cat(parts)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return gradients[0].chunk(dist.get_world_size())[dist.get_rank()]


class _GatherForOwnRows(_GatherForAll):
    """The same where each rank computes other rows of the loss: the gradients differ, and a message averages them, as
    the batch's loss is the mean of the ranks'."""

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        whole = gradients[0].contiguous()
        own = torch.empty_like(whole[: len(whole) // dist.get_world_size()])
        dist.reduce_scatter_tensor(own, whole)
        return own / dist.get_world_size()


class _Shared(torch.autograd.Function):
    """A value that all ranks have, such as the logit scale; backwards, one rank's part of the sum over ranks."""

    @staticmethod
    def forward(ctx: FunctionCtx, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: FunctionCtx, *gradients: Tensor) -> Tensor:
        return gradients[0] / dist.get_world_size()


def _is_of_connection(error: RuntimeError) -> bool:
    """NCCL and the store have types of their own; gloo's errors are plain, and begin with its source file."""
    return isinstance(error, dist.DistError) or "/gloo/" in str(error)
