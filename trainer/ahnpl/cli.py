"""``ahnpl-train``, ``ahnpl-eval`` and ``ahnpl-export``: options in, a summary out.

torch is imported only when there is work.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from negmine import console
from negmine.places import named, on_disk, option, pattern
from typer.core import TyperCommand

if TYPE_CHECKING:
    from ahnpl.config import TrainConfig
    from ahnpl.evaluate.run import Report
    from ahnpl.evaluate.tasks import Settings
    from ahnpl.loop import TrainResult
    from ahnpl.model import ClipModel
    from ahnpl.plan import Plan

GREEDY = ("--shards", "--eval-shards", "--track", "--compare")
"""Options that take every word up to the next option, so that ``--shards data/*.tar`` works unquoted."""
START = "start"
"""A name for the model that a run began with."""


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


def _model(name: str) -> str:
    return named(name, "local-dir:")


train_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
eval_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
export_app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)

Shards = Annotated[
    list[str], typer.Option(parser=pattern, help="Training tars: paths, globs, {a,b} braces, or fsspec URLs.")
]
Negatives = Annotated[int | None, typer.Option(help="K text negatives per caption.", show_default="all in the shards")]
Pretrained = Annotated[
    str | None, typer.Option(parser=named, help="open_clip's tag, a weights file, or a run's checkpoint.")
]
Preprocess = Annotated[
    Path | None,
    typer.Option(
        parser=on_disk, help="JSON with mean, std, interpolation, resize_mode.", show_default="as the weights say"
    ),
]
Workers = Annotated[int | None, typer.Option(help="Decoding processes.", show_default="one for two cores")]
MaxBad = Annotated[float, typer.Option(help="Share of samples that may be unreadable.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]


def train_main() -> NoReturn:
    """Console script ``ahnpl-train``."""
    console.run(train_app)


def eval_main() -> NoReturn:
    """Console script ``ahnpl-eval``."""
    console.run(eval_app)


def export_main() -> NoReturn:
    """Console script ``ahnpl-export``."""
    console.run(export_app)


# --- ahnpl-train -----------------------------------------------------------------------------------------------------


@train_app.command(cls=GreedyCommand)
def train(
    shards: Shards = ["data/*.tar"],  # noqa: B006 (typer copies it)
    recipe: Annotated[
        str, typer.Option(parser=named, help="clip, negclip, ce_clip, ahnpl, mmclip, mmclip_both, ... or a YAML file.")
    ] = "ahnpl",
    model: Annotated[str, typer.Option(parser=_model, help="`tiny`, `tiny-conv`, or any open_clip model.")] = "tiny",
    pretrained: Pretrained = None,
    preprocess: Preprocess = None,
    out: Annotated[
        Path | None, typer.Option(parser=on_disk, help="Run folder.", show_default="runs/MODEL-RECIPE")
    ] = None,
    epochs: Annotated[int, typer.Option(help="Passes over the shards.")] = 10,
    steps: Annotated[int | None, typer.Option(help="Steps in all, instead of epochs.")] = None,
    batch_size: Annotated[int, typer.Option(help="Captions per step, over all processes.")] = 64,
    shares: Annotated[
        int | None,
        typer.Option(help="Stretches of an epoch; N processes that divide it read the same batches.", show_default="N"),
    ] = None,
    accum: Annotated[int, typer.Option(help="Parts to encode a batch in; the gradient is the whole batch's.")] = 1,
    lr: Annotated[float | None, typer.Option(help="Peak rate.", show_default="5e-4, or 2e-5 with --pretrained")] = None,
    warmup: Annotated[int | None, typer.Option(help="Steps.", show_default="50, at most a tenth of the run")] = None,
    weight_decay: Annotated[float, typer.Option(help="Of AdamW.")] = 0.1,
    clip_grad: Annotated[float, typer.Option(help="Largest gradient norm; 0 is no limit.")] = 1.0,
    negatives: Negatives = None,
    kind_weights: Annotated[str, typer.Option(help="KIND=WEIGHT,... where K negatives are drawn from more.")] = "",
    difficulty: Annotated[
        str, typer.Option(help="FIRST:LAST; below 0 prefers easy negatives, above 0 hard ones.")
    ] = "0:0",
    precision: Annotated[str, typer.Option(help="auto, fp32, bf16 or fp16; the loss is fp32 always.")] = "auto",
    lock: Annotated[str | None, typer.Option(help="image or text: the tower whose weights stay.")] = None,
    lora: Annotated[int, typer.Option(help="Rank of low-rank updates to train in place of the weights; 0: none.")] = 0,
    grad_checkpointing: Annotated[
        bool, typer.Option("--grad-checkpointing", help="Compute activations again instead of keeping them.")
    ] = False,
    compile: Annotated[bool, typer.Option("--compile", help="torch.compile the towers.")] = False,
    ema: Annotated[float, typer.Option(help="Decay of averaged weights, which are then scored and saved.")] = 0.0,
    seed: Annotated[int, typer.Option(help="Of weights, order, crops and choice of negatives.")] = 0,
    workers: Workers = None,
    max_bad: MaxBad = 0.01,
    eval_shards: Annotated[
        list[str], typer.Option(parser=pattern, help="Held-out tars, scored after each epoch.")
    ] = [],  # noqa: B006
    save_every: Annotated[int | None, typer.Option(help="Steps between checkpoints.", show_default="an epoch")] = None,
    keep: Annotated[int, typer.Option(help="Checkpoints to keep, beside the best.")] = 2,
    log_every: Annotated[int, typer.Option(help="Steps between rows of metrics.jsonl.")] = 10,
    resume: Annotated[str, typer.Option(parser=named, help="auto, never, or a checkpoint folder.")] = "auto",
    track: Annotated[list[str], typer.Option(help="tensorboard, wandb or trackio, beside metrics.jsonl.")] = [],  # noqa: B006
    compare: Annotated[
        list[str], typer.Option(parser=named, help="Draw these runs side by side into --out FILE.png; train nothing.")
    ] = [],  # noqa: B006
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Remove an earlier run in the folder.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be done; write nothing.")] = False,
    json: AsJson = False,
) -> None:
    """Fine-tune a CLIP model on shards with hard negatives.

    ahnpl-train --shards data/*.tar --recipe ahnpl --model tiny --epochs 1

    ahnpl-train --shards 's3://bucket/{00000..00099}.tar' --model ViT-B-32 --pretrained openai --batch-size 128

    torchrun --nproc-per-node 8 --no-python ahnpl-train --shards data/*.tar --model ViT-B-32 --batch-size 2048
    """
    if compare:
        console.show(_compare(compare, out or Path("compare.png")), json)
        return
    from ahnpl.config import TrainConfig

    config = TrainConfig(
        shards=tuple(shards), recipe=recipe, model=model, pretrained=pretrained,
        preprocess=None if preprocess is None else str(preprocess),
        out=str(out or Path("runs") / f"{Path(model).name}-{Path(recipe).stem}"), epochs=epochs, steps=steps,
        batch_size=batch_size, shares=shares, accum=accum, lock=lock, grad_checkpointing=grad_checkpointing,
        compile=compile, ema=ema, lora=lora, kind_weights=kind_weights, difficulty=difficulty,
        lr=lr, warmup=warmup, weight_decay=weight_decay, clip_grad=clip_grad,
        negatives=negatives, precision=precision, seed=seed, workers=workers, max_bad=max_bad,
        eval_shards=tuple(eval_shards), save_every=save_every, keep=keep, log_every=log_every, resume=resume,
        track=tuple(track),
    )  # fmt: skip
    summary = _plan_only(config) if dry_run else _train(config, overwrite)
    if summary is not None:
        console.show(summary, json)


def _compare(runs: list[str], out: Path) -> console.Summary:
    from negmine.runs import read_runs

    from ahnpl.curves import draw_comparison, figures

    found = read_runs([Path(run) for run in runs])
    path = draw_comparison(found, out)
    told = {run.name: figures(run) for run in found}
    return console.Summary("ahnpl-train", f"{len(found)} runs side by side", told, outputs={"picture": str(path)})


def _plan_only(config: TrainConfig) -> console.Summary:
    from ahnpl.memory import estimate_memory
    from ahnpl.plan import make_model, make_plan, make_stream

    plan = make_plan(config)
    model = make_model(plan)
    per_epoch = make_stream(plan, model).steps_per_epoch
    memory = estimate_memory(
        model, config.batch_size, plan.negatives, plan.image_negatives, parts=plan.ranks.count * config.accum,
        half=plan.precision != "fp32",
    )  # fmt: skip
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
    beside = (f"{config.shards[0].rpartition('/')[0] or '.'}/{HELDOUT}/*.tar",)
    held_out = " ".join(map(option, config.eval_shards or beside))
    evaluate = f"ahnpl-eval --checkpoint {option(config.out)} --shards {held_out}"
    return console.Summary("ahnpl-train", headline, _trained(result), outputs=outputs, next_steps=(evaluate,))


def _trained(result: TrainResult) -> dict[str, Any]:
    from ahnpl.evaluate.run import FOILS

    figures: dict[str, Any] = {"steps": result.steps, "of these by earlier runs": result.resumed}
    if result.samples:
        figures |= {"samples/s": result.samples / result.seconds, "bad samples left out": result.bad}
    if result.legible.alike:
        figures["negatives read"] = result.legible.total
        figures["of these equal to a true caption for this model, left out"] = result.legible.alike
    if result.report is not None and result.report.kinds:
        figures["accuracy on held-out images (micro, ties wrong)"] = result.report.micro.share
        foils = result.report.measure(FOILS)
        if foils.alike:
            figures["of these items, equal for this model"] = foils.alike
            figures["accuracy over the others"] = foils.legible.share
    return figures


# --- ahnpl-eval ------------------------------------------------------------------------------------------------------

Against = Annotated[
    str | None,
    typer.Option(parser=named, help="Another model to compare with, item by item; `start`: what the run began with."),
]
Histograms = Annotated[
    Path | None, typer.Option(parser=on_disk, help="Draw the scores of captions and foils into this PNG.")
]


@eval_app.command(cls=GreedyCommand)
def evaluate(
    checkpoint: Annotated[
        str,
        typer.Option(
            parser=named,
            help="A run or checkpoint folder, init:MODEL[:SEED] (untrained), or open_clip:MODEL[:PRETRAINED].",
        ),
    ] = "runs/tiny-ahnpl",
    shards: Annotated[
        list[str], typer.Option(parser=pattern, help="Held-out tars.", show_default="data/heldout/*.tar")
    ] = [],  # noqa: B006
    benchmark: Annotated[
        str | None, typer.Option(help="FORMAT:PATH, e.g. sugarcrepe:FOLDER or zeroshot:FOLDER, instead of shards.")
    ] = None,
    images: Annotated[Path | None, typer.Option(parser=on_disk, help="Folder of the benchmark's pictures.")] = None,
    preprocess: Preprocess = None,
    against: Against = None,
    histograms: Histograms = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Items at a time.")] = 64,
    workers: Annotated[int, typer.Option(min=0, help="Decoding threads; 0 decodes in turn.")] = 2,
    limit: Annotated[int | None, typer.Option(min=1, help="Score the first items only.")] = None,
    max_bad: MaxBad = 0.01,
    json: AsJson = False,
) -> None:
    """Score true captions against false ones, by kind, and image-text retrieval.

    ahnpl-eval --checkpoint runs/tiny-ahnpl --shards data/heldout/*.tar --against start

    ahnpl-eval --checkpoint open_clip:ViT-B-32:openai --benchmark sugarcrepe:sugarcrepe/ --images val2017/
    """
    from ahnpl.evaluate.compare import compare
    from ahnpl.evaluate.diagnostics import draw_histograms
    from ahnpl.evaluate.show import as_figures, as_table
    from ahnpl.evaluate.tasks import Settings

    score, total, source = _task(shards, benchmark, images)
    settings = Settings(batch_size, workers, limit, max_bad)
    wanted = total if limit is None or total is None else min(limit, total)

    def scored(name: str) -> Report:
        model = load_any(checkpoint, preprocess) if name == checkpoint else load_other(name, checkpoint)
        with console.progress(f"evaluating {name}", wanted, "items") as bar:
            return score(model, replace(settings, advance=bar.advance))

    report = scored(checkpoint)
    changes = compare(scored(against), report) if against else None
    for line in report.bad:
        console.note(f"left out: {line}")
    outputs = {}
    if histograms and report.diagnostics:
        outputs["histograms"] = str(draw_histograms(report.diagnostics, histograms))
    elif histograms:
        console.note(f"nothing was drawn into {histograms}: there are no captions of two or more pictures to compare")
    headline = f"{checkpoint} on {source}: {report.captions:,} captions of {report.images:,} pictures"
    headline += f", against {against}" if against else ""
    figures = (as_figures if json else as_table)(report, changes)
    console.show(console.Summary("ahnpl-eval", headline, figures, outputs=outputs), json)


def _task(
    shards: list[str], benchmark: str | None, images: Path | None
) -> tuple[Callable[[ClipModel, Settings], Report], int | None, str]:
    """What scores a model, how many items if known, and a name for where they come from."""
    from negmine.errors import UsageError

    from ahnpl.evaluate import BENCHMARKS
    from ahnpl.evaluate.tasks import score_shards
    from ahnpl.names import pick
    from ahnpl.shards import open_shards

    if benchmark is None:
        held_out = open_shards(shards or ["data/heldout/*.tar"])
        return partial(score_shards, held_out), held_out.samples, f"{len(held_out.shards)} shards"
    if shards:
        raise UsageError("--shards and --benchmark exclude each other", fix="evaluate one after the other")
    name, _, path = benchmark.partition(":")
    found = BENCHMARKS[pick("benchmark format", name, BENCHMARKS)]
    if not path:
        raise UsageError(f"--benchmark {name} has no path", fix=f"--benchmark {name}:PATH")
    return partial(found.score, on_disk(path), images), None, benchmark


def load_any(checkpoint: str, preprocess: Path | None = None) -> ClipModel:
    """The model that ``--checkpoint`` means, on the best device there is.

    Args:
        preprocess: see ``--preprocess``.
    """
    import torch
    from negmine.clip_models import LOCAL, read_preprocess
    from negmine.errors import UsageError

    from ahnpl.checkpoint import STATE_NAME, find_checkpoint, read_state
    from ahnpl.model import ModelSpec, load_model

    pixels = None if preprocess is None else read_preprocess(preprocess)
    source, _, rest = checkpoint.partition(":")
    if source == "init":
        name, _, seed = rest.partition(":")
        if seed and not seed.isdigit():
            raise UsageError(f"{seed!r} is no seed", where=checkpoint, fix="init:MODEL or init:MODEL:NUMBER")
        model = load_model(ModelSpec(name, None, int(seed or 0), pixels))
    elif source == "open_clip":
        name, _, pretrained = rest.partition(":")
        model = load_model(ModelSpec(name, pretrained or None, preprocess=pixels))
    else:
        folder = find_checkpoint(Path(checkpoint))
        if (folder / STATE_NAME).is_file():
            read_state(folder)  # refuses a checkpoint of another version
        model = load_model(ModelSpec(f"{LOCAL}{folder}", preprocess=pixels))
    return model.to("cuda" if torch.cuda.is_available() else "cpu")


def load_other(name: str, checkpoint: str) -> ClipModel:
    """The model that ``--against`` or ``--start`` means: ``start`` is what the run of `checkpoint` began with."""
    from ahnpl.export import load_start

    if name != START:
        return load_any(name)
    model = load_start(Path(checkpoint))
    import torch

    return model.to("cuda" if torch.cuda.is_available() else "cpu")


# --- ahnpl-export ----------------------------------------------------------------------------------------------------


@export_app.command()
def export(
    checkpoint: Annotated[str, typer.Option(parser=named, help="A run or checkpoint folder.")] = "runs/tiny-ahnpl",
    out: Annotated[
        Path, typer.Option(parser=on_disk, help="A .safetensors or .pt file, or a folder for local-dir:.")
    ] = Path("open_clip_model.safetensors"),
    alpha: Annotated[float, typer.Option(help="Share of the trained weights; the rest: the start's (WiSE-FT).")] = 1.0,
    start: Annotated[
        str, typer.Option(parser=named, help="What to merge with; `start`: what the run began with.")
    ] = START,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is at --out.")] = False,
    json: AsJson = False,
) -> None:
    """Write weights that open_clip loads by itself, merged with the run's start if asked.

    ahnpl-export --checkpoint runs/ahnpl --out ahnpl.safetensors

    ahnpl-export --checkpoint runs/ahnpl --alpha 0.5 --out wise.safetensors
    """
    from ahnpl.export import export as write
    from ahnpl.export import merged

    model = load_any(checkpoint)
    if alpha != 1:
        model = merged(model, load_other(start, checkpoint), alpha)
    written = write(model, out, overwrite=overwrite)
    figures = {"share of the trained weights": alpha, "tensors": len(model.network.state_dict())}
    headline = f"weights of {checkpoint}" + ("" if alpha == 1 else f", merged with {start}")
    use = f"{written.imports}; {written.load}"
    console.show(console.Summary("ahnpl-export", headline, figures, {"weights": str(written.weights)}, (use,)), json)
