"""A small model of each family that open_clip has, with the pixels of its published weights, and a hub to read from.

The image towers of timm are its own architectures with fewer and narrower layers; the tokenizers of the hub are word
lists in its cache.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import open_clip
import timm
from timm.models import register_model

from tests.trainer.conftest import COLOURS, PLACES, SHAPES

SIDE: Final = 64
_NARROW: Final = {"embed_dim": 64, "depth": 2, "num_heads": 2, "img_size": SIDE}
_VIT: Final = {"layers": 2, "width": 64, "head_width": 32, "patch_size": 16}
_SPECIAL: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


@dataclass(frozen=True)
class Family:
    """One family.

    Attributes:
        like: the model of open_clip's that it is a small form of.
        vision: what of its image tower is smaller.
        tower: what of timm's architecture is smaller; None where the tower is open_clip's own.
    """

    like: str
    vision: Mapping[str, Any]
    tower: Mapping[str, Any] | None = None

    @property
    def name(self) -> str:
        """Of the small model."""
        return f"small-{self.like}"

    @property
    def normalises(self) -> bool:
        """Whether it has batch normalisation."""
        return self.like in ("RN50", "MobileCLIP-S1")

    def config(self) -> dict[str, Any]:
        """Its ``model_cfg``."""
        config: dict[str, Any] = deepcopy(open_clip.get_model_config(self.like))
        config["embed_dim"] = 64
        config["vision_cfg"] |= {"image_size": SIDE, **self.vision}
        text = config["text_cfg"]
        if "hf_model_name" not in text:
            text |= {"width": 64, "heads": 2, "layers": 2}
        if "hf_tokenizer_name" in text and "vocab_size" in text:
            text["vocab_size"] = 200
        if self.tower is not None:
            config["vision_cfg"]["timm_model_name"] = _small(config["vision_cfg"]["timm_model_name"], self.tower)
        if "multimodal_cfg" in config:
            config["multimodal_cfg"] |= {"width": 64, "heads": 2, "layers": 1, "dim_head": 32, "attn_pooler_heads": 2}
        return config


def _small(architecture: str, changes: Mapping[str, Any]) -> str:
    """timm's name of an architecture with changes, which timm is told of."""
    name = f"small_{architecture}"

    def build(pretrained: bool = False, **options: Any) -> Any:
        return timm.create_model(architecture, **{**options, **changes})

    build.__name__, build.__module__ = name, __name__
    if not timm.is_model(name):
        register_model(build)
    return name


__all__: list[str] = []  # timm writes the architectures' names here

FAMILIES: Final[Mapping[str, Family]] = {
    "CLIP": Family("ViT-B-32", _VIT),
    "QuickGELU": Family("ViT-B-32-quickgelu", _VIT),
    "RN": Family("RN50", {"layers": [1, 1, 1, 1], "width": 16}),
    "SigLIP": Family("ViT-B-16-SigLIP", {}, _NARROW),
    "SigLIP 2": Family("ViT-B-16-SigLIP2", {}, _NARROW),
    "CoCa": Family("coca_ViT-B-32", {**_VIT, "attn_pooler_heads": 2}),
    "CLIPA": Family("ViT-L-14-CLIPA", _VIT),
    "MobileCLIP": Family("MobileCLIP-S1", {}, {"layers": (1, 1, 1, 1), "embed_dims": (32, 32, 64, 64)}),
    "PE-Core": Family("PE-Core-T-16-384", {}, {**_NARROW, "attn_pool_num_heads": 2}),
    "EVA": Family("EVA02-B-16", {}, _NARROW),
    "roberta": Family("roberta-ViT-B-32", _VIT),
}


def tell_open_clip(folder: Path) -> None:
    """Make the small models known to open_clip in this process, each with the pixels of its family's weights."""
    folder.mkdir(parents=True, exist_ok=True)
    for family in FAMILIES.values():
        (folder / f"{family.name}.json").write_text(json.dumps(family.config()))
    open_clip.add_model_config(folder)
    known: dict[str, Any] = open_clip.pretrained._PRETRAINED
    for family in FAMILIES.values():
        tags = open_clip.list_pretrained_tags_by_model(family.like)
        known[family.name] = {tags[0]: open_clip.get_pretrained_cfg(family.like, tags[0])}


def write_hub(cache: Path) -> None:
    """A cache of huggingface_hub (``HF_HOME``) that holds the tokenizers, and roberta's configuration."""
    from transformers import PreTrainedTokenizerFast, RobertaConfig

    names = {
        open_clip.get_model_config(family.like)["text_cfg"].get("hf_tokenizer_name") for family in FAMILIES.values()
    }
    for name in filter(None, names):
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=word_list(),
            pad_token="[PAD]",
            unk_token="[UNK]",
            cls_token="[CLS]",
            sep_token="[SEP]",
            mask_token="[MASK]",
            bos_token="[CLS]",
            eos_token="[SEP]",
        )
        tokenizer.save_pretrained(_snapshot(cache, name))
        if name != "roberta-base":
            told = _of_model(cache, name) / ".no_exist" / "0"
            told.mkdir(parents=True)
            (told / "config.json").touch()  # the hub said that there is none
    still = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}  # each process would draw its own
    sizes = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
    config = RobertaConfig(vocab_size=50_265, max_position_embeddings=100, pad_token_id=0, **sizes, **still)
    config.save_pretrained(_snapshot(cache, "roberta-base"))


def _of_model(cache: Path, name: str) -> Path:
    return cache / "hub" / f"models--{name.replace('/', '--')}"


def _snapshot(cache: Path, name: str) -> Path:
    """The folder of a model's only revision."""
    model = _of_model(cache, name)
    (model / "refs").mkdir(parents=True, exist_ok=True)
    (model / "refs" / "main").write_text("0")
    return model / "snapshots" / "0"


def word_list() -> Any:
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    words = [*_SPECIAL, "a", "on", "the", *COLOURS, *SHAPES, *PLACES]
    made: Callable[..., Any] = Tokenizer
    tokenizer = made(WordLevel({word: number for number, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)])
    return tokenizer
