"""CLIP and SigLIP models in folders of Hugging Face's layout, as they are named here: ``hf:FOLDER``.

A folder holds ``config.json``, ``*.safetensors``, a tokenizer, and ``preprocessor_config.json``. All of it is data: no
code that lies in it is run, and nothing is fetched.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from negmine.base.documents import Document
from negmine.base.errors import DamagedError, NegmineError, UsageError, is_out_of_memory
from negmine.base.extras import need
from negmine.base.whole_files import read_whole
from negmine.encoders.clip_models import CONFIG_NAME, LOCAL, quiet

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL.Image import Image
    from torch import Tensor, nn

FAMILY: Final = "hf:"
HF_CONFIG: Final = "config.json"
HF_WEIGHTS: Final = "model.safetensors"
ARCHITECTURES: Final = {"clip": "CLIPModel", "siglip": "SiglipModel"}
"""``model_type`` to transformers' class."""
TOWERS_OF_HF: Final = {
    "image": ("vision_model.", "visual_projection."),
    "text": ("text_model.", "text_projection."),
}
"""Tower to the beginnings of its weights' names."""
_PIXELS: Final = ("preprocessor_config.json", "processor_config.json")
_TOKENIZERS: Final = ("tokenizer.json", "vocab.json", "spiece.model", "tokenizer.model")
_BESIDE: Final = (
    *_PIXELS,
    *_TOKENIZERS,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
)
"""Files beside configuration and weights that a model is used with."""
_LOCAL: Final = {"local_files_only": True, "trust_remote_code": False}


def read_hf_config(folder: Path) -> Document:
    """``config.json`` of a folder, after a look at what lies beside it. Weights are taken as float32, and it says so.

    Raises:
        UsageError: something is missing, or it is a model of another architecture.
        DamagedError: the configuration is none.
    """
    path = folder / HF_CONFIG
    if not path.is_file():
        raise UsageError(
            "this is not the folder of a Hugging Face model",
            where=str(folder),
            why=f"{HF_CONFIG} is missing",
            fix=f"name it {LOCAL}{folder}" if (folder / CONFIG_NAME).is_file() else "check the path",
        )
    try:
        config = json.loads(read_whole(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError("cannot read this configuration", where=str(path), why=str(error)) from None
    if not isinstance(config, dict):
        raise DamagedError("this file should hold a JSON object", where=str(path))
    _check_architecture(config.get("model_type"), folder)
    _check_files(folder)
    parts = (config, *(config[key] for key in ("text_config", "vision_config") if isinstance(config.get(key), dict)))
    for part in parts:
        for key in ("torch_dtype", "dtype"):
            part.pop(key, None)
    return {**config, "dtype": "float32"}


def hf_files(folder: Path) -> dict[str, bytes]:
    """What a model's weights are used with, by name: configuration, tokenizer, and how images are prepared."""
    there = (name for name in _BESIDE if (folder / name).is_file())
    config = json.dumps(read_hf_config(folder), indent=2, ensure_ascii=False).encode()
    return {HF_CONFIG: config, **{name: read_whole(folder / name) for name in there}}


def load_hf_network(folder: Path) -> nn.Module:
    """transformers' ``CLIPModel`` or ``SiglipModel``, on the CPU in float32.

    Raises:
        UsageError: see `read_hf_config`; or transformers is not installed.
        DamagedError: weights that cannot be read, or that are not all there.
    """
    config, transformers = read_hf_config(folder), need("transformers", "transformers", "hf")
    kind = getattr(transformers, ARCHITECTURES[config["model_type"]])
    with _quiet(), _explained("the weights of this folder cannot be loaded", folder):
        read = partial(kind.from_pretrained, use_safetensors=True, output_loading_info=True, **_LOCAL)
        network, told = read(str(folder), dtype="float32")
    missing = sorted(told["missing_keys"])
    for tower, parts in TOWERS_OF_HF.items():
        if {name for name in network.state_dict() if name.startswith(parts)} <= set(missing):
            raise DamagedError(f"these weights hold no {tower} tower", where=str(folder), fix="name a whole model")
    if missing:
        raise DamagedError("weights are missing", where=str(folder), why=", ".join(missing[:3]))
    made: nn.Module = network
    return made


def hf_tokenizer(folder: Path, context_length: int) -> Callable[[list[str]], Tensor]:
    """The tokenizer of a folder: texts to ``[N, L]`` tokens, cut and padded to `context_length` as it pads.

    Raises:
        UsageError: transformers is not installed.
        DamagedError: it cannot be read.
    """
    transformers = need("transformers", "transformers", "hf")
    with _quiet(), _explained("the tokenizer of this folder cannot be used", folder):
        made = transformers.AutoTokenizer.from_pretrained(str(folder), **_LOCAL)

    def tokenize(texts: list[str]) -> Tensor:
        found = made(texts, padding="max_length", truncation=True, max_length=context_length, return_tensors="pt")
        tokens: Tensor = found["input_ids"]
        return tokens

    with _explained("the tokenizer of this folder cannot be used", folder):
        tokenize(["a text"])  # one without a word for padding cannot
    return tokenize


class HuggingFacePixels:
    """How a folder prepares images: resized and cut by its own processor; mean and deviation are told.

    Attributes:
        mean, std: of a channel whose values are within [0, 1].

    Raises:
        UsageError: transformers is not installed.
        DamagedError: it cannot be read, or does not give squares of `side`.
    """

    def __init__(self, folder: Path, side: int) -> None:
        from PIL import Image

        transformers = need("transformers", "transformers", "hf")
        with _quiet(), _explained("what this folder says of images cannot be used", folder):
            made = self._processor = transformers.AutoImageProcessor.from_pretrained(str(folder), **_LOCAL)
            largest = 255 * (made.rescale_factor if made.do_rescale else 1)
            self.mean = [value / largest for value in (made.image_mean if made.do_normalize else (0, 0, 0))]
            self.std = [value / largest for value in (made.image_std if made.do_normalize else (1, 1, 1))]
            found = self(Image.new("RGB", (2 * side, 3 * side))).shape
            if found != (side, side, 3):
                raise ValueError(f"images become {found[0]} x {found[1]} pixels, and the tower takes {side} x {side}")

    def __call__(self, image: Image) -> NDArray[np.uint8]:
        """``[S, S, 3]`` of an RGB image of any size."""
        made = self._processor(image, do_rescale=False, do_normalize=False, return_tensors="np")["pixel_values"][0]
        pixels: NDArray[np.uint8] = made.transpose(1, 2, 0)
        return pixels


def _check_architecture(kind: object, folder: Path) -> None:
    """One with two towers, of those that are known."""
    if kind in ARCHITECTURES:
        return
    why = ""
    for tower, other in (("text", "vision"), ("vision", "text")):
        if any(kind in (f"{one}_{tower}_model", f"{one}_{tower}") for one in ARCHITECTURES):
            why = f"it has no {other} tower"
    raise UsageError(
        f"models of type {kind!r} are not read",
        where=str(folder / HF_CONFIG),
        why=why,
        fix=f"those of type {' and '.join(ARCHITECTURES)} are: CLIPModel, and SiglipModel of one image size",
    )


def _check_files(folder: Path) -> None:
    if not any(folder.glob("*.safetensors")):
        pickled = any(folder.glob("*.bin"))
        raise UsageError(
            "this folder has no weights in safetensors",
            where=str(folder),
            why="what is pickled may run code, and is not read" if pickled else "",
            fix="in Python where you trust it: AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER)",
        )
    for what, names in (("tokenizer", _TOKENIZERS), ("preprocessor", _PIXELS)):
        if not any((folder / name).is_file() for name in names):
            raise UsageError(
                f"this folder has no {what}",
                where=str(folder),
                why=f"none of {', '.join(names)} is there",
                fix="copy it from the model that the weights were made from",
            )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what transformers logs, and its bars, from the terminal; what matters is raised."""
    bars: Any = need("transformers", "transformers", "hf").utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with quiet():
            yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def _explained(what: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a stranger's folder makes transformers raise whatever there is
        if isinstance(error, NegmineError) or is_out_of_memory(error):
            raise
        why = " ".join(str(error).split())[:300]
        raise DamagedError(what, where=str(folder), why=f"{type(error).__name__}: {why}") from None
