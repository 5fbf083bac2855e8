"""One typed configuration of a training run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.options import Option, check, declared
from negmine.store.options import delimiter_named, on_disk_text
from negmine.store.places import named, pattern

PRECISIONS: Final = ("auto", "fp32", "bf16", "fp16")
MATMULS: Final = ("highest", "high", "medium")
TOWERS: Final = ("image", "text")

MAY_CHANGE: Final = "may change when a run goes on"
"""Marks settings that do not touch the losses."""


def _model(name: str) -> str:
    return named(name, "local-dir:", "hf:")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Everything a run is told; `ahnpl-train` has an option for each."""

    shards: Annotated[
        tuple[str, ...],
        Option("Training tars, or tables: paths, globs, {a,b} braces, or fsspec URLs.", parser=pattern),
        MAY_CHANGE,
    ] = ("data/*.tar",)
    """Where they lie may change; what is in them may not, see `ahnpl.training.plan`."""
    images: Annotated[
        str | None,
        Option("Folder or address of the tars beside a sidecar, or of a table's images.", parser=pattern),
        MAY_CHANGE,
    ] = None
    """Of tables, what the paths of images begin in; else the working directory."""
    caption_column: Annotated[
        str | None, Option("Of a table: the column of captions, where its name is not a usual one."), MAY_CHANGE
    ] = None
    image_column: Annotated[str | None, Option("Of a table: the column of images, or a pattern."), MAY_CHANGE] = None
    delimiter: Annotated[
        str | None, Option("Of a table: between columns, a character or tab.", parser=delimiter_named), MAY_CHANGE
    ] = None
    recipe: Annotated[
        str, Option("clip, negclip, ce_clip, ahnpl, mmclip, mmclip_both, ... or a YAML file.", parser=named)
    ] = "ahnpl"
    same_image: Annotated[
        str | None, Option("Captions of one image for each other: masked, or negatives.", unset="as the recipe says")
    ] = None
    """Masked in all recipes but those that reproduce a source which trained on several captions an image."""
    model: Annotated[str, Option("`tiny`, `tiny-conv`, any open_clip model, or hf:FOLDER.", parser=_model)] = "tiny"
    pretrained: Annotated[
        str | None, Option("open_clip's tag, a weights file, or a run's checkpoint.", parser=named)
    ] = None
    preprocess: Annotated[
        str | None,
        Option("JSON with mean, std, interpolation, resize_mode.", parser=on_disk_text, unset="as the weights say"),
    ] = None
    out: Annotated[str, Option("Run folder.", parser=on_disk_text, unset="runs/MODEL-RECIPE"), MAY_CHANGE] = ""
    epochs: Annotated[int, Option("Passes over the shards.", least=1)] = 10
    steps: Annotated[int | None, Option("Steps in all, instead of epochs.", least=1)] = None
    batch_size: Annotated[int, Option("Captions per step, over all processes.", least=1)] = 64
    canonical_ranks: Annotated[
        int | None,
        Option("Stretches of an epoch; N processes that divide it read the same batches.", least=1, unset="N"),
    ] = None
    grad_cache_chunks: Annotated[
        int, Option("Parts to encode a batch in; the gradient is the whole batch's.", least=1)
    ] = 1
    """Of GradCache: unlike open_clip's ``--accum-freq`` it makes no larger batch."""
    local_loss: Annotated[
        bool, Option("Each process computes its own rows of the loss; same gradient, memory by their number.")
    ] = False
    fsdp: Annotated[
        bool, Option("Each process keeps a part of weights, gradients and moments (FSDP2)."), MAY_CHANGE
    ] = False
    loss_rows: Annotated[
        int | None, Option("Rows of the loss at a time; computed again on the way back.", least=1, unset="all")
    ] = None
    lr: Annotated[float | None, Option("Peak rate.", least=0, unset="5e-4, or 2e-5 with --pretrained")] = None
    """From scratch as open_clip has it, for pretrained weights as AHNPL has it."""
    warmup: Annotated[int | None, Option("Steps.", least=0, unset="50, at most a tenth of the run")] = None
    weight_decay: Annotated[float, Option("Of AdamW.", least=0)] = 0.1
    """As in AHNPL; never on gains, biases and the logit scale."""
    beta1: Annotated[float, Option("Decay of AdamW's mean of gradients.", least=0)] = 0.9
    beta2: Annotated[float, Option("Decay of AdamW's mean of their squares.", least=0)] = 0.98
    eps: Annotated[float, Option("Of AdamW's divisor; above 0.", least=0)] = 1e-6
    """As open_clip has them for ViTs; it takes 0.999 and 1e-8 for ResNets."""
    loss_lr_scale: Annotated[float, Option("Rate of the loss' own weights, in parts of the towers'.", least=0)] = 1.0
    """Of learned heads, margins, and a bias beside a model that has none."""
    clip_grad: Annotated[float, Option("Largest gradient norm; 0 is no limit.", least=0)] = 1.0
    negatives: Annotated[int | None, Option("K text negatives per caption.", least=0, unset="all in the shards")] = None
    kind_weights: Annotated[str, Option("KIND=WEIGHT,... where K negatives are drawn from more.")] = ""
    difficulty: Annotated[str, Option("FIRST:LAST; below 0 prefers easy negatives, above 0 hard ones.")] = "0:0"
    """See `ahnpl.data.stream.Draw`."""
    precision: Annotated[str, Option("auto, fp32, bf16 or fp16; the loss is fp32 always.", one_of=PRECISIONS)] = "auto"
    """``auto`` is fp32 on a CPU, bf16 on a GPU, and fp16 on one that only emulates bf16."""
    matmul_precision: Annotated[
        str,
        Option("float32 products on a GPU: highest; high (TF32), medium (bf16): faster, rounded.", one_of=MATMULS),
    ] = "highest"
    """The loss is float32 always, towers with ``--precision fp32``. torch's ``set_float32_matmul_precision``."""
    lock: Annotated[str | None, Option("image or text: the tower whose weights stay.", one_of=TOWERS)] = None
    lora: Annotated[int, Option("Rank of low-rank updates to train in place of the weights; 0: none.", least=0)] = 0
    grad_checkpointing: Annotated[bool, Option("Compute activations again instead of keeping them.")] = False
    compile: Annotated[bool, Option("torch.compile the towers.")] = False
    ema: Annotated[float, Option("Decay of averaged weights, which are then scored and saved.", least=0)] = 0.0
    deterministic: Annotated[
        bool, Option("On a GPU too, what torch can add in one order is added in one; slower. CPUs always do.")
    ] = False
    seed: Annotated[int, Option("Of weights, order, crops and choice of negatives.", least=0)] = 0
    workers: Annotated[
        int | None, Option("Decoding processes.", least=0, unset="one for two cores, at most 16"), MAY_CHANGE
    ] = None
    max_bad: Annotated[float, Option("Share of an epoch's samples that may be unreadable.", least=0), MAY_CHANGE] = 0.01
    eval_shards: Annotated[
        tuple[str, ...], Option("Held-out tars, scored after each epoch.", parser=pattern), MAY_CHANGE
    ] = ()
    save_every: Annotated[int | None, Option("Steps between checkpoints.", least=1, unset="an epoch"), MAY_CHANGE] = (
        None
    )
    keep: Annotated[int, Option("Checkpoints to keep, beside the best.", least=1), MAY_CHANGE] = 2
    log_every: Annotated[int, Option("Steps between rows of metrics.jsonl.", least=1), MAY_CHANGE] = 10
    resume: Annotated[str, Option("auto, never, or a checkpoint folder.", parser=named), MAY_CHANGE] = "auto"
    track: Annotated[tuple[str, ...], Option("tensorboard, wandb or trackio, beside metrics.jsonl."), MAY_CHANGE] = ()

    def __post_init__(self) -> None:
        check(self)
        if self.batch_size == 1:
            raise UsageError(
                "--batch-size is 1",
                why="the losses tell a caption's image from the others of its batch, and there are none",
                fix="use --batch-size 2 or more; --grad-cache-chunks takes a batch in parts where memory is short",
            )
        for name, parts in (("canonical-ranks", self.canonical_ranks), ("grad-cache-chunks", self.grad_cache_chunks)):
            if parts is not None and parts > self.batch_size:
                raise UsageError(
                    f"--{name} is {parts}, and a batch has {self.batch_size} captions", fix="choose fewer parts"
                )
        for name, decay, usual in (("ema", self.ema, 0.999), ("beta1", self.beta1, 0.9), ("beta2", self.beta2, 0.98)):
            if not decay < 1:
                raise UsageError(f"--{name} is {decay}, it must be below 1", fix=f"use a decay such as {usual}")
        if not self.eps:
            raise UsageError(
                "--eps is 0, it must be above 0",
                why="AdamW would divide 0 by 0 for a weight that no gradient has reached",
                fix="use 1e-6 or 1e-8",
            )
        if not self.out:
            run = f"{Path(self.model).name}-{Path(self.recipe).stem}"
            object.__setattr__(self, "out", str(Path("runs") / run))

    @property
    def rows(self) -> Path:
        """Folder of the indexes of somebody's files."""
        return Path(self.out) / "rows"

    @property
    def peak_lr(self) -> float:
        if self.lr is not None:
            return self.lr
        return 5e-4 if self.pretrained is None and not self.model.startswith(("local-dir:", "hf:", "hf-hub:")) else 2e-5

    def warmup_steps(self, total: int) -> int:
        return min(50, total // 10) if self.warmup is None else min(self.warmup, total)


def settings(config: TrainConfig, **derived: object) -> dict[str, object]:
    """What must be equal for a run to go on, as JSON values. `derived` are facts such as the shards' fingerprint."""
    given = {name: getattr(config, name) for name, one in declared(type(config)).items() if MAY_CHANGE not in one.marks}
    return {**given, **derived}


def begun_with(recorded: Mapping[str, object]) -> dict[str, object]:
    """A run's settings by its record. One that it does not name could not be set then, and had today's default."""
    return {**settings(TrainConfig()), **recorded}


def describe(config: TrainConfig) -> dict[str, object]:
    """All of a configuration as JSON values."""
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(config).items()}
