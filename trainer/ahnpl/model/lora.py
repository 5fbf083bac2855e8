"""Low-rank adaptation (LoRA, Hu et al. 2022, arXiv 2106.09685): ``W + B A`` with W fixed, as torch parametrisations.

`plain_state` gives the weights as the plain model has them, so checkpoints stay open_clip's.
"""

from __future__ import annotations

from copy import deepcopy

import torch
from negmine.base.errors import UsageError
from torch import Tensor, nn
from torch.nn.utils import parametrize

_MARK = ".parametrizations."


class LowRank(nn.Module):
    """``W + B A`` for W of ``[out, in]``; B begins at 0, so that nothing changes at first."""

    def __init__(self, weight: Tensor, rank: int) -> None:
        super().__init__()
        out, width = weight.shape
        self.a = nn.Parameter(torch.empty(rank, width, device=weight.device, dtype=weight.dtype))
        self.b = nn.Parameter(torch.zeros(out, rank, device=weight.device, dtype=weight.dtype))
        nn.init.kaiming_uniform_(self.a, a=5**0.5)

    def forward(self, weight: Tensor) -> Tensor:
        return weight + self.b @ self.a


def add_low_rank(network: nn.Module, rank: int, seed: int) -> None:
    """Fix all weights but the logit scale, and add `LowRank` to each linear map that was to train, in place.

    Raises:
        UsageError: there is no such map.
    """
    maps = [(module, name) for module in network.modules() for name in _maps(module)]
    if not maps:
        raise UsageError("this model has no linear maps that train", fix="use --lora 0, or without --lock")
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(parameter.requires_grad and name.startswith("logit_"))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for module, name in maps:
            parametrize.register_parametrization(module, name, LowRank(getattr(module, name), rank))


def _maps(module: nn.Module) -> list[str]:
    names = {nn.Linear: "weight", nn.MultiheadAttention: "in_proj_weight"}
    found = [name for kind, name in names.items() if isinstance(module, kind)]
    return [name for name in found if getattr(module, name) is not None and getattr(module, name).requires_grad]


@torch.no_grad()
def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """The state of the plain network that computes the same."""
    state = {}
    for name, value in network.state_dict().items():
        module, mark, rest = name.partition(_MARK)
        if not mark:
            state[name] = value
        elif rest.endswith(".original"):
            weight = rest.removesuffix(".original")
            state[f"{module}.{weight}"] = getattr(network.get_submodule(module), weight)
    return state


def plain_copy(network: nn.Module) -> nn.Module:
    """A copy without parametrisations that computes the same."""
    copy, weights = deepcopy(network), plain_state(network)
    for path, module in list(copy.named_modules()):
        if parametrize.is_parametrized(module):
            names = list(module.parametrizations)
            # torch's own removal would take the property from the class, which the copied module shares
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            for name in names:
                module.register_parameter(name, nn.Parameter(weights[f"{path}.{name}"].clone()))
    return copy
