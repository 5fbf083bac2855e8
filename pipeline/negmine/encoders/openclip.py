"""Any open_clip model: both of its towers share one space, so captions find images and images find captions."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from negmine.base.arrays import Vectors
from negmine.base.console import note
from negmine.base.errors import UsageError
from negmine.encoders.base import Item, Modality, device, in_batches, rgb
from negmine.encoders.clip_models import LOCAL, build, effective, plan_model
from negmine.store import differences, file_sha256

if TYPE_CHECKING:
    import torch
    from open_clip.model import CLIP


class OpenClip:
    """Named ``open_clip:MODEL`` (untrained) or ``open_clip:MODEL:WEIGHTS``, a pretrained tag or a local file."""

    modalities: tuple[Modality, ...] = ("text", "image")
    by_key = False
    _model: CLIP

    def __init__(self, argument: str, modality: Modality) -> None:
        self._name, _, self._weights = argument.partition(":")
        self._modality = modality

    def identity(self) -> str:
        import open_clip

        import negmine.encoders.towers  # noqa: F401  tells open_clip of our small models

        if self._name not in open_clip.list_models():
            raise UsageError(f"open_clip knows no model {self._name!r}", fix="see open_clip.list_models()")
        file = Path(self._weights)
        weights = file_sha256(file) if self._weights and file.is_file() else self._weights or "untrained, seed 0"
        return f"{self._name} {weights}{self._switches()}, open_clip {self.version()}"

    def _switches(self) -> str:
        """What the weights change of the model that the name means."""
        plan, plain = (plan_model(self._name, weights) for weights in (self._weights or None, None))
        changed = differences(effective(plain.model_cfg), effective(plan.model_cfg), "model_cfg")
        pixels = [f"{key} {value}" for key, value in sorted(plan.preprocess_cfg.items())]
        return "".join(f", {one}" for one in (*changed, *pixels))

    @staticmethod
    def version() -> str:
        """Of open_clip."""
        return version("open_clip_torch")

    def load(self) -> None:
        self._device = device()
        import torch
        from open_clip.model import get_model_preprocess_cfg
        from open_clip.transform import PreprocessCfg, image_transform_v2

        self._check_weights()
        plan = plan_model(self._name, self._weights or None)
        for remark in plan.remarks:
            note(remark)
        torch.manual_seed(0)  # an untrained model is at least the same in every worker
        self._model = build(plan).to(self._device).eval()
        self._prepare = image_transform_v2(PreprocessCfg(**get_model_preprocess_cfg(self._model)), is_train=False)
        self._tokenise = plan.tokenizer()

    def _check_weights(self) -> None:
        import open_clip

        tags = [] if self._name.startswith(LOCAL) else open_clip.list_pretrained_tags_by_model(self._name)
        if self._weights and not Path(self._weights).exists() and self._weights not in tags:
            raise UsageError(
                "this open_clip model could not be loaded",
                where=f"{self._name} {self._weights}",
                why="there is no such file, and no such tag",
                fix="check the name, the pretrained tag or the file",
            )

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        return in_batches(items, self._encode_batch, self._device)

    def _encode_batch(self, items: Sequence[Item]) -> torch.Tensor:
        import torch

        if self._modality == "text":
            texts: torch.Tensor = self._model.encode_text(
                self._tokenise([str(text) for text in items]).to(self._device)
            )
            return texts
        pixels = torch.stack([self._prepare(rgb(content)) for content in items])
        images: torch.Tensor = self._model.encode_image(pixels.to(self._device))
        return images
