"""``ahnpl-train`` and ``ahnpl-eval``: options in, a summary out. torch is imported only when there is work."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from negmine import console
from typer.core import TyperCommand

if TYPE_CHECKING:
    from ahnpl.config import TrainConfig
    from ahnpl.evaluate.items import Item
    from ahnpl.evaluate.run import Report
    from ahnpl.loop import TrainResult
    from ahnpl.model import ClipModel
    from ahnpl.plan import Plan

GREEDY = ("--shards", "--eval-shards", "--track")
"""Options that take every word up to the next option, so that ``--shards data/*.tar`` works unquoted."""


class GreedyCommand(TyperCommand):
    """A command whose `GREEDY` options take several words."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        return super().parse_args(ctx, spread(args))


def spread(words: list[str]) -> list[str]:
    """Repeat a greedy option before each of its words: ``--shards a b`` becomes ``--shards a --shards b``."""
    spreading, after, out = None, 0, list[str]()
    for word in words:
        if word.startswith("-"):
            spreading, after = (word if word in GREEDY else None), 0
        elif spreading:
            after += 1
            if after > 1:
                out.append(spreading)
        out.append(word)
    return out


train_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
eval_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Shards = Annotated[list[str], typer.Option(help="Training tars: paths, globs, {a,b} braces, or fsspec URLs.")]
Negatives = Annotated[int | None, typer.Option(help="K text negatives per caption.", show_default="all in the shards")]
Pretrained = Annotated[str | None, typer.Option(help="open_clip's tag, a weights file, or a run's checkpoint.")]
Workers = Annotated[int | None, typer.Option(help="Decoding processes.", show_default="one for two cores")]
MaxBad = Annotated[float, typer.Option(help="Share of samples that may be unreadable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def train_main() -> NoReturn:
    """Console script ``ahnpl-train``."""
    console.run(train_app)


def eval_main() -> NoReturn:
    """Console script ``ahnpl-eval``."""
    console.run(eval_app)


# --- ahnpl-train -----------------------------------------------------------------------------------------------------


@train_app.command(cls=GreedyCommand)
def train(
    shards: Shards = ["data/*.tar"],  # noqa: B006 (typer copies it)
    recipe: Annotated[
        str, typer.Option(help="clip, negclip, ce_clip, ahnpl, mmclip, mmclip_both, ... or a YAML file.")
    ] = "ahnpl",
    model: Annotated[str, typer.Option(help="`tiny`, `tiny-conv`, or any open_clip model.")] = "tiny",
    pretrained: Pretrained = None,
    out: Annotated[Path | None, typer.Option(help="Run folder.", show_default="runs/MODEL-RECIPE")] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the shards.")] = 10,
    steps: Annotated[int | None, typer.Option(help="Steps in all, instead of epochs.")] = None,
    batch_size: Annotated[int, typer.Option(help="Captions per step, over all processes.")] = 64,
    accum: Annotated[int, typer.Option(help="Parts to encode a batch in; the gradient is the whole batch's.")] = 1,
    lr: Annotated[float | None, typer.Option(help="Peak rate.", show_default="5e-4, or 2e-5 with --pretrained")] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps.", show_default="50, at most a tenth of the run")] = None,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.1,
    clip_grad: Annotated[float, typer.Option(help="Largest gradient norm; 0 is no limit.")] = 1.0,
    negatives: Negatives = None,
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; the loss is fp32 always.")] = "auto",
    lock: Annotated[str | None, typer.Option(help="image or text: the tower whose weights stay.")] = None,
    grad_checkpointing: Annotated[
        bool, typer.Option("--grad-checkpointing", help="Compute activations again instead of keeping them.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile the towers.")] = False,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights, which are then scored and saved.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and choice of negatives.")] = 0,
    workers: Workers = None,
    max_bad: MaxBad = 0.01,
    eval_shards: Annotated[list[str], typer.Option(help="Held-out tars, scored after each epoch.")] = [],  # noqa: B006
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.", show_default="an epoch")] = None,
    keep: Annotated[int, typer.Option(help="Checkpoints to keep, beside the best.")] = 2,
    log_every: Annotated[int, typer.Option(help="Steps between rows of metrics.jsonl.")] = 10,
    resume: Annotated[str, typer.Option(help="auto, never, or a checkpoint folder.")] = "auto",
    track: Annotated[list[str], typer.Option(help="tensorboard, wandb or trackio, beside metrics.jsonl.")] = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Fine-tune a CLIP model on shards with hard negatives.

    ahnpl-train --shards data/*.tar --recipe ahnpl --model tiny --epochs 1

    ahnpl-train --shards 's3://bucket/{00000..00099}.tar' --model ViT-B-32 --pretrained openai --batch-size 128

    torchrun --nproc-per-node 8 --no-python ahnpl-train --shards data/*.tar --model ViT-B-32 --batch-size 2048
    """
    from ahnpl.config import TrainConfig

    config = TrainConfig(
        shards=tuple(shards), recipe=recipe, model=model, pretrained=pretrained,
        out=str(out or Path("runs") / f"{Path(model).name}-{Path(recipe).stem}"), epochs=epochs, steps=steps,
        batch_size=batch_size, accum=accum, lock=lock, grad_checkpointing=grad_checkpointing, compile=compile, ema=ema,
        lr=lr, warmup=warmup, weight_decay=weight_decay, clip_grad=clip_grad,
        negatives=negatives, precision=precision, seed=seed, workers=workers, max_bad=max_bad,
        eval_shards=tuple(eval_shards), save_every=save_every, keep=keep, log_every=log_every, resume=resume,
        track=tuple(track),
    )  # fmt: skip
    summary = _plan_only(config) if dry_run else _train(config, overwrite)
    if summary is not None:
        console.show(summary, json)


def _plan_only(config: TrainConfig) -> console.Summary:
    from ahnpl.memory import estimate_memory
    from ahnpl.plan import make_model, make_plan, make_stream

    plan = make_plan(config)
    model = make_model(plan)
    per_epoch = make_stream(plan, model).steps_per_epoch
    memory = estimate_memory(model, config.batch_size, plan.negatives, plan.image_negatives)
    figures = {
        **_planned(plan, model),
        "steps per epoch": per_epoch,
        "samples left out each epoch (no partial batch)": plan.shards.samples - per_epoch * config.batch_size,
        "steps": plan.steps,
        "memory at most": {name: f"{size / 2**30:.2f} GiB" for name, size in memory.items()},
    }
    return console.Summary("ahnpl-train", "dry run, nothing was written", figures, outputs={"run folder": config.out})


def _planned(plan: Plan, model: ClipModel) -> dict[str, Any]:
    from ahnpl.model import parameter_counts

    return {
        "model": plan.config.model,
        "parameters": parameter_counts(model),
        "recipe": plan.loss.recipe.name,
        "device and precision": f"{plan.device.type}, {plan.precision}",
        "shards": len(plan.shards.shards),
        "samples": plan.shards.samples,
        "negatives per caption": plan.negatives,
        "image negatives per caption": plan.image_negatives,
    }


def _train(config: TrainConfig, overwrite: bool) -> console.Summary | None:
    """Train; the summary is rank 0's."""
    from negmine.shards.format import HELDOUT

    from ahnpl.loop import train as run
    from ahnpl.plan import make_plan

    plan = make_plan(config)
    if plan.ranks.first:
        console.note(
            f"training {config.model} with {plan.loss.recipe.name} on {plan.shards.samples:,} samples, "
            f"{plan.steps:,} steps"
        )
    result = run(plan, overwrite=overwrite)
    if not plan.ranks.first:
        return None
    outputs = {"checkpoint": str(result.checkpoint), "metrics": str(Path(config.out) / "metrics.jsonl")}
    outputs |= {"curves": str(result.curves)} if result.curves else {}
    done = result.steps - result.resumed
    headline = f"{done:,} steps in {result.seconds:,.0f} s" if done else "this run was complete; nothing to do"
    held_out = " ".join(config.eval_shards) or f"{config.shards[0].rpartition('/')[0] or '.'}/{HELDOUT}/*.tar"
    evaluate = f"ahnpl-eval --checkpoint {config.out} --shards {held_out}"
    return console.Summary("ahnpl-train", headline, _trained(result), outputs=outputs, next_steps=(evaluate,))


def _trained(result: TrainResult) -> dict[str, Any]:
    figures: dict[str, Any] = {"steps": result.steps, "of these by earlier runs": result.resumed}
    if result.samples:
        figures |= {"samples/s": result.samples / result.seconds, "bad samples left out": result.bad}
    if result.report is not None and result.report.kinds:
        figures["accuracy on held-out images (micro, ties wrong)"] = result.report.micro.share
    return figures


# --- ahnpl-eval ------------------------------------------------------------------------------------------------------


@eval_app.command(cls=GreedyCommand)
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option(
            help="A run or checkpoint folder, init:MODEL[:SEED] (untrained), or open_clip:MODEL[:PRETRAINED]."
        ),
    ] = "runs/tiny-ahnpl",
    shards: Annotated[list[str], typer.Option(help="Held-out tars.", show_default="data/heldout/*.tar")] = [],  # noqa: B006
    benchmark: Annotated[
        str | None, typer.Option(help="FORMAT:PATH, e.g. sugarcrepe:FOLDER, instead of shards.")
    ] = None,
    images: Annotated[Path | None, typer.Option(help="Folder of the benchmark's pictures.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at a time.")] = 64,
    workers: Annotated[int, typer.Option(min=1, help="Decoding threads.")] = 2,
    limit: Annotated[int | None, typer.Option(min=1, help="Score the first items only.")] = None,
    max_bad: MaxBad = 0.01,
    json: AsJson = False,
) -> None:
    """Score true captions against false ones, by kind, and image-text retrieval.

    ahnpl-eval --checkpoint runs/tiny-ahnpl --shards data/heldout/*.tar

    ahnpl-eval --checkpoint open_clip:ViT-B-32:openai --benchmark sugarcrepe:sugarcrepe/ --images val2017/
    """
    from itertools import islice

    from ahnpl.evaluate.run import evaluate as score
    from ahnpl.evaluate.show import as_figures, as_table

    items, total, source = _items(shards, benchmark, images)
    model = load_any(checkpoint)
    wanted = total if limit is None or total is None else min(limit, total)
    with console.progress("evaluating", wanted, "captions") as bar:
        report: Report = score(
            model, islice(items, limit), retrieval=benchmark is None, max_bad=max_bad, batch_size=batch_size,
            workers=workers, advance=bar.advance,
        )  # fmt: skip
    for line in report.bad:
        console.note(f"left out: {line}")
    headline = f"{checkpoint} on {source}: {report.captions:,} captions of {report.images:,} pictures"
    console.show(console.Summary("ahnpl-eval", headline, (as_figures if json else as_table)(report)), json)


def _items(shards: list[str], benchmark: str | None, images: Path | None) -> tuple[Any, int | None, str]:
    """Items, how many if known, and a name for where they come from."""
    from negmine.errors import UsageError

    from ahnpl.evaluate import BENCHMARKS
    from ahnpl.evaluate.items import shard_items
    from ahnpl.names import pick
    from ahnpl.shards import open_shards

    if benchmark is None:
        held_out = open_shards(shards or ["data/heldout/*.tar"])
        return shard_items(held_out), held_out.samples, f"{len(held_out.shards)} shards"
    if shards:
        raise UsageError("--shards and --benchmark exclude each other", fix="evaluate one after the other")
    name, _, path = benchmark.partition(":")
    read = BENCHMARKS[pick("benchmark format", name, BENCHMARKS)]
    items: list[Item] | Any = read(Path(path), images)
    return items, None, benchmark


def load_any(checkpoint: str) -> ClipModel:
    """The model that ``--checkpoint`` means, on the best device there is."""
    import torch
    from negmine.errors import UsageError

    from ahnpl.checkpoint import find_checkpoint
    from ahnpl.model import ModelSpec, load_checkpoint, load_model

    source, _, rest = checkpoint.partition(":")
    if source == "init":
        name, _, seed = rest.partition(":")
        if seed and not seed.isdigit():
            raise UsageError(f"{seed!r} is no seed", where=checkpoint, fix="init:MODEL or init:MODEL:NUMBER")
        model = load_model(ModelSpec(name, seed=int(seed or 0)))
    elif source == "open_clip":
        name, _, pretrained = rest.partition(":")
        model = load_model(ModelSpec(name, pretrained or None))
    else:
        model = load_checkpoint(find_checkpoint(Path(checkpoint)))
    return model.to("cuda" if torch.cuda.is_available() else "cpu")
