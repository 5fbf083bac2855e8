"""Where a run goes on from, and whether it may."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import note
from negmine.base.errors import DamagedError, UsageError
from negmine.store import differences

from ahnpl.model import checkpoint as ckpt
from ahnpl.training.config import begun_with
from ahnpl.training.plan import DRAWS, Plan


def starting_point(plan: Plan, folder: Path, overwrite: bool) -> Path | None:
    """The checkpoint to go on from; None to begin.

    Args:
        overwrite: first remove what an earlier run left in the folder.

    Raises:
        UsageError: ``--resume never`` in a folder that holds a run.
        DamagedError: the checkpoint is of another model or of other settings, or ``checkpoints`` is a link.
    """
    if overwrite:
        for name in ("checkpoints", ckpt.BEST_NAME, "metrics.jsonl"):
            ckpt.remove(folder / name)
    _check_no_link(folder / "checkpoints")
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


def _lengthened(begun: dict[str, object], plan: Plan) -> dict[str, object]:
    """The settings that a run was begun with, but with the length that it has now if that is no shorter."""
    steps, epochs = begun["steps"], begun["epochs"]
    if not isinstance(epochs, int) or not isinstance(steps, int | None):
        return begun  # damaged, which the comparison will say
    before = plan.steps_of(steps, epochs)
    if before > plan.steps:
        return begun
    if before < plan.steps and plan.ranks.first:
        note(
            f"this run was begun with {before:,} steps and is made longer, to {plan.steps:,}: from here on the "
            "learning rate is that of the longer run"
        )
    return {**begun, **{name: plan.settings[name] for name in ("steps", "epochs")}}


def _check_no_link(checkpoints: Path) -> None:
    """Old checkpoints are removed; a link would let whoever hands on a run choose whose."""
    if checkpoints.is_symlink():
        raise DamagedError(
            "this folder of checkpoints is a link",
            where=str(checkpoints),
            why="a run writes and removes nothing outside of its folder",
            fix="remove the link; to have a run on another disk, name that place with --out",
        )


def _check_settings(plan: Plan, start: Path) -> None:
    state = ckpt.read_state(start)
    if state["model"] != plan.config.model:
        raise DamagedError(
            f"this checkpoint is of model {state['model']}, not of {plan.config.model}",
            where=str(start),
            fix=f"use --model {state['model']}, or another --out",
        )
    if state["settings"].get("draws") != DRAWS:
        raise DamagedError(
            "this run was begun by a version of ahnpl that draws otherwise",
            where=str(start),
            why="the same seed gave another order, other crops and other negatives: what follows were another run",
            fix="finish it with that version, start again with --overwrite, or go on from its weights in another --out "
            "with --pretrained and this folder",
        )
    begun = _lengthened(begun_with(state["settings"]), plan)
    changed = differences(begun, plan.settings, "settings")
    if changed:
        raise DamagedError(
            "this run was begun with other settings",
            where=str(start),
            why="; ".join(changed),
            fix="use the same settings, choose another --out, or start again with --overwrite",
        )
