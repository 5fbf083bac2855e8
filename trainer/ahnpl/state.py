"""A run under way, and how it is saved and taken up again."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from negmine.clip_models import effective
from negmine.errors import DamagedError, UsageError, is_out_of_memory
from negmine.store import differences
from torch import Tensor

from ahnpl import checkpoint as ckpt
from ahnpl.evaluate.run import Report
from ahnpl.lora import plain_state
from ahnpl.losses import RecipeLoss
from ahnpl.mfu import Work
from ahnpl.model import ClipModel
from ahnpl.objective import Objective
from ahnpl.optimise import optimiser_tensors, restore_optimiser
from ahnpl.plan import Plan
from ahnpl.stream import Legible, Stream
from ahnpl.teacher import Shadow
from ahnpl.track import Tracker


@dataclass
class Run:
    """The state of a run under way.

    Attributes:
        average: of the weights; None without ``--ema``.
        stop: set when this process was told to stop; `stopped` when all ranks have agreed to.
    """

    plan: Plan
    folder: Path
    model: ClipModel
    stream: Stream
    objective: Objective
    average: Shadow | None
    optimiser: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    stop: threading.Event
    work: Work
    stopped: bool = False
    trackers: list[Tracker] = field(default_factory=list)
    step: int = 0
    resumed: int = 0
    seconds: float = 0.0
    samples: int = 0
    bad: int = 0
    legible: Legible = field(default_factory=Legible)
    report: Report | None = None

    @property
    def loss(self) -> RecipeLoss:
        return self.plan.loss


def save(run: Run) -> Path:
    """Write a checkpoint of the run as it stands and return its folder.

    With ``--ema`` its weights for open_clip are the average, with ``--lora`` the merged ones; the run's own weights are
    then with the optimiser's state.
    """
    network, average, teacher = run.model.network, run.average, run.objective.teacher
    training = {
        **optimiser_tensors(run.optimiser),
        **_prefixed("loss", run.loss.state_dict()),
        **_prefixed("network", network.state_dict() if _kept_apart(run) else {}),
        **_prefixed("teacher", teacher.state if teacher else {}),
    }
    state = {
        "step": run.step, "model": run.plan.config.model, "settings": run.plan.settings,
        "scaler": run.scaler.state_dict(),
    }  # fmt: skip
    weights = plain_state(average.model.network if average else network)
    return ckpt.save(run.folder, ckpt.Checkpoint(weights, run.model.config, training, state))


def restore(run: Run, folder: Path) -> None:
    """Put a run back to where a checkpoint was written. Every rank reads it.

    Raises:
        DamagedError: the checkpoint is damaged.
    """
    saved = ckpt.load(folder)
    _check_configuration(run.model, saved, folder)
    try:
        _put_back(run, saved)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        raise DamagedError(
            "this checkpoint does not hold this run", where=str(folder), why=" ".join(str(error).split())[:300],
            fix="resume from an earlier one, or start again with --overwrite",
        ) from None  # fmt: skip


def _put_back(run: Run, saved: ckpt.Checkpoint) -> None:
    network, average, teacher = run.model.network, run.average, run.objective.teacher
    if average:
        average.model.network.load_state_dict(dict(saved.model))
    network.load_state_dict(_without("network", saved.training) if _kept_apart(run) else dict(saved.model))
    if teacher and teacher.state:
        teacher.model.network.load_state_dict(_without("teacher", saved.training))
    run.loss.load_state_dict(_without("loss", saved.training))
    restore_optimiser(run.optimiser, saved.training)
    run.scaler.load_state_dict(saved.state["scaler"])
    run.step = run.resumed = saved.state["step"]


def _check_configuration(model: ClipModel, saved: ckpt.Checkpoint, folder: Path) -> None:
    """Weights go on in the layers, and with the pixels, that they were trained with."""
    then, now = (_configuration(config) for config in (saved.config, model.config))
    changed = differences(then, now, "configuration")
    if changed:
        raise DamagedError(
            "this run was begun with a model of another configuration",
            where=str(folder),
            why="; ".join(changed),
            fix="start again with --overwrite, or continue it in another --out with --pretrained and this folder",
        )


def _configuration(config: Mapping[str, Any]) -> dict[str, Any]:
    """What there is to compare; the pictures' size is the tower's."""
    pixels = json.loads(json.dumps(config["preprocess_cfg"]))
    pixels.pop("size", None)
    return {"model_cfg": effective(config["model_cfg"]), "preprocess_cfg": pixels}


def _kept_apart(run: Run) -> bool:
    """Whether a run's weights are not those that open_clip is to load."""
    return run.average is not None or bool(run.plan.config.lora)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `_prefixed` was given."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}


def starting_point(plan: Plan, folder: Path, overwrite: bool) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Args:
        overwrite: first remove what an earlier run left in the folder.

    Raises:
        UsageError: ``--resume never`` in a folder that holds a run.
        DamagedError: the checkpoint is of another model or of other settings.
    """
    if overwrite:
        for name in ("checkpoints", ckpt.BEST_NAME, "metrics.jsonl"):
            _remove(folder / name)
    if folder.is_dir():
        ckpt.remove_unfinished(folder)
    resume, earlier = plan.config.resume, ckpt.list_checkpoints(folder)
    if resume == "never" and earlier:
        raise UsageError(
            "this folder already holds a run",
            where=str(folder),
            fix="choose another --out, resume it (--resume auto), or remove it with --overwrite",
        )
    if resume not in {"auto", "never"}:
        start = ckpt.find_checkpoint(Path(resume))
    elif earlier:
        start = earlier[-1]
    else:
        return None
    _check_settings(plan, start)
    return start


def _check_settings(plan: Plan, start: Path) -> None:
    state = ckpt.read_state(start)
    if state["model"] != plan.config.model:
        raise DamagedError(
            f"this checkpoint is of model {state['model']}, not of {plan.config.model}",
            where=str(start),
            fix=f"use --model {state['model']}, or another --out",
        )
    changed = differences(state["settings"], plan.settings, "settings")
    if changed:
        raise DamagedError(
            "this run was begun with other settings",
            where=str(start),
            why="; ".join(changed),
            fix="use the same settings, choose another --out, or start again with --overwrite",
        )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
