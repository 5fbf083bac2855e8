"""Weights, gradients and moments in equal parts, one on each process (FSDP2), and whole again for who asks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor


def shard(module: nn.Module, count: int, device: torch.device) -> None:
    """Keep a part of each weight on each of `count` processes, in place; layers are put together one by one.

    Scalars, such as the logit scale, stay whole. Each backward pass sums gradients, as `Ranks.gather` wants it.
    """
    mesh = init_device_mesh(device.type, (count,))
    scalars = {parameter for parameter in module.parameters() if parameter.numel() == 1}
    for part in (*_layers(module), module):
        parts = fully_shard(part, mesh=mesh, ignored_params=scalars)
        parts.set_gradient_divide_factor(1.0)
        parts.set_force_sum_reduction_for_comms(True)  # a factor of its own is for NCCL alone


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a tower's transformer, in the order in which they run."""
    for name, child in module.named_children():
        if isinstance(child, nn.ModuleList) or (isinstance(child, nn.Sequential) and name == "blocks"):
            yield from child
        else:
            yield from _layers(child)


def is_part(tensor: Tensor) -> bool:
    """Whether it is this process's part of a tensor that lies on all."""
    return isinstance(tensor, DTensor)


def is_sharded(module: nn.Module) -> bool:
    return isinstance(module, FSDPModule)


def whole(tensor: Tensor) -> Tensor:
    """The tensor that lies in parts on the processes, which all have to ask; others as they are."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def gathered(tensors: Mapping[str, Tensor], keep: bool) -> dict[str, Tensor]:
    """Whole tensors by name, one after the other; those that lay in parts come to the host.

    Args:
        keep: whether this process wants them, or only helps.
    """
    found = {}
    for name, tensor in tensors.items():
        one = whole(tensor.detach())
        if keep:
            found[name] = one.cpu() if isinstance(tensor, DTensor) else one
    return found


def part_of(value: Tensor, like: Tensor) -> Tensor:
    """This process's part of a whole tensor, as that of `like`; `value` where that is whole."""
    if not isinstance(like, DTensor):
        return value
    return distribute_tensor(value.to(like.device), like.device_mesh, like.placements, src_data_rank=None)


def load_whole(module: nn.Module, state: Mapping[str, Tensor]) -> None:
    """``load_state_dict`` of whole tensors, of which each process keeps its part.

    Raises:
        RuntimeError: names or shapes differ.
    """
    own = module.state_dict()
    module.load_state_dict({name: part_of(value, own[name]) if name in own else value for name, value in state.items()})


def in_parts(tensors: Iterable[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
    """Those that lie in parts, and those that are whole: torch takes no lists of both."""
    listed = list(tensors)
    return [one for one in listed if isinstance(one, DTensor)], [one for one in listed if not isinstance(one, DTensor)]
