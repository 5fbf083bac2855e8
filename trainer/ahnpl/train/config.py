"""One typed configuration of a training run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any, Final

from negmine.base.errors import UsageError

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
TOWERS: Final = ("image", "text")


_LEAST: Final = {
    **dict.fromkeys(("epochs", "steps", "batch_size", "shares", "save_every", "keep", "log_every", "accum"), 1),
    **dict.fromkeys(
        ("warmup", "negatives", "workers", "lr", "weight_decay", "clip_grad", "max_bad", "seed", "ema", "lora"), 0
    ),
}


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a run is told; the command line has an option for each.

    Attributes:
        shards: patterns of training shards.
        recipe: a recipe's name or file.
        model: open_clip's name, or ``tiny``.
        pretrained: a tag, a weights file, or a checkpoint folder.
        preprocess: a JSON file that says how pictures are prepared; None is as the weights say.
        out: the run folder.
        epochs: passes over the shards; `steps` replaces it.
        steps: optimiser steps in all.
        batch_size: captions per step, over all processes.
        shares: stretches that each epoch is cut into; None is one a process. Any number of processes that divides
            it reads the same batches.
        accum: parts in which a process encodes its share of a batch; the gradient is the whole batch's.
        lr: peak learning rate; None is 2e-5 for pretrained weights (AHNPL) and 5e-4 from scratch (open_clip).
        warmup: steps; None is 50 or a tenth of the run, whichever is less.
        weight_decay: 0.1 as in AHNPL; never on gains, biases and the logit scale.
        clip_grad: largest norm of the gradient; 0 is no limit.
        negatives: K text negatives per caption; None is all that the shards have.
        kind_weights: ``KIND=WEIGHT,...``, where K negatives are drawn from more.
        difficulty: ``FIRST:LAST``, see `ahnpl.data.stream.Draw`.
        precision: ``auto`` is fp32 on a CPU, bf16 on a GPU, and fp16 on one that only emulates bf16.
        lock: the tower whose weights stay, of `TOWERS`.
        lora: rank of low-rank updates, which then train in place of the weights; 0 is none.
        grad_checkpointing: compute activations again instead of keeping them.
        compile: by ``torch.compile``.
        ema: decay of the moving average of the weights that is evaluated and saved; 0 is none.
        seed: of everything that is drawn.
        workers: decoding processes; None is one per two cores, at most 8.
        max_bad: share of an epoch's samples that may be undecodable.
        eval_shards: patterns of held-out shards, scored after each epoch.
        save_every: steps between checkpoints; None is an epoch.
        keep: checkpoints to keep, beside the best.
        log_every: steps between rows of metrics.jsonl.
        resume: ``auto``, ``never``, or a checkpoint folder.
        track: trackers beside metrics.jsonl.
    """

    shards: tuple[str, ...]
    recipe: str = "ahnpl"
    model: str = "tiny"
    pretrained: str | None = None
    preprocess: str | None = None
    out: str = "runs/default"
    epochs: int = 10
    steps: int | None = None
    batch_size: int = 64
    shares: int | None = None
    accum: int = 1
    lr: float | None = None
    warmup: int | None = None
    weight_decay: float = 0.1
    clip_grad: float = 1.0
    negatives: int | None = None
    kind_weights: str = ""
    difficulty: str = "0:0"
    precision: str = "auto"
    lock: str | None = None
    lora: int = 0
    grad_checkpointing: bool = False
    compile: bool = False
    ema: float = 0.0
    seed: int = 0
    workers: int | None = None
    max_bad: float = 0.01
    eval_shards: tuple[str, ...] = ()
    save_every: int | None = None
    keep: int = 2
    log_every: int = 10
    resume: str = "auto"
    track: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, bound in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not value >= bound:
                raise UsageError(f"--{name.replace('_', '-')} is {value}, the least is {bound}")
        if self.batch_size == 1:
            raise UsageError(
                "--batch-size is 1",
                why="the losses tell a caption's picture from the others of its batch, and there are none",
                fix="use --batch-size 2 or more; --accum takes a batch in parts where memory is short",
            )
        if self.precision not in PRECISIONS:
            raise UsageError(f"unknown --precision {self.precision!r}", fix=f"one of {', '.join(PRECISIONS)}")
        if self.lock is not None and self.lock not in TOWERS:
            raise UsageError(f"unknown --lock {self.lock!r}", fix=f"one of {', '.join(TOWERS)}")
        if not self.ema < 1:
            raise UsageError(f"--ema is {self.ema}, it must be below 1", fix="use a decay such as 0.999, or 0 for none")

    @property
    def peak_lr(self) -> float:
        if self.lr is not None:
            return self.lr
        return 5e-4 if self.pretrained is None and not self.model.startswith("local-dir:") else 2e-5

    def warmup_steps(self, total: int) -> int:
        return min(50, total // 10) if self.warmup is None else min(self.warmup, total)


FREE: Final = frozenset(
    {"shards", "eval_shards", "out", "workers", "max_bad", "save_every", "keep", "log_every", "resume", "track"}
)
"""Settings that a resumed run may change: they do not touch the losses."""


def settings(config: TrainConfig, **derived: Any) -> dict[str, Any]:
    """What must be equal for a run to go on, as JSON values. `derived` are facts such as the shards' fingerprint."""
    given = {field.name: getattr(config, field.name) for field in fields(config) if field.name not in FREE}
    return {**given, **derived}


def describe(config: TrainConfig) -> dict[str, Any]:
    """All of a configuration as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
