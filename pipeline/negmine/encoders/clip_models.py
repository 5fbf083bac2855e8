"""open_clip's models as they are named here: ``MODEL``, ``MODEL`` with weights, or ``local-dir:FOLDER``.

What weights say of themselves is kept: the configuration beside or inside a file of ours, and otherwise the pixel
statistics under which open_clip lists the model. A configuration is data: known keys with plain values. It names no
code, and nothing to download but what open_clip's own models do.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import asdict, dataclass
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, TypeGuard, get_type_hints

from negmine.base.documents import Document
from negmine.base.errors import DamagedError, ResourceError, UsageError, is_out_of_memory
from negmine.base.options import Hint
from negmine.base.whole_files import read_whole
from negmine.store import differences

if TYPE_CHECKING:
    import torch
    from open_clip.model import CLIP

    Tokenizer = Callable[[list[str]], torch.Tensor]
    """Texts to ``[N, L]`` tokens."""

LOCAL: Final = "local-dir:"
CONFIG_NAME: Final = "open_clip_config.json"
WEIGHTS_NAME: Final = "open_clip_model.safetensors"
METADATA: Final = "open_clip_config"
"""Of a safetensors file: the configuration of its weights, as JSON."""

_TOP: Final[Mapping[str, object]] = {
    "embed_dim": int,
    "quick_gelu": bool,
    "custom_text": bool,
    "init_logit_scale": float,
    "init_logit_bias": float | None,
    "nonscalar_logit_scale": bool,
}
"""Keys of a ``model_cfg`` beside those of its towers, and of what kind their values are."""
_MAY_BE_NONE: Final = ("timm_proj", "patch_size")
"""In open_clip's own configurations, whatever its data classes say."""
_LARGEST: Final[Mapping[str, int]] = {"layers": 1_000, "image_size": 10_000}
_LARGEST_NUMBER: Final = 10_000_000
"""Ten times what any model of open_clip has; a number beyond would only fill the memory, or never end."""
_TOKENIZER: Final = frozenset({"clean", "strip_sep_token", "language"})
_MADE_ELSEWHERE: Final = ("timm_model_pretrained", "hf_model_pretrained")
"""Whether towers are downloaded when a model is made; not a property of the model."""
_SHAPES: Final = (
    "embed_dim",
    "width",
    "layers",
    "heads",
    "head_width",
    "patch_size",
    "vocab_size",
    "timm_model_name",
    "hf_model_name",
)
"""What makes another model; the rest are switches of the same."""
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "vocab.txt", "vocab.json", "spiece.model")


@dataclass(frozen=True)
class Blueprint:
    """How to build a model, and what the user should be told.

    Attributes:
        name: open_clip's, or ``local-dir:FOLDER``.
        tag: of open_clip's weights; `file` is weights otherwise, and without either they are the folder's or random.
        model_cfg, preprocess_cfg: its configuration; the second names only what is not open_clip's default.
        remarks: what was taken for granted, or taken over.
    """

    name: str
    tag: str | None
    file: Path | None
    model_cfg: Document
    preprocess_cfg: Document
    remarks: tuple[str, ...] = ()

    def tokenizer(self) -> Tokenizer:
        """See `make_tokenizer`."""
        return make_tokenizer(self.name, self.model_cfg["text_cfg"])


def plan_model(name: str, weights: str | None = None, preprocess: Mapping[str, object] | None = None) -> Blueprint:
    """What building `name` with `weights` means.

    Args:
        weights: one of open_clip's tags, a weights file, or a folder with a configuration and weights.
        preprocess: keys of a ``preprocess_cfg`` that count more than those found.

    Raises:
        UsageError: a folder without a configuration.
        DamagedError: a configuration that is none, or says more than one may; weights of another architecture.
    """
    own, its_pixels = _configuration(name)
    path = Path(weights) if weights else None
    if path is None or not path.exists():
        tag = _tag_config(name, weights) if weights else {}
        if tag.get("quick_gelu"):
            own["quick_gelu"] = True
        return Blueprint(name, weights, None, own, {**its_pixels, **(preprocess or {})})
    file = path / WEIGHTS_NAME if path.is_dir() else path
    said = _said_by(file)
    if said is None:
        pixels, remarks = _guessed(name, file)
        return Blueprint(name, None, file, own, {**its_pixels, **pixels, **(preprocess or {})}, remarks)
    found, pixels = said
    changed = differences(effective(own), effective(found), "model_cfg")
    if any(_is_other_model(name, line) for line in changed):
        raise DamagedError(
            f"these weights do not fit model {name}",
            where=str(file),
            why="; ".join(changed),
            fix=f"name the --model that they were made for, or {LOCAL}{file.parent}",
        )
    remarks = (f"{file} has a configuration of its own, which counts: {'; '.join(changed)}",) if changed else ()
    return Blueprint(name, None, file, found, {**pixels, **(preprocess or {})}, remarks)


def build(plan: Blueprint) -> CLIP:
    """The network, on the CPU in float32. What it draws is drawn from torch's generator.

    Raises:
        DamagedError: weights that cannot be read, or that belong to another model.
        ResourceError: weights that could not be downloaded.
    """
    import open_clip

    local = plan.name.startswith(LOCAL)
    options: dict[str, object] = {"force_preprocess_cfg": dict(plan.preprocess_cfg)}
    if not local:
        options |= _overrides(plan)
    if local or plan.file is not None:
        options["pretrained_text"] = False  # a folder makes no download
    with quiet(), _explained(plan):
        network = open_clip.create_model(plan.name, pretrained=plan.tag, load_weights=plan.file is None, **options)
        if plan.file is not None:
            open_clip.load_checkpoint(network, str(plan.file))
    return network


def make_tokenizer(name: str, text_cfg: Document) -> Tokenizer:
    """The tokenizer of a text configuration: texts to ``[N, L]`` tokens. No code that lies in a folder is run.

    Args:
        name: as of `Blueprint`; a folder's own tokenizer files are read.

    Raises:
        DamagedError: tokenizer files that cannot be read as data, or none where there should be some.
        ResourceError: a tokenizer that could not be downloaded.
    """
    from open_clip.tokenizer import DEFAULT_CONTEXT_LENGTH, HFTokenizer, SimpleTokenizer

    length = int(text_cfg.get("context_length") or DEFAULT_CONTEXT_LENGTH)
    options = dict(text_cfg.get("tokenizer_kwargs") or {})
    asked = text_cfg.get("hf_tokenizer_name")
    if not asked:
        made: Tokenizer = SimpleTokenizer(context_length=length, **options)
        return made
    folder = _tokenizer_folder(name)
    if folder is None and not _is_known("hf_tokenizer_name", asked):
        raise DamagedError(
            f"the tokenizer {asked!r} is none of open_clip's models'",
            where=name,
            fix="put the tokenizer's files (tokenizer.json) into the model's folder",
        )
    try:
        with quiet():
            made = HFTokenizer(
                str(folder or asked),
                context_length=length,
                tokenizer_mode=text_cfg.get("tokenizer_mode"),
                trust_remote_code=False,
                **options,
            )
    except Exception as error:  # noqa: BLE001 - transformers raises whatever its parsers do
        why = " ".join(str(error).split())[:300]
        if folder is not None:
            raise DamagedError("the tokenizer of this folder cannot be read", where=str(folder), why=why) from None
        raise ResourceError(
            f"could not download the tokenizer {asked!r} of {name}",
            why=why,
            fix="run once where there is a network; it is kept in the cache of huggingface_hub (HF_HOME)",
        ) from None
    return made


def tokenizer_files(tokenizer: Any) -> dict[str, bytes]:
    """The files of a tokenizer of the hub, by name: open_clip looks for them in a model's folder, and nowhere else."""
    with TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


def text_config(name: str) -> Document:
    """The ``text_cfg`` of a model by name.

    Raises: see `plan_model`.
    """
    found: Document = _configuration(name)[0]["text_cfg"]
    return found


def read_config(folder: Path) -> tuple[Document, Document]:
    """``model_cfg`` and ``preprocess_cfg`` of a folder.

    Raises:
        UsageError: the folder has no configuration.
        DamagedError: see `check_config`.
    """
    path = folder / CONFIG_NAME
    if not path.is_file():
        raise UsageError("this folder holds no open_clip model", where=str(folder), why=f"{CONFIG_NAME} is missing")
    try:
        text = read_whole(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise DamagedError("cannot read this configuration", where=str(path), why=str(error)) from None
    return check_config(text, str(path))


def check_config(text: str, where: str) -> tuple[Document, Document]:
    """``model_cfg`` and ``preprocess_cfg`` of a configuration's JSON text, each of known keys with plain values.

    Raises:
        DamagedError: it is none, or it has a key or value that none of open_clip's models needs.
    """
    try:
        body = json.loads(text)
        model, pixels = body["model_cfg"], body.get("preprocess_cfg") or {}
        _check_model(model)
        check_preprocess(pixels)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        why = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise DamagedError("this is not the configuration of a model", where=where, why=why) from None
    return model, {key: value for key, value in pixels.items() if key != "size"}  # the tower has one


def check_preprocess(pixels: object) -> None:
    """Check the keys and values of a ``preprocess_cfg``.

    Raises:
        ValueError: one is not known or not possible.
    """
    choices = {
        "interpolation": ("bicubic", "bilinear", "random"),
        "resize_mode": ("shortest", "longest", "squash"),
        "mode": ("RGB",),
    }
    if not isinstance(pixels, dict):
        raise ValueError("preprocess_cfg is no object")
    for key, value in pixels.items():
        if key in ("mean", "std"):
            fits = isinstance(value, list) and len(value) == 3 and all(_is_number(one) for one in value)
            fits = fits and (key == "mean" or min(value) > 0)
        elif key in choices:
            fits = value in choices[key]
        elif key in ("size", "fill_color"):
            parts = value if isinstance(value, list) else [value]
            fits = all(isinstance(one, int) and 0 <= one <= _LARGEST["image_size"] for one in parts)
        else:
            raise ValueError(f"unknown key preprocess_cfg.{key}")
        if not fits and value is not None:
            raise ValueError(f"preprocess_cfg.{key} is {value!r}"[:200])


def read_preprocess(path: Path) -> Document:
    """A ``preprocess_cfg`` from a JSON file: its keys, or a whole configuration that has it.

    Raises:
        UsageError: it is none, or there is no such file.
    """
    try:
        body = json.loads(read_whole(path).decode())
        pixels = body.get("preprocess_cfg", body) if isinstance(body, dict) else body
        check_preprocess(pixels)
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(
            "this does not say how images are prepared",
            where=str(path),
            why=str(error),
            fix='write {"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "interpolation": "bicubic", '
            '"resize_mode": "squash"}',
        ) from None
    return {key: value for key, value in pixels.items() if key != "size"}  # the tower has one


def effective(model_cfg: Document) -> Document:
    """A configuration with open_clip's defaults filled in, as JSON values, to be compared with another."""
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    towers = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg}
    whole: Document = {"quick_gelu": False, "custom_text": False, **model_cfg}
    for key, kind in towers.items():
        tower = asdict(kind(**model_cfg[key]))
        whole[key] = {name: value for name, value in tower.items() if name not in _MADE_ELSEWHERE}
    filled: Document = json.loads(json.dumps(whole))
    return filled


@contextmanager
def quiet() -> Iterator[None]:
    """Keep open_clip's log lines from the terminal; what matters is raised."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        yield
    finally:
        logging.disable(before)


# --- configurations ---------------------------------------------------------------------------------------------------


def _configuration(name: str) -> tuple[Document, Document]:
    """``model_cfg`` and ``preprocess_cfg`` of a model by name."""
    import open_clip

    import negmine.encoders.towers  # noqa: F401  tells open_clip of our small models

    if name.startswith(LOCAL):
        return read_config(Path(name.removeprefix(LOCAL)))
    return deepcopy(open_clip.get_model_config(name)), {}


def _tag_config(name: str, tag: str) -> Document:
    import open_clip

    found: Document = open_clip.get_pretrained_cfg(name, tag)
    return found


def _is_other_model(name: str, difference: str) -> bool:
    """Whether a line of `differences` is more than a switch; a folder's model is as its folder says."""
    key = difference.partition(":")[0].rpartition(".")[2]
    return key in _SHAPES or name.startswith(LOCAL)


def _said_by(file: Path) -> tuple[Document, Document] | None:
    """The configuration beside a weights file of a checkpoint, or inside one that was exported."""
    from safetensors import SafetensorError, safe_open

    if file.name == WEIGHTS_NAME and (file.parent / CONFIG_NAME).is_file():
        return read_config(file.parent)
    if file.suffix != ".safetensors":
        return None
    try:
        with safe_open(file, "numpy") as opened:
            said = (opened.metadata() or {}).get(METADATA)
    except (OSError, SafetensorError):
        return None  # whoever loads it will say
    return None if said is None else check_config(said, f"{file}, its metadata")


def _guessed(name: str, file: Path) -> tuple[Document, tuple[str, ...]]:
    """Pixel statistics for weights that say nothing of themselves, and what was taken for granted."""
    import open_clip
    from open_clip.transform import PreprocessCfg

    remarks = []
    twin = f"{name}-quickgelu"
    if twin in open_clip.list_models():
        remarks.append(
            f"{file} does not say which activation it was trained with, and {name} has GELU; if it descends from "
            f"OpenAI's weights, name {twin} instead"
        )
    keys = ("mean", "std", "interpolation", "resize_mode")
    tags = [_tag_config(name, tag) for tag in open_clip.list_pretrained_tags_by_model(name)]
    usual = [{key: _plain(tag[key]) for key in keys if tag.get(key) is not None} for tag in tags]
    if not usual:
        return {}, tuple(remarks)
    if any(one != usual[0] for one in usual):
        remarks.append(
            f"weights of {name} differ in how images are prepared, and {file} does not say how: OpenAI's way is "
            f"taken; a folder with {CONFIG_NAME} beside the weights can say another"
        )
        return {}, tuple(remarks)
    plain = asdict(PreprocessCfg())
    changed = {key: value for key, value in usual[0].items() if value != _plain(plain[key])}
    if changed:
        told = ", ".join(f"{key} {value}" for key, value in changed.items())
        remarks.append(f"images are prepared as for open_clip's own weights of {name}: {told}")
    return changed, tuple(remarks)


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _overrides(plan: Blueprint) -> Document:
    """The configuration as arguments of ``create_model``, which begins with that of the name."""
    options: Document = {"quick_gelu": False, **deepcopy(dict(plan.model_cfg))}
    options["force_quick_gelu"] = bool(options["quick_gelu"])
    options["force_custom_text"] = bool(options.pop("custom_text", False))
    options["vision_cfg"]["timm_model_pretrained"] = False
    options["text_cfg"]["hf_model_pretrained"] = plan.tag is None and plan.file is None
    return options


def _check_model(model: object) -> None:
    from open_clip.coca_model import MultimodalCfg
    from open_clip.model import CLIPTextCfg, CLIPVisionCfg

    towers = {"vision_cfg": CLIPVisionCfg, "text_cfg": CLIPTextCfg, "multimodal_cfg": MultimodalCfg}
    if not isinstance(model, dict):
        raise ValueError("model_cfg is no object")
    for key in ("embed_dim", "vision_cfg", "text_cfg"):
        model[key]
    for key, value in model.items():
        if key in towers:
            _check_tower(key, value, get_type_hints(towers[key]))
        elif key in _TOP:
            _check_value(key, value, _TOP[key])
        else:
            raise ValueError(f"unknown key model_cfg.{key}")


def _check_tower(tower: str, values: object, kinds: Mapping[str, object]) -> None:
    if not isinstance(values, dict):
        raise ValueError(f"{tower} is no object")
    for key, value in values.items():
        name = f"{tower}.{key}"
        if key not in kinds:
            raise ValueError(f"unknown key {name}")
        _check_value(name, value, kinds[key])
        if key == "tokenizer_kwargs":
            unknown = (value or {}).keys() - _TOKENIZER
            if unknown:
                raise ValueError(f"unknown key {name}.{min(unknown)}")
        if key == "timm_model_name" and value and not _is_timms(value):
            raise ValueError(f"{name} is {value!r}, which timm does not have"[:300])
        if key == "hf_model_name" and value and not _is_known(key, value):
            raise ValueError(f"{name} is {value!r}, which no model of open_clip has"[:300])


def _check_value(name: str, value: object, kind: Hint) -> None:
    """Check a value, and what a nested object holds, against the kind that open_clip's data class declares.

    Raises:
        ValueError: it is of another kind, no finite number, or larger than any model needs.
    """
    from pydantic import TypeAdapter, ValidationError

    key = name.rpartition(".")[2]
    inner = list(value.values()) if isinstance(value, dict) else value if isinstance(value, list) else [value]
    fits = all(one is None or isinstance(one, str | bool) or _is_number(one) for one in inner)
    largest = _LARGEST.get(key, _LARGEST_NUMBER)
    fits = fits and all(abs(one) <= largest for one in inner if isinstance(one, int | float))
    if key == "image_size":
        fits = fits and len(set(inner)) == 1 and _is_number(inner[0]) and inner[0] >= 1  # square
    if fits and not (value is None and key in _MAY_BE_NONE):
        try:
            TypeAdapter(kind).validate_json(json.dumps(value), strict=True)
        except ValidationError:
            fits = False
    if not fits:
        raise ValueError(f"{name} is {value!r}"[:200])


def _is_timms(name: object) -> bool:
    """An architecture of timm's, or our own; ``hf-hub:...`` and ``local-dir:...`` are none."""
    import timm

    import negmine.encoders.towers  # noqa: F401  tells timm of it

    return isinstance(name, str) and bool(timm.is_model(name))


def _is_known(key: str, value: object) -> bool:
    """Whether one of open_clip's own models has this tower or tokenizer, so that it may be downloaded."""
    import open_clip

    return any(open_clip.get_model_config(one)["text_cfg"].get(key) == value for one in open_clip.list_models())


def _is_number(value: object) -> TypeGuard[float]:
    """Within what a float holds."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -inf < value < inf


def _tokenizer_folder(name: str) -> Path | None:
    folder = Path(name.removeprefix(LOCAL))
    there = name.startswith(LOCAL) and any((folder / file).is_file() for file in _TOKENIZER_FILES)
    return folder if there else None


@contextmanager
def _explained(plan: Blueprint) -> Iterator[None]:
    """Turn what open_clip and torch raise while weights are loaded into an error with both names."""
    from pickle import UnpicklingError

    from safetensors import SafetensorError

    where = str(plan.file or plan.tag or plan.name)
    try:
        yield
    except (
        RuntimeError,
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        AssertionError,
        ZeroDivisionError,
        IndexError,
        OverflowError,
        StopIteration,
        SafetensorError,
        EOFError,
        UnpicklingError,
        OSError,
    ) as error:
        why = " ".join(str(error).split())[:300]
        if is_out_of_memory(error):
            raise
        if "download" in why.lower() or (isinstance(error, OSError) and plan.file is None):
            raise ResourceError(
                f"could not download weights of {plan.name}",
                where=where,
                why=why,
                fix="give --pretrained the path of a weights file",
            ) from None
        raise DamagedError(
            f"these weights do not fit model {plan.name}",
            where=where,
            why=why,
            fix="name the --model that the weights were made for",
        ) from None
