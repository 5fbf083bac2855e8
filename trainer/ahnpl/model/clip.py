"""open_clip models: made by name, loaded safely, and fed with no more text than they need.

`tiny` is the built-in model for two CPU cores: a ViT of 2.0 M parameters at 64 px and a text tower of 0.8 M (beside a
token table of 6.3 M), made from open_clip's own configuration, so that open_clip loads its checkpoints. `tiny-conv` is
smaller and learns drawn scenes from scratch in minutes. `negmine.encoders.towers` tells open_clip of both.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

import open_clip
import torch
from negmine.base.console import note
from negmine.base.documents import Document
from negmine.base.errors import DamagedError, ResourceError, UsageError
from negmine.base.names import pick
from negmine.encoders.clip_models import (
    CONFIG_NAME,
    LOCAL,
    METADATA,
    WEIGHTS_NAME,
    build,
    effective,
    make_tokenizer,
    plan_model,
    read_config,
    text_config,
    tokenizer_files,
)
from negmine.encoders.hugging_face import FAMILY, HF_WEIGHTS
from negmine.encoders.towers import OWN_MODELS
from numpy.typing import ArrayLike
from open_clip.model import CLIP, get_model_preprocess_cfg
from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH
from open_clip.transform import PreprocessCfg, image_transform_v2
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torchvision.transforms import Compose, Normalize, ToTensor

from ahnpl.data.batch import Batch
from ahnpl.data.packing import Packed, pack
from ahnpl.data.worklist import EndOfText, worklist_of
from ahnpl.losses import Features
from ahnpl.model.checkpoint import STATE_NAME, as_json, find_checkpoint, model_name_of, place_of, verify, weights_in
from ahnpl.model.lora import add_low_rank
from ahnpl.model.ranks import Ranks

if TYPE_CHECKING:
    from PIL.Image import Image


HUB: Final = "hf-hub:"
FILES_ON_HUB: Final = ("*.json", "*.safetensors", "*.txt", "*.model")
"""What is downloaded: no code, and no weights that are pickled."""


@dataclass(frozen=True)
class ModelSpec:
    """Which model: what a run records and what a worker needs to make the tokenizer.

    Attributes:
        name: open_clip's, ``tiny``, ``local-dir:FOLDER``, ``hf:FOLDER``, or ``hf-hub:ORG/NAME`` for either on the hub.
        pretrained: open_clip's tag, a weights file, or a checkpoint folder; None for random weights.
        seed: of the random weights.
        preprocess: how images are prepared, keys of a ``preprocess_cfg`` that count more than the weights' own.
    """

    name: str = "tiny"
    pretrained: str | None = None
    seed: int = 0
    preprocess: Mapping[str, object] | None = None


class ClipModel(nn.Module):
    """An open_clip network that takes images as bytes and text of any length, and gives unit features.

    Attributes:
        spec: how it was made.
        network: the open_clip model; its state dict is what checkpoints hold.
        config: what open_clip's ``local-dir:`` needs to make it again.
    """

    weights_name: ClassVar[str] = WEIGHTS_NAME
    """Of a checkpoint's file of weights."""
    image_parts: ClassVar[tuple[str, ...]] = ("visual.",)
    """How names of the image tower's weights begin."""

    mean: Tensor
    std: Tensor
    locked: str | None = None
    """The tower whose weights stay, ``image`` or ``text``; its normalisation then keeps its statistics too."""

    def __init__(self, spec: ModelSpec, network: nn.Module, config: Document) -> None:
        super().__init__()
        self.spec, self.network, self.config = spec, network, config
        for name, values in zip(("mean", "std"), self.statistics, strict=True):
            value = torch.tensor(values, dtype=torch.float32).view(1, -1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    def around(self, network: nn.Module) -> ClipModel:
        """The same model with another network of its kind."""
        return type(self)(self.spec, network, self.config)

    def train(self, mode: bool = True) -> ClipModel:
        super().train(mode)
        for name, module in self.network.named_modules() if self.locked else ():
            if isinstance(module, _BatchNorm) and name.startswith(self.image_parts) == (self.locked == "image"):
                module.eval()
        return self

    # what the model is told, and what a checkpoint keeps of it

    @property
    def preprocess(self) -> Document:
        found: Document = self.config["preprocess_cfg"]
        return found

    @property
    def statistics(self) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel, of values within [0, 1]."""
        return self.preprocess["mean"], self.preprocess["std"]

    @property
    def image_size(self) -> int:
        size = self.preprocess["size"]
        return int(size if isinstance(size, int) else size[0])

    def transform(self) -> Callable[[Image], ArrayLike]:
        """The evaluation transform without its last steps, which `encode_image` does."""
        whole: Compose = image_transform_v2(PreprocessCfg(**self.preprocess), is_train=False)
        shortened: Callable[[Image], ArrayLike] = Compose(
            [step for step in whole.transforms if not isinstance(step, ToTensor | Normalize)]
        )
        return shortened

    def tokenizer(self) -> Callable[[], Callable[[list[str]], Tensor]]:
        """What makes the model's tokenizer, here or in another process."""
        return partial(make_tokenizer, self.spec.name, self.config["model_cfg"]["text_cfg"])

    @cached_property
    def files(self) -> dict[str, bytes]:
        """What must lie beside the weights for the model to be made again, by name.

        CLIP's own tokenizer needs no file, since open_clip has it.
        """
        config = {CONFIG_NAME: as_json(self.config).encode()}
        if not self.config["model_cfg"]["text_cfg"].get("hf_tokenizer_name"):
            return config
        made: Any = self.tokenizer()()
        return {**config, **tokenizer_files(made.tokenizer)}

    @property
    def metadata(self) -> dict[str, str]:
        """Of an exported file of weights: its configuration, so that ``--pretrained`` needs no telling."""
        return {METADATA: json.dumps(self.config)}

    @property
    def configuration(self) -> Document:
        """What there is to compare: weights go on in the layers, and with the pixels, that they were trained with."""
        return _comparable(self.config["model_cfg"], self.preprocess)

    def configuration_in(self, folder: Path) -> Document:
        """`configuration` by a checkpoint's folder.

        Raises: see `read_config`.
        """
        return _comparable(*read_config(folder))

    @property
    def context_length(self) -> int:
        """Tokens of a text that the model reads."""
        return int(self.config["model_cfg"]["text_cfg"].get("context_length", DEFAULT_CONTEXT_LENGTH))

    @property
    def vocabulary(self) -> int:
        """How many different tokens there are."""
        return int(self.config["model_cfg"]["text_cfg"].get("vocab_size", 49408))

    # what it computes

    @property
    def logit_scale(self) -> nn.Parameter:
        scale: nn.Parameter = self.network.logit_scale  # type: ignore[assignment]
        return scale

    @property
    def logit_bias(self) -> nn.Parameter | None:
        """SigLIP's; None for models without one."""
        bias: nn.Parameter | None = getattr(self.network, "logit_bias", None)
        return bias

    def encode_image(self, images: Tensor) -> Tensor:
        """Unit features ``[B, D]`` of ``[B, 3, S, S]`` bytes."""
        return self.encode_pixels((images.to(self.mean.device, torch.float32) / 255 - self.mean) / self.std)

    def encode_pixels(self, pixels: Tensor) -> Tensor:
        """Unit features ``[B, D]`` of ``[B, 3, S, S]`` normalised pixels."""
        features: Tensor = self.network.encode_image(pixels, normalize=True)  # type: ignore[operator]
        return features

    def encode_text(self, tokens: Tensor) -> Tensor:
        """Unit features ``[N, D]`` of ``[N, L]`` tokens.

        Each distinct text is encoded once; where the tower is causal and pools at end-of-text, each beginning that
        texts share too, and nothing after the end. Other towers read all positions.
        """
        distinct, place = torch.unique(tokens, dim=0, return_inverse=True)
        end = self.end_of_text
        return self.encode_distinct(distinct, None if end is None else pack(distinct, end.positions(distinct) + 1))[
            place
        ]

    def encode_distinct(self, texts: Tensor, packed: Packed | None) -> Tensor:
        """Unit features ``[D, W]`` of distinct texts ``[D, L]``, packed where the tower is causal."""
        return self.encode_whole(texts) if packed is None else self.encode_packed(packed)

    @property
    def end_of_text(self) -> EndOfText | None:
        """Where a causal tower takes its features for a text; None where that is not its end."""
        if not isinstance(self.network, CLIP) or self.network.attn_mask is None:
            return None
        if self.network.text_pool_type == "argmax":
            return EndOfText()
        return EndOfText(self.network.text_eos_id) if self.network.text_pool_type == "eos" else None

    def encode_whole(self, tokens: Tensor) -> Tensor:
        """Unit features ``[N, D]`` of ``[N, L]`` tokens, each position of each."""
        features: Tensor = self.network.encode_text(tokens, normalize=True)  # type: ignore[operator]
        return features

    def encode_packed(self, texts: Packed) -> Tensor:
        """Unit features ``[N, D]``, by the tower's own layers."""
        network: CLIP = self.network
        heads = network.transformer.resblocks[0].attn.num_heads
        tokens = network.token_embedding(texts.tokens) + network.positional_embedding[texts.positions]
        tokens = network.transformer(tokens, attn_mask=texts.mask().repeat_interleave(heads, dim=0))
        ends = network.ln_final(tokens[texts.row, texts.column])
        project = network.text_projection
        if project is not None:
            ends = project(ends) if isinstance(project, nn.Linear) else ends @ project
        return nn.functional.normalize(ends, dim=-1)

    def forward(self, batch: Batch) -> Features:
        """Features of a batch; its other texts are encoded together with the captions. Empty slots are not
        encoded: their features are 0."""
        worklist = batch.worklists[0] if len(batch.worklists) == 1 else worklist_of(batch, self.end_of_text)
        texts = self.encode_distinct(worklist.texts, worklist.packed)[worklist.places]
        captions, negatives, others, positives = torch.split(texts, batch.text_counts)
        all_images = [batch.images]
        if batch.image_negatives is not None:
            all_images.append(batch.image_negatives.flatten(0, 1)[worklist.images])
        images, *false_images = torch.split(self.encode_image(torch.cat(all_images)), [len(one) for one in all_images])
        slots = batch.valid.shape[1]
        features = Features(
            image=images,
            text=captions,
            logit_scale=self.logit_scale.exp().reshape(()),  # some models keep it as [1]
            logit_bias=None if self.logit_bias is None else self.logit_bias.reshape(()),
            text_negatives=_in_slots(negatives, batch.valid) if slots else None,
            text_valid=batch.valid if slots else None,
            kinds=batch.kinds if slots else None,
            image_ids=batch.image_ids,
            text_ids=worklist.text_ids,
        )
        if batch.positive_valid is not None:
            features = replace(
                features,
                text_positives=_in_slots(positives, batch.positive_valid),
                positive_valid=batch.positive_valid,
                positive_ids=worklist.positive_ids,
            )
        if batch.image_valid is not None:
            found = images.new_zeros(batch.image_valid.numel(), images.shape[1])
            features = replace(
                features,
                image_negatives=_in_slots(found.index_put((worklist.images,), false_images[0]), batch.image_valid),
                image_valid=batch.image_valid,
                image_negative_texts=_in_slots(others, batch.image_valid),
            )
        return features

    # how it is trained

    def lock(self, tower: str) -> None:
        """Fix the weights of the ``image`` or ``text`` tower."""
        getattr(self.network, f"lock_{tower}_tower")()
        self.locked = tower

    def forget_activations(self) -> None:
        """Compute activations again in the backward pass instead of keeping them."""
        self.network.set_grad_checkpointing(True)  # type: ignore[operator]

    def compile_towers(self) -> None:
        """Compile the image tower, and the text transformer for any length."""
        network: CLIP = self.network
        network.visual.compile()
        (network.transformer if hasattr(network, "transformer") else network.text).compile(dynamic=True)


def _in_slots(features: Tensor, valid: Tensor) -> Tensor:
    """``[B, K, D]`` of ``[B K, D]``; 0 in empty slots."""
    return features.view(*valid.shape, -1).masked_fill(~valid[..., None], 0)


def _comparable(model_cfg: Document, preprocess_cfg: Document) -> Document:
    pixels = json.loads(json.dumps(preprocess_cfg))
    pixels.pop("size", None)  # the tower's
    return {"model_cfg": effective(model_cfg), "preprocess_cfg": pixels}


def load_model(spec: ModelSpec) -> ClipModel:
    """Make a model on the CPU, in float32. What its weights leave open is said on the first rank.

    Raises:
        UsageError: an unknown name or tag, with the nearest ones.
        DamagedError: weights that cannot be read, or that belong to another model.
        ResourceError: weights that could not be downloaded.
    """
    spec = replace(spec, name=downloaded(spec.name))
    if spec.name.startswith(FAMILY):
        from ahnpl.model.hugging_face import load_hugging_face  # which is a `ClipModel`

        return load_hugging_face(spec)
    _check_name(spec.name)
    weights = _find_weights(spec)
    for folder in (weights, spec.name.removeprefix(LOCAL) if spec.name.startswith(LOCAL) else None):
        if folder is not None and (Path(folder) / STATE_NAME).is_file():
            verify(Path(folder), WEIGHTS_NAME)
    plan = plan_model(spec.name, weights, spec.preprocess)
    for remark in plan.remarks if Ranks.of_environment().first else ():
        note(remark)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(spec.seed)
        network = build(plan)
    config = {"model_cfg": dict(plan.model_cfg), "preprocess_cfg": dict(get_model_preprocess_cfg(network))}
    return ClipModel(spec, network, config)


def downloaded(name: str) -> str:
    """A model of the hub by the folder in the hub's cache that it is downloaded into; other names as they are.

    Raises:
        UsageError: no model of open_clip's or Hugging Face's layout with weights in one safetensors file.
        ResourceError: it could not be downloaded.
    """
    if not name.startswith(HUB):
        return name
    from huggingface_hub import snapshot_download

    repository = name.removeprefix(HUB)
    try:
        folder = Path(snapshot_download(repository, allow_patterns=list(FILES_ON_HUB)))
    except (OSError, ValueError) as error:  # all of its errors are either
        raise ResourceError(
            f"could not download {repository}",
            why=" ".join(str(error).split())[:300],
            fix=f"check the name and the network; or hf download {repository} --local-dir FOLDER on another machine, "
            f"and name {LOCAL}FOLDER, or {FAMILY}FOLDER",
        ) from None
    if weights_in(folder) is None:
        raise UsageError(
            "this repository holds no model that is read",
            where=name,
            why=f"neither {WEIGHTS_NAME} nor {HF_WEIGHTS} is there",
        )
    return place_of(folder)


def load_checkpoint(folder: Path) -> ClipModel:
    """The model of a checkpoint folder (see `ahnpl.model.checkpoint`)."""
    return load_model(ModelSpec(place_of(folder)))


def prepare(model: ClipModel, *, lock: str | None, lora: int, checkpointing: bool, compiled: bool) -> None:
    """Set up a model for training, in place.

    Args:
        lock: ``image`` or ``text``, the tower whose weights stay (LiT, Zhai et al. 2022).
        lora: rank of `ahnpl.model.lora`; 0 is none.
        checkpointing, compiled: see `ClipModel.forget_activations` and `ClipModel.compile_towers`.

    Raises:
        UsageError: this cannot be done with this model.
    """
    try:
        if lock is not None:
            model.lock(lock)
        if checkpointing:
            model.forget_activations()
    except (AttributeError, NotImplementedError, AssertionError) as error:
        option = "--lock" if lock and not checkpointing else "--grad-checkpointing"
        raise UsageError(f"model {model.spec.name} does not allow {option}", why=str(error)) from None
    if lora:
        add_low_rank(model.network, lora, model.spec.seed)
    if compiled:
        model.compile_towers()


def load_tokenizer(name: str) -> Callable[[list[str]], Tensor]:
    """The tokenizer of a model by name: texts to ``[N, L]`` tokens, 0 after the end.

    Raises: see `negmine.encoders.clip_models.make_tokenizer`.
    """
    return make_tokenizer(name, text_config(name))


def parameter_counts(model: ClipModel) -> dict[str, int]:
    """Parameters of the image tower, of the text tower without its token table, and of that table."""
    sizes = {name: parameter.numel() for name, parameter in model.network.named_parameters()}
    total = sum(sizes.values())
    image = sum(size for name, size in sizes.items() if name.startswith(model.image_parts))
    table = sum(size for name, size in sizes.items() if name.endswith("token_embedding.weight"))
    return {"image tower": image, "text tower": total - image - table, "token table": table}


def is_own(name: str) -> bool:
    """Whether a model is one of our small ones, which open_clip knows only after `import negmine.encoders.towers`."""
    return (OWN_MODELS / f"{name}.json").is_file()


def _check_name(name: str) -> None:
    if not name.startswith(LOCAL):
        pick("model", name, open_clip.list_models())


def _find_weights(spec: ModelSpec) -> str | None:
    """A tag of open_clip's, or the path of a file or folder."""
    if spec.pretrained is None:
        return None
    path = Path(spec.pretrained)
    if path.is_dir():
        folder = find_checkpoint(path)
        theirs = model_name_of(folder) if (folder / STATE_NAME).is_file() else spec.name
        if theirs != spec.name:
            raise DamagedError(
                f"this checkpoint is of model {theirs}, not of {spec.name}",
                where=str(folder),
                fix=f"use --model {theirs}, or another checkpoint",
            )
        return str(folder)
    if not path.is_file():
        tags = () if spec.name.startswith(LOCAL) else open_clip.list_pretrained_tags_by_model(spec.name)
        pick(f"pretrained file or tag for {spec.name}", spec.pretrained, tags)
    return spec.pretrained
