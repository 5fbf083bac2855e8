"""What a run will do, settled and checked before a model is made."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import torch
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.contract.records import KINDS
from negmine.encoders.clip_models import read_preprocess
from negmine.sources import Columns

from ahnpl.data.decode import Decoder
from ahnpl.data.draw import Draw
from ahnpl.data.order import CanonicalRank
from ahnpl.data.rows import Reading
from ahnpl.data.shards import ShardSet, check_images, open_shards
from ahnpl.data.stream import Stream
from ahnpl.data.worklist import with_worklists
from ahnpl.losses import RecipeLoss, build_loss
from ahnpl.model.clip import ClipModel, ModelSpec, load_model, prepare
from ahnpl.model.ranks import Ranks
from ahnpl.training.config import TrainConfig, settings

DRAWS: Final = 3
"""Version of what a seed gives: the order, crops, negatives, and what layers and losses draw. A run keeps to one."""


ADD_NEGATIVES: Final = "run `negmine parse` before `negmine shard`, raise --negatives, or use --recipe clip"
WRITE_NEGATIVES: Final = (
    "write them beside your tars: negmine parse TARS && negmine shard --sidecar --out ours/, then --shards ours/*.tar "
    "--images FOLDER (of a table: negmine parse TABLE --images FOLDER && negmine shard); or use --recipe clip"
)


@dataclass(frozen=True)
class Plan:
    """Everything that is known before a model is made.

    Attributes:
        negatives: K, slots per caption.
        image_negatives: J, images beside the caption's own.
        positives: P, true texts beside the caption.
        steps: optimiser steps of the whole run.
        canonical_ranks: of each epoch, those that this process reads.
        settings: what a checkpoint must agree with.
        ranks: this process among those of the run.
        preprocess: what ``--preprocess`` says of images.
    """

    config: TrainConfig
    shards: ShardSet
    eval_shards: ShardSet | None
    loss: RecipeLoss
    negatives: int
    image_negatives: int
    steps: int
    canonical_ranks: tuple[CanonicalRank, ...]
    device: torch.device
    precision: str
    settings: dict[str, object]
    ranks: Ranks
    preprocess: Mapping[str, object] | None = None
    positives: int = 0

    def steps_of(self, steps: int | None, epochs: int) -> int:
        """Steps of a run on these shards that is told to have so many steps, or else epochs."""
        return steps or epochs * (self.shards.samples // self.config.batch_size)

    @property
    def loss_rows(self) -> int:
        """Rows of the loss whose logits this process holds at one time."""
        own = self.config.batch_size // (self.ranks.count if self.config.local_loss else 1)
        return min(own, self.config.loss_rows or own)


def make_plan(config: TrainConfig, rows: Path | None = None) -> Plan:
    """Check shards and recipe against each other.

    Args:
        rows: folder for the indexes of somebody's files; None for the run's.

    Raises:
        UsageError: unknown names, too few samples, or a recipe that needs negatives where there are none.
        DamagedError: shards that do not fit their index.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        loss = _build_loss(config)  # may draw weights of its own
    _check_rows(config, loss)
    columns = Columns(config.caption_column, config.image_column, delimiter=config.delimiter)
    reading = Reading(rows or config.rows, columns, config.images, config.max_bad)
    shards = open_shards(config.shards, config.images, reading)
    eval_shards = open_shards(config.eval_shards, config.images, reading) if config.eval_shards else None
    check_images(config.images, shards, eval_shards)
    negatives, image_negatives = _slots(config, shards, loss), _image_slots(config, shards, loss)
    ranks = Ranks.of_environment()
    canonical_ranks = _canonical_ranks(config, ranks)
    device = torch.device("cuda", ranks.local) if torch.cuda.is_available() else torch.device("cpu")
    precision = _auto_precision(device) if config.precision == "auto" else config.precision
    _check_parts(config, precision)
    pixels = read_preprocess(Path(config.preprocess)) if config.preprocess else None
    per_epoch = shards.samples // config.batch_size
    facts = {
        "recipe": loss.recipe.name,
        "parameters": dict(loss.recipe.parameters),
        "shards": shards.fingerprint,
        "negatives": negatives,
        "precision": precision,
        "preprocess": pixels,
        "canonical_ranks": canonical_ranks[0].count,
        "draws": DRAWS,
    }
    positives = _positive_slots(shards, loss)
    facts |= {name: slots for name, slots in (("image_negatives", image_negatives), ("positives", positives)) if slots}
    steps = config.steps or config.epochs * per_epoch
    return Plan(
        config,
        shards,
        eval_shards,
        loss,
        negatives,
        image_negatives,
        steps,
        canonical_ranks,
        device,
        precision,
        settings(config, **facts),
        ranks,
        pixels,
        positives,
    )


def _build_loss(config: TrainConfig) -> RecipeLoss:
    if config.same_image is None:
        return build_loss(config.recipe)
    return build_loss({"extends": config.recipe, "same_image": config.same_image})


def _check_rows(config: TrainConfig, loss: RecipeLoss) -> None:
    if (config.local_loss or config.loss_rows) and loss.whole_terms:
        raise UsageError(
            f"recipe {loss.recipe.name} needs all rows of the batch at once",
            where=f"{'term' if len(loss.whole_terms) == 1 else 'terms'} {', '.join(loss.whole_terms)}",
            why="they compare rows with each other, remember earlier batches, or draw",
            fix="leave out --local-loss and --loss-rows, or use another recipe such as clip, siglip, negclip or ahnpl",
        )


def _check_parts(config: TrainConfig, precision: str) -> None:
    """What was never tried together, or is known not to go together."""
    if not config.fsdp:
        return
    if precision == "fp16":
        raise UsageError(
            "--fsdp does not go with --precision fp16",
            why="each process would scale the loss by what its own part of the gradient allows",
            fix="use --precision bf16 or fp32",
        )
    if config.compile:
        raise UsageError("--fsdp does not go with --compile yet", fix="leave out one of them")


def _auto_precision(device: torch.device) -> str:
    """bf16 where the GPU computes in it, fp16 where it would only pretend to (T4, V100 and older)."""
    if device.type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def _canonical_ranks(config: TrainConfig, ranks: Ranks) -> tuple[CanonicalRank, ...]:
    """Those of this process: neighbours, so that the processes' parts of a batch are in the order of these."""
    count = config.canonical_ranks or ranks.count
    if count % ranks.count:
        raise UsageError(
            f"{ranks.count} processes cannot divide {count} canonical ranks equally",
            where=f"--canonical-ranks {count}",
            fix="use a multiple of the number of processes, and for a resumed run the number it was begun with",
        )
    each = count // ranks.count
    return tuple(CanonicalRank(number, count) for number in range(ranks.rank * each, (ranks.rank + 1) * each))


def _slots(config: TrainConfig, shards: ShardSet, loss: RecipeLoss) -> int:
    if not loss.needs_negatives:
        return 0
    slots = shards.negatives if config.negatives is None else config.negatives
    if slots and sum(shards.kinds.values()):
        return slots
    raise UsageError(
        f"recipe {loss.recipe.name} needs text negatives and gets none",
        why="--negatives is 0" if sum(shards.kinds.values()) else "the shards have none",
        fix=WRITE_NEGATIVES if shards.is_plain else ADD_NEGATIVES,
    )


def _image_slots(config: TrainConfig, shards: ShardSet, loss: RecipeLoss) -> int:
    if not loss.needs_image_negatives:
        return 0
    most = shards.image_negatives
    slots = most if config.negatives is None else min(config.negatives, most)
    if slots:
        return slots
    raise UsageError(
        f"recipe {loss.recipe.name} needs image negatives and gets none",
        why="--negatives is 0" if most else "the shards have none",
        fix="run `negmine render`, or `negmine shard --image-negatives`, or use another --recipe",
    )


def _positive_slots(shards: ShardSet, loss: RecipeLoss) -> int:
    if not loss.needs_positives or shards.positives:
        return shards.positives if loss.needs_positives else 0
    raise UsageError(
        f"recipe {loss.recipe.name} needs positives and gets none",
        why="the shards have none",
        fix="run `negmine parse --positives 2` before `negmine shard`, or use another --recipe such as ahnpl",
    )


def make_draw(config: TrainConfig, epochs: int) -> Draw:
    """How negatives are drawn, from ``--kind-weights`` and ``--difficulty``.

    Raises:
        UsageError: an unknown kind, or no number where one belongs.
    """
    kinds = {}
    try:
        for part in filter(None, config.kind_weights.split(",")):
            kind, _, weight = part.partition("=")
            kinds[pick("kind", kind.strip(), KINDS)] = float(weight)
        first, _, last = config.difficulty.partition(":")
        draw = Draw(kinds, (float(first), float(last or first)), epochs)
        if not all(map(math.isfinite, (*kinds.values(), *draw.difficulty))):
            raise ValueError("not finite")
    except ValueError:
        raise UsageError(
            "cannot read how negatives are to be drawn",
            where=f"--kind-weights {config.kind_weights!r} --difficulty {config.difficulty!r}",
            fix="write --kind-weights swap_object=2,retrieved=0.5 and --difficulty -1:1",
        ) from None
    if min(kinds.values(), default=0.0) < 0:
        raise UsageError("a weight of --kind-weights is negative", where=config.kind_weights)
    return draw


def make_model(plan: Plan) -> ClipModel:
    """The model of a plan, on its device."""
    spec = ModelSpec(plan.config.model, plan.config.pretrained, plan.config.seed, plan.preprocess)
    model = load_model(spec).to(plan.device)
    config = plan.config
    prepare(model, lock=config.lock, lora=config.lora, checkpointing=config.grad_checkpointing, compiled=config.compile)
    return model


def make_stream(plan: Plan, model: ClipModel) -> Stream:
    """The batches of a plan."""
    config = plan.config
    decoder = Decoder(
        model.tokenizer(),
        model.image_size,
        plan.negatives,
        plan.shards.negatives,
        config.seed,
        plan.image_negatives,
        make_draw(config, -(-plan.steps * config.batch_size // plan.shards.samples)),
        plan.positives,
        partial(with_worklists, end=model.end_of_text, parts=config.grad_cache_chunks),
    )
    return Stream(
        plan.shards,
        decoder,
        batch_size=config.batch_size,
        seed=config.seed,
        workers=default_workers() if config.workers is None else config.workers,
        max_bad=config.max_bad,
        canonical_ranks=plan.canonical_ranks,
        pin=plan.device.type == "cuda",
    )


def default_workers() -> int:
    """One reading and decoding process for two cores of a training process's share, at most 16."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(16, len(os.sched_getaffinity(0)) // (2 * here)))
