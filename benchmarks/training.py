"""What does a training step with hard negatives cost?

    python benchmarks/training.py SHARDS... [--recipe ahnpl] [--model tiny] [--batch-size 64] [--rounds 10]

Three steps take turns on the same batches, in one process: ours; the same recipe in the plain way, which encodes every
slot at the full 77 tokens; and a plain CLIP step without negatives, its captions at 77 tokens too. Prints the median
and the quartiles of each, and ratios of medians. The first round is not counted. Weights are random.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from itertools import count, islice
from tempfile import mkdtemp

import torch
from ahnpl.config import TrainConfig
from ahnpl.losses import Features, build_loss
from ahnpl.model import ClipModel
from ahnpl.objective import Objective
from ahnpl.optimise import clip_gradients, make_optimiser, set_learning_rate
from ahnpl.plan import Plan, make_model, make_plan, make_stream
from ahnpl.stream import Batch
from rich.console import Console
from rich.table import Table
from torch import nn


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--recipe", default="ahnpl")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--negatives", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    config = TrainConfig(
        shards=tuple(options.shards), recipe=options.recipe, model=options.model, batch_size=options.batch_size,
        negatives=options.negatives, workers=0, out=mkdtemp(),
    )  # fmt: skip
    plan = make_plan(config)
    steps = {
        "ours": stepper(plan, config.recipe, plain=False),
        "plain, 77 tokens": stepper(plan, config.recipe, plain=True),
        "CLIP, no negatives": stepper(plan, "clip", plain=True),
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    filled = []
    for batch in batches(plan, options.rounds + 1):
        filled.append(float(batch.valid.float().mean()))
        for name, step in steps.items():
            one = without_negatives(batch) if name.startswith("CLIP") else batch
            started = time.perf_counter()
            step(one)
            if plan.device.type == "cuda":
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
    title = f"{config.model}, {config.recipe}, batch {config.batch_size}, K = {plan.negatives}, {plan.device.type}"
    table = Table("step", "median s", "quartiles", "samples/s", "ratio to ours", title=title)
    ours = statistics.median(seconds["ours"][1:])
    for name, every in seconds.items():
        low, middle, high = statistics.quantiles(every[1:], n=4)
        table.add_row(
            name,
            f"{middle:.3f}",
            f"{low:.3f} to {high:.3f}",
            f"{config.batch_size / middle:,.1f}",
            f"{middle / ours:.2f}",
        )
    Console().print(table, f"slots filled: {statistics.mean(filled):.0%}; threads: {torch.get_num_threads()}")


def batches(plan: Plan, number: int) -> list[Batch]:
    """Batches of as many epochs as it takes."""
    stream = make_stream(plan, make_model(plan))
    endless = (batch.to(plan.device) for epoch in count() for batch in stream.batches(epoch))
    return list(islice(endless, number))


def without_negatives(batch: Batch) -> Batch:
    return replace(batch, negatives=batch.negatives[:, :0], valid=batch.valid[:, :0], kinds=batch.kinds[:, :0])


class Plain(nn.Module):
    """Every text at its full length, every slot encoded."""

    def __init__(self, model: ClipModel) -> None:
        super().__init__()
        self.model, self.network = model, model.network

    def forward(self, batch: Batch) -> Features:
        size, slots, length = batch.negatives.shape
        texts = torch.cat([batch.texts, batch.negatives.reshape(size * slots, length)])
        features = self.network.encode_text(texts, normalize=True)  # type: ignore[operator]
        return Features(
            image=self.model.encode_image(batch.images),
            text=features[:size],
            logit_scale=self.model.logit_scale.exp(),
            text_negatives=features[size:].view(size, slots, -1) if slots else None,
            text_valid=batch.valid if slots else None,
            kinds=batch.kinds if slots else None,
            image_ids=batch.image_ids,
        )


def stepper(plan: Plan, recipe: str, *, plain: bool) -> Callable[[Batch], None]:
    """One whole step: features, loss, gradients, AdamW."""
    model = make_model(plan).train()
    towers: nn.Module = Plain(model) if plain else model
    loss = build_loss(recipe).to(plan.device).train()
    objective = Objective(towers, loss, precision=plan.precision)  # type: ignore[arg-type]
    optimiser = make_optimiser({"model": model.network, "loss": loss}, 0.1)
    set_learning_rate(optimiser, 1e-5)

    def step(batch: Batch) -> None:
        objective.backward(batch, 0, lambda total: total, lambda out: None)
        clip_gradients(optimiser, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
