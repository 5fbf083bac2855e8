"""Nothing of the host's meets what lies on a GPU; and how often a step makes the host wait for it."""

from __future__ import annotations

import threading
from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from ahnpl.data.shards import open_shards
from ahnpl.data.worklist import with_worklists
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.run import evaluate
from ahnpl.losses import Features, build_loss, list_recipes
from ahnpl.model.clip import ClipModel, ModelSpec, load_model
from ahnpl.model.export import export
from ahnpl.training.config import TrainConfig
from ahnpl.training.ema import Teacher
from ahnpl.training.loop import Trainer
from ahnpl.training.memory import trial_batch
from ahnpl.training.objective import Objective
from ahnpl.training.plan import make_plan
from negmine.encoders.clip_models import WEIGHTS_NAME
from torch import Tensor

from tests.trainer.conftest import make_batch, texts_only
from tests.trainer.pretend_gpu import GPU, OnGpu, WrongDevice, on_gpu, pretend_gpu

WAITS = 0
"""Most in a step; what a row of metrics.jsonl says is read when it is written."""


@pytest.fixture
def model(micro: str) -> ClipModel:
    return load_model(ModelSpec(micro, seed=3))


@pytest.fixture(scope="module")
def features(micro: str) -> Features:
    """Of a batch with everything a recipe may ask for."""
    model = load_model(ModelSpec(micro, seed=3))
    with torch.no_grad():
        batch = make_batch(pictures=3)
        true = torch.arange(16).view(8, 2) % 3 > 0
        found = model(replace(batch, positives=batch.negatives[:, :2], positive_valid=true))
    own = {"image": found.image, "text": found.text, "text_negatives": found.text_negatives}
    return replace(found, teacher_logit_scale=found.logit_scale, **{f"teacher_{n}": t for n, t in own.items()})


def moved(features: Features) -> Features:
    tensors = {field.name: getattr(features, field.name) for field in fields(features)}
    return replace(features, **{name: one.to(GPU) for name, one in tensors.items() if isinstance(one, Tensor)})


def test_the_pretence_holds(model: ClipModel) -> None:
    with pretend_gpu() as gpu:
        assert on_gpu(model.to(GPU))
        with pytest.raises(WrongDevice, match=r"model/clip\.py"):
            model.encode_text(torch.zeros(2, 77, dtype=torch.long))
        there = torch.ones(3).to(GPU)
        assert not gpu.waits
        assert float(there.sum()) == 3 and (there + 1)[there > 0].shape == (3,)
        assert sum(gpu.waits.values()) == 2


@pytest.mark.parametrize("recipe", list_recipes())
def test_losses(recipe: str, features: Features) -> None:
    width = {"width": 32} if "width" in build_loss(recipe).recipe.parameters else {}
    torch.manual_seed(0)
    loss = build_loss({"extends": recipe, **width})
    here = features.image.clone().requires_grad_()
    torch.manual_seed(1)
    loss(replace(features, image=here)).total.backward()
    torch.manual_seed(0)
    again = build_loss({"extends": recipe, **width})
    with pretend_gpu() as gpu:
        again.to(GPU)
        there = features.image.to(GPU).detach().requires_grad_()
        torch.manual_seed(1)
        at_once = None if again.whole_terms else 3  # rows, where they may be taken apart
        found = again(replace(moved(features), image=there), at_once).total
        found.backward()
        assert recipe == "meow" or not gpu.waits  # whose clusters are counted
        assert isinstance(found, OnGpu) and there.grad is not None and here.grad is not None
        if recipe != "meow":  # whose clusters hang on rounding
            torch.testing.assert_close(there.grad.cpu(), here.grad)


@pytest.mark.parametrize("parts", [1, 2])
def test_a_step(model: ClipModel, parts: int) -> None:
    loss = build_loss("ahnpl_degla")
    with pretend_gpu() as gpu:
        model.to(GPU), loss.to(GPU)
        assert loss.teacher is not None
        objective = Objective(model, loss, teacher=Teacher(model, loss.teacher), grad_cache_chunks=parts)
        objective.backward(objective.loss(texts_only(make_batch()).to(GPU), 0).total)
        assert all(isinstance(p.grad, OnGpu) for p in model.parameters() if p.requires_grad)
        assert gpu.waits


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        ("ahnpl", {}),
        ("ahnpl", {"precision": "fp16"}),
        ("ahnpl", {"grad_cache_chunks": 2}),
        ("siglip_hard", {"ema": 0.9, "loss_rows": 4}),
        ("ahnpl_degla", {}),
    ],
)
def test_how_often_the_host_waits(
    recipe: str, options: dict[str, Any], micro: str, shards: Path, tmp_path: Path
) -> None:
    """In a whole step; and in what is written of it."""
    config = TrainConfig(
        shards=(f"{shards}/*.tar",),
        recipe=recipe,
        model=micro,
        out=str(tmp_path),
        batch_size=8,
        steps=9,
        workers=0,
        **options,
    )
    with pretend_gpu() as gpu:
        trainer = Trainer(replace(make_plan(config), device=GPU), threading.Event())
        assert on_gpu(trainer.state.model) and isinstance(next(iter(trainer.state.loss.state_dict().values())), OnGpu)
        for batch in islice(trainer.stream.batches(0), 2):
            gpu.waits.clear()
            out, norm = trainer.train_step(batch.to(GPU))
            assert isinstance(out.total, OnGpu)
            assert sum(gpu.waits.values()) <= WAITS, gpu.waits
        trainer.log_step(out, norm)
        assert gpu.waits


@pytest.mark.parametrize("parts", [1, 2])
def test_image_negatives_make_no_host_wait(model: ClipModel, parts: int) -> None:
    loss = build_loss("mmclip_both")
    batch = with_worklists(make_batch(), model.end_of_text, parts)
    with pretend_gpu() as gpu:
        model.to(GPU), loss.to(GPU)
        objective = Objective(model, loss, grad_cache_chunks=parts)
        objective.backward(objective.loss(batch.to(GPU), 0).total)
        assert not gpu.waits


def test_what_a_dry_run_tries(model: ClipModel) -> None:
    with pretend_gpu():
        model.to(GPU)
        found = model(trial_batch(model, 2, 1))
        assert isinstance(found.text_negatives, OnGpu) and isinstance(found.image_negatives, OnGpu)


def test_evaluation_and_export(model: ClipModel, shards: Path, tmp_path: Path) -> None:
    items = list(shard_items(open_shards([f"{shards}/00000.tar"])))
    here = evaluate(model, items, retrieval=True)
    export(model, tmp_path / "here")
    with pretend_gpu():
        model.to(GPU)
        there = evaluate(model, items, retrieval=True)
        export(model, tmp_path / "there")
    assert there.micro == here.micro and there.retrieval == here.retrieval
    assert (tmp_path / "there" / WEIGHTS_NAME).read_bytes() == (tmp_path / "here" / WEIGHTS_NAME).read_bytes()
