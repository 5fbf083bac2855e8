"""Models of Hugging Face's layout: transformers' own network, tokenizer and pixels, trained as open_clip's are."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from negmine.base.documents import Document
from negmine.base.errors import DamagedError, UsageError
from negmine.encoders.hugging_face import (
    FAMILY,
    HF_WEIGHTS,
    TOWERS_OF_HF,
    HuggingFacePixels,
    hf_files,
    hf_tokenizer,
    load_hf_network,
    read_hf_config,
)
from numpy.typing import ArrayLike
from torch import Tensor, nn

from ahnpl.data.packing import Packed
from ahnpl.data.worklist import EndOfText
from ahnpl.model.checkpoint import STATE_NAME, verify
from ahnpl.model.clip import ClipModel, ModelSpec

if TYPE_CHECKING:
    from PIL.Image import Image

OLD_END = 2
"""An ``eos_token_id`` that no published CLIP tokenizer has: transformers then takes the largest token for the end."""


class HuggingFaceModel(ClipModel):
    """transformers' ``CLIPModel`` or ``SiglipModel``; `config` is its ``config.json``."""

    weights_name = HF_WEIGHTS
    image_parts = TOWERS_OF_HF["image"]

    network: Any  # its classes are not typed

    @property
    def folder(self) -> Path:
        """Where it was read from."""
        return Path(self.spec.name.removeprefix(FAMILY))

    @cached_property
    def _pixels(self) -> HuggingFacePixels:
        return HuggingFacePixels(self.folder, self.image_size)

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        return self._pixels.mean, self._pixels.std

    @property
    def image_size(self) -> int:
        return int(self.network.config.vision_config.image_size)

    def transform(self) -> Callable[[Image], ArrayLike]:
        return self._pixels

    def tokenizer(self) -> Callable[[], Callable[[list[str]], Tensor]]:
        return partial(hf_tokenizer, self.folder, self.context_length)

    @cached_property
    def files(self) -> dict[str, bytes]:
        return hf_files(self.folder)

    @property
    def metadata(self) -> dict[str, str]:
        return {"format": "pt"}

    @property
    def configuration(self) -> Document:
        return {"config": self.config, "mean": self.statistics[0], "std": self.statistics[1]}

    def configuration_in(self, folder: Path) -> Document:
        pixels = HuggingFacePixels(folder, self.image_size)
        return {"config": read_hf_config(folder), "mean": pixels.mean, "std": pixels.std}

    @property
    def context_length(self) -> int:
        return int(self.network.config.text_config.max_position_embeddings)

    @property
    def vocabulary(self) -> int:
        return int(self.network.config.text_config.vocab_size)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        return nn.functional.normalize(self.network.get_image_features(pixels).pooler_output, dim=-1)

    def encode_whole(self, tokens: Tensor) -> Tensor:
        return nn.functional.normalize(self.network.get_text_features(tokens).pooler_output, dim=-1)

    @property
    def end_of_text(self) -> EndOfText | None:
        if self.config["model_type"] != "clip":
            return None
        end = self.network.text_model.eos_token_id
        return EndOfText(None if end == OLD_END else end)

    def encode_packed(self, texts: Packed) -> Tensor:
        tower = self.network.text_model
        table = tower.embeddings  # called as a whole, it takes rows to be texts and refuses long ones
        tokens = table.token_embedding(texts.tokens) + table.position_embedding(texts.positions)
        found = tower.encoder(inputs_embeds=tokens, attention_mask=texts.mask()[:, None], is_causal=False)
        ends = tower.final_layer_norm(found.last_hidden_state[texts.row, texts.column])
        return nn.functional.normalize(self.network.text_projection(ends), dim=-1)

    def lock(self, tower: str) -> None:
        for name, parameter in self.network.named_parameters():
            if name.startswith(TOWERS_OF_HF[tower]):
                parameter.requires_grad_(False)
        self.locked = tower

    def forget_activations(self) -> None:
        network = self.network  # newer versions of transformers have another name for it, and warn of the old one
        getattr(network, "activation_checkpointing_enable", network.gradient_checkpointing_enable)()

    def compile_towers(self) -> None:
        self.network.vision_model.compile()
        self.network.text_model.encoder.compile(dynamic=True)


def load_hugging_face(spec: ModelSpec) -> HuggingFaceModel:
    """See `ahnpl.model.clip.load_model`.

    Raises:
        UsageError: options that a folder leaves no room for; or a folder that is none, see `read_hf_config`.
        DamagedError: what lies there cannot be read, or does not fit together.
    """
    for option, given in (("--pretrained", spec.pretrained), ("--preprocess", spec.preprocess)):
        if given is not None:
            raise UsageError(
                f"{option} does not go with {FAMILY}FOLDER",
                where=spec.name,
                why="the folder has weights, and says how images are prepared",
                fix=f"leave it out; a checkpoint of such a model is such a folder too: --model {FAMILY}CHECKPOINT",
            )
    folder = Path(spec.name.removeprefix(FAMILY))
    config = read_hf_config(folder)
    if (folder / STATE_NAME).is_file():
        verify(folder, HF_WEIGHTS)
    model = HuggingFaceModel(spec, load_hf_network(folder), config)
    _check_tokens(model)
    return model


def _check_tokens(model: HuggingFaceModel) -> None:
    """A tokenizer of another model would go unnoticed: a tower reads any number, and looks for the end it knows."""
    tokens = model.tokenizer()()(["a text", ""])
    why = None
    if int(tokens.max()) >= model.vocabulary:
        why = f"it gives token {int(tokens.max())}, and the tower knows {model.vocabulary}"
    end = model.network.config.text_config.eos_token_id
    if model.config["model_type"] == "clip" and end != OLD_END and not tokens.eq(end).any(dim=1).all():
        why = f"it does not end a text with token {end}, which the tower looks for"
    if why:
        raise DamagedError("the tokenizer of this folder is of another model", where=str(model.folder), why=why)
