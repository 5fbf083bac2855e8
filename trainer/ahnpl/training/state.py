"""What a run has learnt, and how that is kept and put back bit for bit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from negmine.base.errors import DamagedError, is_out_of_memory
from negmine.store import differences
from torch import Tensor

from ahnpl.losses import RecipeLoss
from ahnpl.model import checkpoint as ckpt
from ahnpl.model.clip import ClipModel
from ahnpl.model.lora import plain_state
from ahnpl.model.sharded import gathered, load_whole
from ahnpl.training.ema import EmaModel, Teacher
from ahnpl.training.optimise import optimiser_tensors, restore_optimiser
from ahnpl.training.plan import Plan


@dataclass
class TrainState:
    """Everything that a step changes.

    Attributes:
        average: of the weights; None without ``--ema``.
        teacher: that the loss learns from; None where it asks for none.
        step: optimiser steps done.
    """

    model: ClipModel
    loss: RecipeLoss
    optimiser: torch.optim.AdamW
    scaler: torch.amp.GradScaler
    average: EmaModel | None
    teacher: Teacher | None
    step: int = 0


def snapshot(state: TrainState, plan: Plan) -> ckpt.Checkpoint:
    """What a checkpoint keeps; with ``--fsdp`` all ranks have to ask together, and rank 0 alone gets it.

    With ``--ema`` the model's weights in it are the average, with ``--lora`` the merged ones; the run's own weights are
    then with the optimiser's state.
    """
    network = state.model.network
    training = {
        **optimiser_tensors(state.optimiser),
        **_prefixed("loss", state.loss.state_dict()),
        **_prefixed("network", network.state_dict() if _kept_apart(state, plan) else {}),
        **_prefixed("teacher", state.teacher.state if state.teacher else {}),
    }
    told = {
        "step": state.step,
        "model": plan.config.model,
        "settings": plan.settings,
        "scaler": state.scaler.state_dict(),
    }
    weights = plain_state(state.average.model.network if state.average else network)
    weights, training = (gathered(tensors, plan.ranks.first) for tensors in (weights, training))
    return ckpt.Checkpoint(weights, training, told, state.model.weights_name, state.model.files)


def restore_state(state: TrainState, plan: Plan, folder: Path) -> None:
    """Put a state back to where a checkpoint was written. Every rank reads it.

    Raises:
        DamagedError: the checkpoint is damaged.
    """
    saved = ckpt.load(folder)
    _check_configuration(state.model, folder)
    try:
        _put_back(state, plan, saved)
    except (RuntimeError, KeyError, TypeError, ValueError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        raise DamagedError(
            "this checkpoint does not hold this run",
            where=str(folder),
            why=" ".join(str(error).split())[:300],
            fix="resume from an earlier one, or start again with --overwrite",
        ) from None


def _put_back(state: TrainState, plan: Plan, saved: ckpt.Checkpoint) -> None:
    network, teacher = state.model.network, state.teacher
    if state.average:
        state.average.model.network.load_state_dict(dict(saved.model))
    load_whole(network, _without("network", saved.training) if _kept_apart(state, plan) else saved.model)
    if teacher and teacher.state:
        teacher.model.network.load_state_dict(_without("teacher", saved.training))
    state.loss.load_state_dict(_without("loss", saved.training))
    restore_optimiser(state.optimiser, saved.training)
    state.scaler.load_state_dict(saved.state["scaler"])
    state.step = saved.state["step"]


def _check_configuration(model: ClipModel, folder: Path) -> None:
    changed = differences(model.configuration_in(folder), model.configuration, "configuration")
    if changed:
        raise DamagedError(
            "this run was begun with a model of another configuration",
            where=str(folder),
            why="; ".join(changed),
            fix="start again with --overwrite, or continue it in another --out with --pretrained and this folder",
        )


def _kept_apart(state: TrainState, plan: Plan) -> bool:
    """Whether a run's weights are not those that open_clip is to load."""
    return state.average is not None or bool(plan.config.lora)


def _prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _without(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `_prefixed` was given."""
    start = f"{prefix}."
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
