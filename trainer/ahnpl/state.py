"""A run under way, and how it is saved and taken up again."""

from __future__ import annotations

import shutil
import threading
from dataclasses import dataclass, field
from pathlib import Path

import torch
from negmine.errors import DamagedError, UsageError
from negmine.store import differences

from ahnpl import checkpoint as ckpt
from ahnpl.evaluate.run import Report
from ahnpl.losses import RecipeLoss
from ahnpl.model import ClipModel
from ahnpl.optimise import optimiser_tensors, restore_optimiser
from ahnpl.plan import Plan
from ahnpl.stream import Stream
from ahnpl.track import Tracker


@dataclass
class Run:
    """The state of a run under way."""

    plan: Plan
    folder: Path
    model: ClipModel
    stream: Stream
    optimiser: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    stop: threading.Event
    trackers: list[Tracker] = field(default_factory=list)
    step: int = 0
    resumed: int = 0
    seconds: float = 0.0
    samples: int = 0
    bad: int = 0
    report: Report | None = None

    @property
    def loss(self) -> RecipeLoss:
        return self.plan.loss


def save(run: Run) -> Path:
    """Write a checkpoint of the run as it stands and return its folder."""
    random = {"random.cpu": torch.get_rng_state()}
    if run.plan.device.type == "cuda":
        random["random.cuda"] = torch.cuda.get_rng_state()
    loss = {f"loss.{name}": tensor for name, tensor in run.loss.state_dict().items()}
    state = {
        "step": run.step, "model": run.plan.config.model, "settings": run.plan.settings,
        "scaler": run.scaler.state_dict(),
    }  # fmt: skip
    training = {**optimiser_tensors(run.optimiser), **loss, **random}
    return ckpt.save(run.folder, ckpt.Checkpoint(run.model.network.state_dict(), run.model.config, training, state))


def restore(run: Run, folder: Path) -> None:
    """Put a run back to where a checkpoint was written.

    Raises:
        DamagedError: the checkpoint is damaged.
    """
    saved = ckpt.load(folder)
    run.model.network.load_state_dict(dict(saved.model))
    loss = {name.removeprefix("loss."): t for name, t in saved.training.items() if name.startswith("loss.")}
    run.loss.load_state_dict(loss)
    restore_optimiser(run.optimiser, saved.training)
    run.scaler.load_state_dict(saved.state["scaler"])
    torch.set_rng_state(saved.training["random.cpu"])
    if "random.cuda" in saved.training and run.plan.device.type == "cuda":
        torch.cuda.set_rng_state(saved.training["random.cuda"])
    run.step = run.resumed = int(saved.state["step"])


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
