"""Checkpoints: folders that appear whole or not at all, and that open_clip loads as they are.

RUN/checkpoints/step-00000100/
    open_clip_config.json        with the weights: ``open_clip.create_model("local-dir:FOLDER")``
    open_clip_model.safetensors
    training.safetensors         optimiser, loss state, random state
    state.json                   step, settings, counters
RUN/best.json                    which step evaluated best
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final

from negmine.clip_models import CONFIG_NAME, WEIGHTS_NAME
from negmine.errors import DamagedError, UsageError, explain_os_error
from negmine.store import sync_folder, write_file, write_text

if TYPE_CHECKING:
    from torch import Tensor

VERSION: Final = 1
TRAINING_NAME: Final = "training.safetensors"
STATE_NAME: Final = "state.json"
BEST_NAME: Final = "best.json"


@dataclass(frozen=True)
class Checkpoint:
    """What a run needs to go on.

    Attributes:
        model: the open_clip network's state.
        config: its open_clip configuration.
        training: optimiser, loss and random state, flat names to tensors.
        state: numbers, names and settings; ``step`` and ``model`` at least.
    """

    model: Mapping[str, Tensor]
    config: Mapping[str, Any]
    training: Mapping[str, Tensor]
    state: Mapping[str, Any]


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of ``state["step"]``, if it is not there yet, and return its folder.

    Raises:
        ResourceError: the disk is full or not writable; no half checkpoint remains.
    """
    folder = run / "checkpoints" / f"step-{checkpoint.state['step']:08d}"
    if not folder.exists():
        _write_folder(folder, checkpoint)
    return folder


def prune(run: Path, keep: int) -> None:
    """Remove checkpoints, except the last `keep` and the best."""
    best = read_best(run)
    for old in list_checkpoints(run)[:-keep]:
        if best is None or old.name != best["checkpoint"]:
            shutil.rmtree(old)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        DamagedError: a file is missing, cut, or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = [load_file(folder / name) for name in (WEIGHTS_NAME, TRAINING_NAME)]
    except (OSError, SafetensorError) as error:
        raise DamagedError(
            "this checkpoint is damaged", where=str(folder), why=str(error), fix="resume from an earlier one"
        ) from None
    return Checkpoint(tensors[0], read_json(folder / CONFIG_NAME), tensors[1], read_state(folder))


def list_checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint a path means: itself, or a run's best, or its latest.

    Raises:
        UsageError: there is none.
    """
    if (path / WEIGHTS_NAME).is_file():
        return path
    best = read_best(path)
    if best is not None:
        return path / "checkpoints" / str(best["checkpoint"])
    found = list_checkpoints(path)
    if not found:
        raise UsageError("no checkpoint here", where=str(path), fix="name a run folder or a checkpoint folder")
    return found[-1]


def read_state(folder: Path) -> dict[str, Any]:
    """``state.json`` of a checkpoint."""
    state = read_json(folder / STATE_NAME)
    if state.get("version") != VERSION:
        raise DamagedError(
            f"checkpoint of version {state.get('version')}, this ahnpl reads {VERSION}", where=str(folder)
        )
    return state


def model_name_of(folder: Path) -> str:
    """The model that a checkpoint is of."""
    return str(read_state(folder)["model"])


def read_best(run: Path) -> dict[str, Any] | None:
    """``best.json`` of a run; None if nothing was evaluated yet."""
    path = run / BEST_NAME
    return read_json(path) if path.is_file() else None


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file.

    Raises:
        DamagedError: unreadable or no object.
    """
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DamagedError("cannot read this file", where=str(path), why=str(error)) from None
    if not isinstance(body, dict):
        raise DamagedError("this file should hold a JSON object", where=str(path))
    return body


def write_json(path: Path, body: Mapping[str, Any]) -> None:
    """Write a JSON object so that the file is either the old or the new one."""
    write_text(path.parent, path.name, json.dumps(body, indent=1, ensure_ascii=False))


def _write_folder(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save as to_bytes

    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        for name, tensors in ((WEIGHTS_NAME, checkpoint.model), (TRAINING_NAME, checkpoint.training)):
            write_file(temporary, name, partial(_write_bytes, to_bytes(_contiguous(tensors))))
        write_json(temporary / CONFIG_NAME, checkpoint.config)
        write_json(temporary / STATE_NAME, {"version": VERSION, **checkpoint.state})
        temporary.rename(folder)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(folder.parent)


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as safetensors demands."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _write_bytes(content: bytes, stream: IO[bytes]) -> int:
    stream.write(content)
    return 0
