"""The commands as functions, for a program of your own."""

from __future__ import annotations

from pathlib import Path

from ahnpl.evaluation.run import Report as Report
from ahnpl.evaluation.run import evaluate as evaluate
from ahnpl.model.checkpoint import find_checkpoint
from ahnpl.model.clip import ClipModel, load_checkpoint
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import TrainResult
from ahnpl.training.loop import train as _train
from ahnpl.training.plan import make_plan


def train(config: TrainConfig, *, overwrite: bool = False) -> TrainResult:
    """Train to the end, from where an earlier run of the same settings stopped, as ``ahnpl-train`` does.

    Args:
        overwrite: remove what an earlier run left in the folder.

    Raises:
        UsageError: settings that do not go together, an unknown model or recipe.
        DamagedError: damaged shards, or the folder holds a run with other settings.
        ResourceError: memory, disk or a worker process.
        InterruptedRun: a signal; the step under way was finished and saved.
        InputError: the loss is not finite, or too many samples are bad.
    """
    return _train(make_plan(config), overwrite=overwrite)


def load(run: str | Path) -> ClipModel:
    """The model of a run's folder (its latest checkpoint) or of a checkpoint, ready to encode.

    Raises:
        UsageError: there is no checkpoint.
        DamagedError: it is damaged.
    """
    return load_checkpoint(find_checkpoint(Path(run)))
