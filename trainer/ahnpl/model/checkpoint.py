"""Checkpoints: folders that appear whole or not at all, and that open_clip or transformers loads as they are.

RUN/checkpoints/step-00000100/
    open_clip_config.json        with the weights: ``open_clip.create_model("local-dir:FOLDER")``
    open_clip_model.safetensors
    tokenizer.json ...           where the tokenizer is not CLIP's; all of a Hugging Face model is as its folder has it
    training.safetensors         optimiser, loss state, random state
    state.json                   step, settings, counters, the sha256 of the tensors; sealed by a checksum of its own
RUN/best.json                    which step evaluated best
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from negmine.base.documents import Document
from negmine.base.errors import DamagedError, UsageError, explain_os_error
from negmine.base.seal import seal, unseal
from negmine.base.whole_files import read_whole
from negmine.encoders.clip_models import LOCAL, WEIGHTS_NAME
from negmine.encoders.hugging_face import FAMILY, HF_WEIGHTS
from negmine.store import file_sha256, remove_leftovers, sync_folder, write_file, write_text

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
        model: the network's state.
        training: optimiser, loss and random state, flat names to tensors.
        state: numbers, names and settings; see `read_state`.
        weights_name: of the file with the network's state.
        files: what lies beside it, so that the model can be made again.
    """

    model: Mapping[str, Tensor]
    training: Mapping[str, Tensor]
    state: Document
    weights_name: str
    files: Mapping[str, bytes] = field(default_factory=dict)


def save(run: Path, checkpoint: Checkpoint) -> Path:
    """Write the checkpoint of ``state["step"]``, if it is not there yet, and return its folder.

    Raises:
        ResourceError: the disk is full or not writable; no half checkpoint remains.
    """
    folder = run / "checkpoints" / f"step-{checkpoint.state['step']:08d}"
    if not folder.exists():
        _write_folder(folder, checkpoint)
    return folder


def remove_unfinished(run: Path) -> None:
    """Remove what a killed run was writing; nobody else may be writing here."""
    for folder in (run / "checkpoints").glob(_temporary("*")):
        remove(folder)
    remove_leftovers(run)


def remove(path: Path) -> None:
    """Remove a folder or a file; of a link the link, for what it leads to is not the run's."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def prune(run: Path, keep: int) -> None:
    """Remove checkpoints, except the last `keep` and the best."""
    best = read_best(run)
    for old in list_checkpoints(run)[:-keep]:
        if best is None or old.name != best["checkpoint"]:
            remove(old)


def load(folder: Path) -> Checkpoint:
    """Read a checkpoint back.

    Raises:
        DamagedError: a file is missing, cut, or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    state, weights_name = read_state(folder), weights_in(folder) or WEIGHTS_NAME
    for name in (weights_name, TRAINING_NAME):
        verify(folder, name)
    try:
        tensors = [load_file(folder / name) for name in (weights_name, TRAINING_NAME)]
    except (OSError, SafetensorError) as error:
        raise DamagedError(
            "this checkpoint is damaged", where=str(folder), why=str(error), fix="resume from an earlier one"
        ) from None
    return Checkpoint(tensors[0], tensors[1], state, weights_name)


def verify(folder: Path, name: str) -> None:
    """Compare a file of a checkpoint with the checksum that was written with it; earlier versions wrote none.

    Raises:
        DamagedError: it is missing, or has changed.
    """
    known = read_state(folder).get("sha256", {}).get(name)
    try:
        changed = known is not None and file_sha256(folder / name) != known
    except OSError as error:
        raise DamagedError("this checkpoint is damaged", where=str(folder / name), why=str(error)) from None
    if changed:
        raise DamagedError(
            "this checkpoint is damaged",
            where=str(folder / name),
            why="its checksum differs",
            fix=f"use an earlier one; if you changed the file yourself, remove {STATE_NAME} beside it to evaluate it",
        )


def list_checkpoints(run: Path) -> list[Path]:
    """Checkpoint folders of a run, oldest first."""
    return sorted((run / "checkpoints").glob("step-*"))


def find_checkpoint(path: Path) -> Path:
    """The checkpoint a path means: itself, or a run's best, or its latest.

    Raises:
        UsageError: there is none.
    """
    if weights_in(path):
        return path
    best = read_best(path)
    if best is not None:
        folder = path / "checkpoints" / str(best["checkpoint"])
        if not folder.is_dir():
            raise DamagedError(
                "the best checkpoint is gone",
                where=str(path / BEST_NAME),
                why=f"it names {folder.name}",
                fix=f"name another checkpoint, or remove {BEST_NAME}: the latest is then taken",
            )
        return folder
    found = list_checkpoints(path)
    if not found:
        raise UsageError("no checkpoint here", where=str(path), fix="name a run folder or a checkpoint folder")
    return found[-1]


def weights_in(folder: Path) -> str | None:
    """The file of weights that a folder has, of open_clip's or Hugging Face's layout; None if it has none."""
    return next((name for name in (WEIGHTS_NAME, HF_WEIGHTS) if (folder / name).is_file()), None)


def place_of(folder: Path) -> str:
    """The name by which the model in a folder is made again."""
    return f"{FAMILY if weights_in(folder) == HF_WEIGHTS else LOCAL}{folder}"


def read_state(folder: Path) -> Document:
    """``state.json`` of a checkpoint: ``step``, ``model``, ``settings`` and ``scaler`` at least.

    Raises:
        DamagedError: unreadable, edited, of another version or another step, or without one of these.
    """
    path = folder / STATE_NAME
    state = read_json(path)
    if state.get("version") != VERSION:
        raise DamagedError(
            f"checkpoint of version {state.get('version')}, this ahnpl reads {VERSION}", where=str(folder)
        )
    if "checksum" in state:  # earlier versions wrote none
        state = unseal(read_whole(path).decode(), str(path), "use an earlier checkpoint")
    kinds = {"step": int, "model": str, "settings": dict, "scaler": dict}
    wrong = [name for name, kind in kinds.items() if type(state.get(name)) is not kind]
    wrong += ["sha256"] if not isinstance(state.get("sha256", {}), dict) else []
    if wrong:
        raise DamagedError("this file is damaged", where=str(path), why=f"no usable {', '.join(wrong)}")
    named = re.fullmatch(r"step-(\d+)", folder.name)
    if state["step"] < 0 or (named and int(named[1]) != state["step"]):
        raise DamagedError(
            "this file is damaged", where=str(path), why=f"it says step {state['step']}, its folder another"
        )
    return state


def model_name_of(folder: Path) -> str:
    """The model that a checkpoint is of."""
    return str(read_state(folder)["model"])


def read_best(run: Path) -> Document | None:
    """``best.json`` of a run: ``checkpoint`` and ``score`` at least; None if nothing was evaluated yet.

    Raises:
        DamagedError: it has no such content.
    """
    path = run / BEST_NAME
    if not path.is_file():
        return None
    best = read_json(path)
    name, score = best.get("checkpoint"), best.get("score")
    if isinstance(name, str) and re.fullmatch(r"step-\d+", name) and type(score) in (int, float):
        return best
    raise DamagedError(
        "this file is damaged",
        where=str(path),
        why="it names no checkpoint with its score",
        fix="remove it: the latest checkpoint is then taken",
    )


def read_json(path: Path) -> Document:
    """A JSON object from a file.

    Raises:
        DamagedError: unreadable or no object.
    """
    try:
        body = json.loads(read_whole(path).decode())
    except (OSError, ValueError, RecursionError) as error:
        raise DamagedError("cannot read this file", where=str(path), why=str(error)) from None
    if not isinstance(body, dict):
        raise DamagedError("this file should hold a JSON object", where=str(path))
    return body


def write_json(path: Path, body: Mapping[str, object]) -> None:
    """Write a JSON object so that the file is either the old or the new one."""
    write_text(path.parent, path.name, as_json(body))


def as_json(body: Mapping[str, object]) -> str:
    return json.dumps(body, indent=1, ensure_ascii=False)


def _write_folder(folder: Path, checkpoint: Checkpoint) -> None:
    from safetensors.torch import save as to_bytes

    temporary = folder.with_name(_temporary(folder.name))
    try:
        remove(temporary)
        temporary.mkdir(parents=True)
        sums = {}
        for name, tensors in ((checkpoint.weights_name, checkpoint.model), (TRAINING_NAME, checkpoint.training)):
            record = write_file(temporary, name, partial(_write_bytes, to_bytes(_contiguous(tensors))))
            sums[name] = record.sha256
        for name, content in checkpoint.files.items():
            write_file(temporary, name, partial(_write_bytes, content))
        write_text(temporary, STATE_NAME, seal({"version": VERSION, **checkpoint.state, "sha256": sums}))
        temporary.rename(folder)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    sync_folder(folder.parent)


def _temporary(name: str) -> str:
    """What the folder of a checkpoint is called while it is written."""
    return f".{name}.new"


def _contiguous(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies that share no memory, as safetensors demands."""
    return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}


def _write_bytes(content: bytes, stream: IO[bytes]) -> int:
    stream.write(content)
    return 0
