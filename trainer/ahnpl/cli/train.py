"""``ahnpl-train``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from negmine.base import console
from negmine.base.command import Given
from negmine.base.options import Option, Values
from negmine.store.places import named, option

from ahnpl.cli.models import AsJson
from ahnpl.training.config import TrainConfig

if TYPE_CHECKING:
    from ahnpl.training.plan import Plan


def train(
    given: Annotated[Values, Given(TrainConfig)],
    compare: Annotated[
        tuple[str, ...],
        Option("Draw these runs side by side into --out FILE.png; train nothing.", parser=named),
    ] = (),
    overwrite: Annotated[bool, Option("Remove an earlier run in the folder.")] = False,
    dry_run: Annotated[bool, Option("Show what would be done; write nothing.")] = False,
    as_json: AsJson = False,
) -> None:
    """Fine-tune a CLIP model on shards with hard negatives.

    ahnpl-train --shards data/*.tar --recipe ahnpl --model tiny --epochs 1

    ahnpl-train --shards 's3://bucket/{00000..00099}.tar' --model ViT-B-32 --pretrained openai --batch-size 128

    torchrun --nproc-per-node 8 --no-python ahnpl-train --shards data/*.tar --model ViT-B-32 --batch-size 2048
    """
    if compare:
        console.show(_compare(compare, Path(given.get("out", "compare.png"))), as_json)
        return
    config = TrainConfig(**given)
    summary = _plan_only(config) if dry_run else _train(config, overwrite)
    if summary is not None:
        console.show(summary, as_json)


def _compare(runs: tuple[str, ...], out: Path) -> console.Summary:
    from negmine.contract.training_runs import read_runs

    from ahnpl.training.curves import draw_comparison, figures

    found = read_runs([Path(run) for run in runs])
    path = draw_comparison(found, out)
    told = {run.name: figures(run) for run in found}
    return console.Summary("ahnpl-train", f"{len(found)} runs side by side", told, outputs={"image": str(path)})


def _plan_only(config: TrainConfig) -> console.Summary:
    from negmine.store import scratch

    from ahnpl.training.plan import make_plan

    with scratch() as folder:
        return _planned(make_plan(config, folder))


def _planned(plan: Plan) -> console.Summary:
    """What a run would do; the indexes of its plan are only there until then."""
    from ahnpl.training.memory import TRIED, estimate_memory, trial_batch
    from ahnpl.training.objective import HALVES
    from ahnpl.training.plan import make_model, make_stream
    from ahnpl.training.summary import planned

    config, model = plan.config, make_model(plan)
    stream = make_stream(plan, model)
    per_epoch, samples = stream.steps_per_epoch, stream.some(TRIED)
    if len(samples.keys) < 2:
        samples = trial_batch(model, plan.negatives, plan.image_negatives, plan.positives)
    memory = estimate_memory(
        model,
        samples.to(plan.device),
        config.batch_size,
        parts=plan.ranks.count * config.grad_cache_chunks,
        rows=plan.loss_rows,
        shards=plan.ranks.count if config.fsdp else 1,
        half=HALVES.get(plan.precision),
    )
    figures = {
        **planned(plan, model),
        "steps per epoch": per_epoch,
        "samples left out each epoch (no partial batch)": plan.shards.samples - per_epoch * config.batch_size,
        "steps": plan.steps,
        "memory of a process, about": {name: f"{size / 2**30:.2f} GiB" for name, size in memory.items()},
    }
    return console.Summary("ahnpl-train", "dry run, nothing was written", figures, outputs={"run folder": config.out})


def _train(config: TrainConfig, overwrite: bool) -> console.Summary | None:
    """Train; the summary is rank 0's."""
    from negmine.contract.shard_format import HELDOUT

    from ahnpl.training.loop import train as run
    from ahnpl.training.plan import make_plan
    from ahnpl.training.summary import trained

    plan = make_plan(config)
    if plan.ranks.first:
        console.note(
            f"training {config.model} with {plan.loss.recipe.name} on {plan.shards.samples:,} samples, "
            f"{plan.steps:,} steps"
        )
        if plan.shards.refused:
            reasons = ", ".join(f"{reason} {number:,}" for reason, number in sorted(plan.shards.refused.items()))
            console.note(f"rows that cannot be used: {reasons}")
    result = run(plan, overwrite=overwrite)
    if not plan.ranks.first:
        return None
    outputs = {"checkpoint": str(result.checkpoint), "metrics": str(Path(config.out) / "metrics.jsonl")}
    outputs |= {"curves": str(result.curves)} if result.curves else {}
    done = result.steps - result.resumed
    headline = f"{done:,} steps in {result.seconds:,.0f} s" if done else "this run was complete; nothing to do"
    if plan.shards.is_plain and not config.eval_shards:
        return console.Summary("ahnpl-train", headline, trained(result), outputs=outputs)
    beside = (f"{config.shards[0].rpartition('/')[0] or '.'}/{HELDOUT}/*.tar",)
    held_out = " ".join(map(option, config.eval_shards or beside))
    evaluate = f"ahnpl-eval --checkpoint {option(config.out)} --shards {held_out}"
    evaluate += f" --images {option(config.images)}" if config.images else ""
    return console.Summary("ahnpl-train", headline, trained(result), outputs=outputs, next_steps=(evaluate,))
