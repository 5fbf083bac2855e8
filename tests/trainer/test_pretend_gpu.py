"""Nothing of the host's meets what lies on a GPU; and how often a step makes the host wait for it."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.run import evaluate
from ahnpl.losses import Features, build_loss, list_recipes
from ahnpl.model.clip import ClipModel, ModelSpec, load_model
from ahnpl.model.export import export
from ahnpl.training.ema import Teacher
from ahnpl.training.memory import trial_batch
from ahnpl.training.objective import Objective
from negmine.encoders.clip_models import WEIGHTS_NAME
from torch import Tensor

from tests.trainer.conftest import make_batch, texts_only
from tests.trainer.pretend_gpu import GPU, OnGpu, WrongDevice, on_gpu, pretend_gpu

WAITS = 13
"""Most in a step of `ahnpl`: texts that are equal, packing, empty slots, and whether the loss is finite."""


@pytest.fixture
def model(micro: str) -> ClipModel:
    return load_model(ModelSpec(micro, seed=3))


@pytest.fixture(scope="module")
def features(micro: str) -> Features:
    """Of a batch with everything a recipe may ask for."""
    model = load_model(ModelSpec(micro, seed=3))
    with torch.no_grad():
        found = model(make_batch(pictures=3))
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
    with pretend_gpu():
        again.to(GPU)
        there = features.image.to(GPU).detach().requires_grad_()
        torch.manual_seed(1)
        at_once = None if again.whole_terms else 3  # rows, where they may be taken apart
        found = again(replace(moved(features), image=there), at_once).total
        found.backward()
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


def test_how_often_the_host_waits(model: ClipModel) -> None:
    loss = build_loss("ahnpl")
    with pretend_gpu() as gpu:
        model.to(GPU), loss.to(GPU)
        objective, batch = Objective(model, loss), texts_only(make_batch()).to(GPU)
        out = objective.loss(batch, 0)
        assert torch.isfinite(out.total)
        objective.backward(out.total)
        assert sum(gpu.waits.values()) <= WAITS, gpu.waits


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
