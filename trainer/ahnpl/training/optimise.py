"""AdamW as CLIP is trained with it: which weights decay, and how the learning rate moves."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import cos, pi
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm
from torch.optim import AdamW

from ahnpl.model.sharded import in_parts, is_part, part_of, whole
from ahnpl.training.config import TrainConfig

_NO_DECAY = ("bn", "ln", "bias", "logit_scale")


def make_optimiser(
    modules: Mapping[str, nn.Module],
    weight_decay: float,
    *,
    betas: tuple[float, float] = (TrainConfig.beta1, TrainConfig.beta2),
    eps: float = TrainConfig.eps,
    scales: Mapping[str, float] = MappingProxyType({}),
) -> AdamW:
    """AdamW over all parameters; gains, biases and the logit scale do not decay (open_clip's rule).

    Each group carries its parameters' names, for checkpoints.

    Args:
        scales: module to the part of the learning rate that its parameters get; 1 where it is not named.
    """
    groups: dict[tuple[bool, float, bool], dict[str, nn.Parameter]] = {}
    for name, parameter in named_parameters(modules).items():
        plain = parameter.ndim < 2 or any(mark in name for mark in _NO_DECAY)
        kind = plain, scales.get(name.partition(".")[0], 1.0), is_part(parameter)
        groups.setdefault(kind, {})[name] = parameter
    listed = [
        {
            "params": list(group.values()),
            "names": list(group),
            "weight_decay": 0.0 if plain else weight_decay,
            "scale": scale,
        }
        for (plain, scale, _), group in sorted(groups.items(), key=lambda one: one[0][0])
    ]
    return AdamW(listed, lr=0.0, betas=betas, eps=eps, fused=True)


def named_parameters(modules: Mapping[str, nn.Module]) -> dict[str, nn.Parameter]:
    """Parameters that train, by ``module.parameter``."""
    return {
        f"{prefix}.{name}": parameter
        for prefix, module in modules.items()
        for name, parameter in module.named_parameters()
        if parameter.requires_grad
    }


def learning_rate(step: int, total: int, warmup: int, peak: float) -> float:
    """Linear from 0 over `warmup` steps, then a cosine to 0 at `total`. `step` counts from 0."""
    if step < warmup:
        return peak * (step + 1) / warmup
    return peak * 0.5 * (1 + cos(pi * (step - warmup) / max(total - warmup, 1)))


def set_learning_rate(optimiser: AdamW, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate * group["scale"]


def optimiser_tensors(optimiser: AdamW) -> dict[str, Tensor]:
    """The optimiser's state as flat names to tensors."""
    return {
        f"optimiser.{name}/{key}": value
        for name, parameter in _names(optimiser)
        for key, value in optimiser.state.get(parameter, {}).items()
    }


def restore_optimiser(optimiser: AdamW, tensors: Mapping[str, Tensor]) -> None:
    """Put back what `optimiser_tensors` gave, onto each parameter's device."""
    flat: dict[str, dict[str, Tensor]] = {}
    for full, value in tensors.items():
        if full.startswith("optimiser."):
            name, _, key = full.removeprefix("optimiser.").rpartition("/")
            flat.setdefault(name, {})[key] = value
    for name, parameter in _names(optimiser):
        if name in flat:
            optimiser.state[parameter] = {k: _beside(parameter, v) for k, v in flat[name].items()}


def _beside(parameter: Tensor, value: Tensor) -> Tensor:
    """A moment lies as its parameter does; the number of steps is a scalar."""
    here = value.to(parameter.device, copy=True)
    return part_of(here, parameter) if value.ndim else here


def _names(optimiser: AdamW) -> Iterable[tuple[str, Tensor]]:
    for group in optimiser.param_groups:
        yield from zip(group["names"], group["params"], strict=True)


def clip_gradients(optimiser: AdamW, largest: float) -> Tensor:
    """Norm of all gradients, which are scaled down to `largest` if they exceed it; 0 is no limit."""
    parameters = [one for group in optimiser.param_groups for one in group["params"]]
    kinds = [kind for kind in in_parts(parameters) if kind]
    norms = [whole(get_total_norm([one.grad for one in kind if one.grad is not None])) for kind in kinds]
    norm = norms[0] if len(norms) == 1 else torch.stack(norms).norm()
    for kind in kinds:
        clip_grads_with_norm_(kind, largest or float("inf"), norm)
    return norm
