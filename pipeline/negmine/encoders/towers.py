"""Our own small models: importing this tells open_clip of them, and timm of an image tower of ours."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import open_clip
from timm.models import register_model
from torch import Tensor, nn

OWN_MODELS: Final = Path(__file__).parent / "configs"
"""Their open_clip configurations, a file each."""

OWN_TOWER: Final = "negmine_tiny_conv"
"""timm's name of the image tower."""

WIDTHS: Final = (32, 64, 128, 128)
GROUPS: Final = 8


class TinyConv(nn.Module):
    """Convolutions of stride 2, and no pooling: every place keeps its own features, so the head knows what is where.

    64 pixels a side become a grid of 4 x 4.

    Attributes:
        num_features: of the flat output; timm's name.
        default_cfg: what timm's adapters ask for.
    """

    def __init__(self, image_size: int = 64) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for width in WIDTHS:
            layers += [nn.Conv2d(channels, width, 3, stride=2, padding=1), nn.GroupNorm(GROUPS, width), nn.GELU()]
            channels = width
        self.features = nn.Sequential(*layers)
        self.num_features = channels * (image_size // 2 ** len(WIDTHS)) ** 2
        self.default_cfg: dict[str, object] = {"input_size": (3, image_size, image_size)}

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """There is none to reset."""

    def forward(self, images: Tensor) -> Tensor:
        """``[B, F]`` of ``[B, 3, S, S]``."""
        flat: Tensor = self.features(images).flatten(1)
        return flat


@register_model
def negmine_tiny_conv(pretrained: bool = False, **_: object) -> TinyConv:
    """The tower of ``tiny-conv``; there are no pretrained weights."""
    return TinyConv()


open_clip.add_model_config(OWN_MODELS)
