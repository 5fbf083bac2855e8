"""Any open_clip model: both of its towers share one space, so captions find pictures and pictures find captions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from negmine.errors import UsageError
from negmine.retrieval.encoders.base import Modality, Vectors, device, in_batches, rgb
from negmine.store import file_sha256


class OpenClip:
    """Named ``open_clip:MODEL`` (untrained) or ``open_clip:MODEL:WEIGHTS``, a pretrained tag or a local file."""

    modalities: tuple[Modality, ...] = ("text", "image")
    by_key = False

    def __init__(self, argument: str, modality: Modality) -> None:
        self._name, _, self._weights = argument.partition(":")
        self._modality = modality
        self._model: Any = None

    def identity(self) -> str:
        import open_clip

        if self._name not in open_clip.list_models():
            raise UsageError(f"open_clip knows no model {self._name!r}", fix="see open_clip.list_models()")
        file = Path(self._weights)
        weights = file_sha256(file) if self._weights and file.is_file() else self._weights or "untrained, seed 0"
        return f"{self._name} {weights}, open_clip {self.version()}"

    @staticmethod
    def version() -> str:
        """Of open_clip."""
        return version("open_clip_torch")

    def load(self) -> None:
        self._device = device()
        import open_clip
        import torch

        torch.manual_seed(0)  # an untrained model is at least the same in every worker
        try:
            model, _, self._prepare = open_clip.create_model_and_transforms(
                self._name, pretrained=self._weights or None, device=self._device
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise UsageError(
                "this open_clip model could not be loaded",
                where=f"{self._name} {self._weights}",
                why=str(error).splitlines()[0],
                fix="check the name, the pretrained tag or the file",
            ) from None
        self._model = model.eval()
        self._tokenise = open_clip.get_tokenizer(self._name)

    def encode(self, keys: Sequence[str], items: Sequence[Any]) -> Vectors:
        return in_batches(items, self._encode_batch, self._device)

    def _encode_batch(self, items: Sequence[Any]) -> Any:
        import torch

        if self._modality == "text":
            return self._model.encode_text(self._tokenise(list(items)).to(self._device))
        pictures = torch.stack([self._prepare(rgb(content)) for content in items])
        return self._model.encode_image(pictures.to(self._device))
