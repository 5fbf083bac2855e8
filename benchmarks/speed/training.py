"""What does a training step with hard negatives cost?

    python benchmarks/speed/training.py SHARDS... [--recipe ahnpl] [--model tiny] [--batch-size 64] [--turns 10]

Three steps take turns on the same batches, in one process: ours; the same recipe in the plain way, which encodes every
slot at the full 77 tokens with open_clip's own ``encode_text``; and a plain CLIP step without negatives, its captions
at 77 tokens too. The first turn is not counted. Weights are random.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from itertools import count, islice
from tempfile import TemporaryDirectory

import torch
from ahnpl.data.batch import Batch
from ahnpl.losses import Features, build_loss
from ahnpl.model.clip import ClipModel
from ahnpl.training.config import TrainConfig
from ahnpl.training.objective import Objective
from ahnpl.training.optimise import clip_gradients, make_optimiser, set_learning_rate
from ahnpl.training.plan import Plan, make_model, make_plan, make_stream
from comparison import Comparison, Row, show, take_turns
from torch import nn

PLAIN, CLIP = "the same by open_clip's `encode_text`, every slot at 77 tokens", "a CLIP step, no negatives, 77 tokens"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--recipe", default="ahnpl")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--negatives", type=int, default=5)
    parser.add_argument("--turns", type=int, default=10)
    options = parser.parse_args()
    show(compare(**vars(options)))


def compare(
    shards: list[str],
    turns: int = 10,
    recipe: str = "ahnpl",
    model: str = "tiny",
    batch_size: int = 64,
    negatives: int = 5,
) -> Comparison:
    """Our step against both plain ones."""
    with TemporaryDirectory() as out:
        config = TrainConfig(
            shards=tuple(shards),
            recipe=recipe,
            model=model,
            batch_size=batch_size,
            negatives=negatives,
            workers=0,
            out=out,
        )
        plan = make_plan(config)
        drawn = batches(plan, turns + 1)
        steps = {
            "ours": stepper(plan, recipe, plain=False),
            PLAIN: stepper(plan, recipe, plain=True),
            CLIP: stepper(plan, "clip", plain=True),
        }
        rates = take_turns(
            {name: partial(one_step, plan, name, step, iter(drawn)) for name, step in steps.items()}, turns, warm=1
        )
    what = f"step of `{model}` with `{recipe}`"
    rows = [Row(what, "samples/s", rates["ours"], peer, rates[peer]) for peer in (PLAIN, CLIP)]
    filled = statistics.mean(float(batch.valid.float().mean()) for batch in drawn)
    setting = (
        f"batches of {batch_size}, K = {plan.negatives}, {filled:.0%} of the slots filled, {plan.device.type}, "
        f"{torch.get_num_threads()} thread(s), seconds on the wall"
    )
    return Comparison("training", setting, rows)


def one_step(plan: Plan, name: str, step: Callable[[Batch], None], following: Iterator[Batch]) -> float:
    """A step on the next batch; how many captions it took."""
    batch = next(following)
    step(without_negatives(batch) if name == CLIP else batch)
    if plan.device.type == "cuda":
        torch.cuda.synchronize()
    return len(batch.keys)


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
        objective.backward(objective.loss(batch, 0).total)
        clip_gradients(optimiser, 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return step


if __name__ == "__main__":
    main()
