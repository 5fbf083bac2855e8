"""Weights for others: what open_clip or transformers loads, merged with the run's start if asked (WiSE-FT)."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import IO, Final

import torch
from negmine.base.errors import DamagedError, InputError, UsageError, explain_os_error
from negmine.encoders.clip_models import LOCAL
from negmine.encoders.hugging_face import FAMILY
from negmine.encoders.towers import OWN_TOWER
from negmine.store import remove_leftovers, write_file
from open_clip.transform import PreprocessCfg
from torch import Tensor

from ahnpl.model.checkpoint import STATE_NAME, find_checkpoint, model_name_of, read_json
from ahnpl.model.clip import ClipModel, ModelSpec, is_own, load_model

RUN_NAME: Final = "run.json"
SUFFIXES: Final = (".safetensors", ".pt")


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        weights: the file.
        imports: Python that comes before `load`.
        load: Python that makes the model.
    """

    weights: Path
    imports: str
    load: str


def start_of(checkpoint: Path) -> ModelSpec:
    """What the run of a checkpoint began with: its model, pretrained weights and seed.

    Raises:
        UsageError: no checkpoint here, or no run above it.
    """
    run = find_checkpoint(checkpoint).parent.parent
    if not (run / RUN_NAME).is_file():
        raise UsageError(
            "what this checkpoint was trained from is not recorded",
            where=str(checkpoint),
            why=f"{run / RUN_NAME} is missing",
            fix="name the start yourself: open_clip:MODEL:PRETRAINED, init:MODEL:SEED, or a checkpoint",
        )
    record = read_json(run / RUN_NAME)
    try:
        config, settings = record["config"], record.get("settings", {})
        spec = ModelSpec(config["model"], config["pretrained"], config["seed"], settings.get("preprocess"))
        if not isinstance(spec.name, str) or not isinstance(spec.pretrained, str | None):
            raise TypeError(f"{spec.name!r}, {spec.pretrained!r} as names")
    except (KeyError, TypeError, AttributeError) as error:
        raise DamagedError("this run has no usable record", where=str(run / RUN_NAME), why=f"no {error}") from None
    return spec


def merge(start: Mapping[str, Tensor], end: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """``(1 - alpha) start + alpha end``, tensor by tensor (WiSE-FT, Wortsman et al., CVPR 2022).

    At 0 and 1 the bytes are those of `start` and `end`. Whole numbers are taken from `end`.

    Raises:
        UsageError: `alpha` is not within [0, 1].
        DamagedError: the two have other tensors.
    """
    if not 0 <= alpha <= 1:
        raise UsageError(f"--alpha is {alpha:g}", fix="0 is the start, 1 is the trained model")
    different = [
        f"{name}: {_shape(start.get(name))} and {_shape(end.get(name))}"
        for name in sorted(start.keys() | end.keys())
        if _shape(start.get(name)) != _shape(end.get(name))
    ]
    if different:
        raise DamagedError(
            "these two models cannot be merged",
            why=f"{len(different)} tensors differ, such as {'; '.join(different[:3])}",
            fix="merge a run with what it began with",
        )
    return {name: _between(start[name], tensor, alpha) for name, tensor in end.items()}


def export(model: ClipModel, out: Path, *, overwrite: bool = True) -> Exported:
    """Write a model's weights to a ``.safetensors`` or ``.pt`` file, or a folder for ``local-dir:``.

    A Hugging Face model becomes a folder as it was one.

    Args:
        overwrite: what is at `out`; without it, only what is missing of these very files is written.

    Raises:
        UsageError: another suffix, a file for a model that open_clip knows no name of, or something else is at `out`.
        InputError: a weight is not finite.
        ResourceError: the disk is full or not writable; no half file remains. Or the tokenizer of a folder could not
            be downloaded.
    """
    state = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in model.network.state_dict().items()}
    broken = [name for name, tensor in state.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(
            f"{len(broken)} tensors are not finite", where=f"{broken[0]}, ...", fix="use an earlier checkpoint"
        )
    if out.suffix and out.suffix not in SUFFIXES:
        raise UsageError(f"{out.suffix} is no format of weights", fix=f"one of {', '.join(SUFFIXES)}, or a folder")
    imports, load = _how_to_load(model, out)
    weights = out if out.suffix else out / model.weights_name
    files = {out / name: content for name, content in ({} if out.suffix else model.files).items()}
    files[weights] = _to_bytes(state, weights.suffix, model.metadata)
    try:
        for path in files:
            if path.parent.is_dir():
                remove_leftovers(path.parent, path.name)
        if not overwrite and _is_other(out, files):
            raise UsageError(
                "something else is there already", where=str(out), fix="choose another --out, or --overwrite"
            )
        weights.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, str(out)) from None
    for path, content in files.items():
        write_file(path.parent, path.name, partial(_write, content))
    return Exported(weights, imports, load)


def _is_other(out: Path, files: Mapping[Path, bytes]) -> bool:
    """Whether a place holds what a killed run of the same command did not write."""
    there = {out} if out.is_file() else set(out.iterdir()) if out.is_dir() else set()
    return any(path not in files or not path.is_file() or path.read_bytes() != files[path] for path in there)


def merged(model: ClipModel, start: ClipModel, alpha: float) -> ClipModel:
    """`model` with the weights of `merge`; it is changed in place.

    Raises: see `merge`.
    """
    model.network.load_state_dict(merge(start.network.state_dict(), model.network.state_dict(), alpha))
    return model


def load_start(checkpoint: Path) -> ClipModel:
    """The model that a run began with.

    Raises: see `start_of` and `load_model`.
    """
    return load_model(start_of(checkpoint))


def _how_to_load(model: ClipModel, out: Path) -> tuple[str, str]:
    """Python that comes before, and Python that makes the model."""
    if model.spec.name.startswith(FAMILY):
        if out.suffix:
            raise UsageError(
                "a Hugging Face model is a folder", where=str(out), fix="name a folder: --out FOLDER, without a suffix"
            )
        return "import transformers", f'transformers.AutoModel.from_pretrained("{out}")'
    return _imports(model, out), f"open_clip.create_model({_arguments(model, out)})"


def _imports(model: ClipModel, out: Path) -> str:
    """A file names one of our small models, or a folder our image tower: open_clip must be told what that is."""
    tower = model.config["model_cfg"]["vision_cfg"].get("timm_model_name")
    is_ours = is_own(model_name(model)) if out.suffix else tower == OWN_TOWER
    return "import open_clip, negmine.encoders.towers" if is_ours else "import open_clip"


def _arguments(model: ClipModel, out: Path) -> str:
    """How open_clip is to be called: it must be told of QuickGELU, and of pixels that are not prepared as OpenAI's."""
    if not out.suffix:
        return f'"local-dir:{out}"'
    name = model_name(model)
    if name.startswith(LOCAL):
        raise UsageError(
            "open_clip has no name for this model", where=name, fix="name a folder: --out FOLDER, without a suffix"
        )
    quick = ", force_quick_gelu=True" if model.config["model_cfg"].get("quick_gelu") else ""
    plain = json.loads(json.dumps(asdict(PreprocessCfg())))
    pixels = {key: value for key, value in model.preprocess.items() if key != "size" and _plain(value) != plain[key]}
    how = f", force_preprocess_cfg={pixels}" if pixels else ""
    return f'"{name}", pretrained="{out}"{quick}{how}'


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def model_name(model: ClipModel) -> str:
    """open_clip's name of a model; that of a checkpoint is the one it was trained under."""
    name = model.spec.name
    return model_name_of(Path(name.removeprefix(LOCAL))) if name.startswith(LOCAL) and _is_ours(name) else name


def _is_ours(name: str) -> bool:
    return (Path(name.removeprefix(LOCAL)) / STATE_NAME).is_file()


def _between(start: Tensor, end: Tensor, alpha: float) -> Tensor:
    if alpha == 1 or not end.is_floating_point():
        return end
    return start.clone() if alpha == 0 else ((1 - alpha) * start.double() + alpha * end.double()).to(end.dtype)


def _shape(tensor: Tensor | None) -> str | tuple[int, ...]:
    return "missing" if tensor is None else tuple(tensor.shape)


def _to_bytes(state: dict[str, Tensor], suffix: str, metadata: dict[str, str]) -> bytes:
    if suffix == ".pt":
        buffer = io.BytesIO()
        torch.save(state, buffer)
        return buffer.getvalue()
    from safetensors.torch import save

    return save(state, metadata)


def _write(content: bytes, stream: IO[bytes]) -> int:
    stream.write(content)
    return 0
