"""Weights of whole rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor, nn

from ahnpl.losses.kernel import Logits
from ahnpl.losses.specs import Timed


class Focal(nn.Module):
    """KaLM-Embedding-V2: ``(1 - p)^gamma``, p the detached softmax probability of the positive. gamma from memory."""

    row_wise = True

    def __init__(self, *, gamma: float = 0.5) -> None:
        super().__init__()
        self.gamma = gamma

    def forward(self, logits: Logits) -> Tensor:
        return (1 - logits.probability().detach()).clamp_min(0) ** self.gamma


class VonMisesFisher(nn.Module):
    """DCLW: ``2 - B softmax_i(cos_i / sigma)``, mean 1 (raminnakhli/Decoupled-Contrastive-Learning 0b9b76d).

    Of the positive alone, as in the reference: ``w p`` in place of ``p``; its gradient is kept, as there.
    """

    of_positive = True

    def __init__(self, *, sigma: float = 0.5) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, logits: Logits) -> Tensor:
        cosine = logits.positive / logits.scale
        shares: Tensor = (cosine / self.sigma).softmax(dim=0)
        return 2 - len(cosine) * shares


class Progressive(Timed):
    """PEG, a reconstruction: easy rows first, hard rows last. ``B softmax_i(kappa (1 - p_i))``, mean 1, with kappa
    from -kappa0 to kappa0 as training goes on."""

    def __init__(self, *, kappa: float = 2.0, power: float = 1.0) -> None:
        super().__init__()
        self.kappa, self.power, self.progress = kappa, power, 0.0

    def forward(self, logits: Logits) -> Tensor:
        kappa = self.kappa * (2 * self.progress**self.power - 1)
        shares: Tensor = (kappa * (1 - logits.probability().detach())).softmax(dim=0)
        return len(logits.positive) * shares


SAMPLE_WEIGHTS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "focal": Focal,
        "vmf": VonMisesFisher,
        "progressive": Progressive,
    }
)
