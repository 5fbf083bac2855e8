"""Checkpoints: folders that appear whole or not at all, and that open_clip loads as they are.

RUN/checkpoints/step-00000100/
    open_clip_config.json        with the weights: ``open_clip.create_model("local-dir:FOLDER")``
    open_clip_model.safetensors
    training.safetensors         optimiser, loss state, random state
    state.json                   step, settings, counters
RUN/best.json                    which step evaluated best
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from negmine.errors import DamagedError, ResourceError, UsageError, explain_os_error

if TYPE_CHECKING:
    from torch import Tensor

VERSION: Final = 1
CONFIG_NAME: Final = "open_clip_config.json"
WEIGHTS_NAME: Final = "open_clip_model.safetensors"
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
    temporary = path.with_name(f".{path.name}.new")
    _write_bytes(temporary, json.dumps(body, indent=1, ensure_ascii=False).encode())
    temporary.replace(path)
    _sync_folder(path.parent)


@contextmanager
def lock(run: Path) -> Iterator[None]:
    """Hold a run folder; the kernel lets go when this process ends, however it ends.

    Raises:
        ResourceError: another process holds it.
    """
    run.mkdir(parents=True, exist_ok=True)
    with (run / ".lock").open("a+", encoding="utf-8") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            raise ResourceError(
                "another run is writing to this folder",
                where=str(run),
                why=f"held by {handle.read().strip() or 'an unnamed process'}",
                fix="wait for it, or choose another --out",
            ) from None
        handle.truncate(0)
        handle.write(f"host {socket.gethostname()}, process {os.getpid()}")
        handle.flush()
        yield


def _write_folder(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save as to_bytes

    temporary = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        _write_bytes(temporary / WEIGHTS_NAME, to_bytes(_contiguous(checkpoint.model)))
        _write_bytes(temporary / TRAINING_NAME, to_bytes(_contiguous(checkpoint.training)))
        write_json(temporary / CONFIG_NAME, checkpoint.config)
        write_json(temporary / STATE_NAME, {"version": VERSION, **checkpoint.state})
        temporary.rename(folder)
    except OSError as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise explain_os_error(error, str(folder)) from None
    _sync_folder(folder.parent)


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as safetensors demands."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _write_bytes(path: Path, content: bytes) -> None:
    with path.open("wb") as handle:
        handle.write(content)
        handle.flush()
        os.fsync(handle.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
