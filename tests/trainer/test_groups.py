"""Groups of figures in the trainer: decoding, the group losses against plain loops, the 2x2 score, and a run."""

from __future__ import annotations

import io
import itertools
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from ahnpl.data.images import training_pixels
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items
from ahnpl.evaluation.metrics import RIGHT, leads, outcome
from ahnpl.evaluation.run import evaluate
from ahnpl.evaluation.show import as_figures
from ahnpl.losses import Features, build_loss
from ahnpl.losses.members import Members
from ahnpl.losses.row import Row
from ahnpl.model.clip import ModelSpec, load_checkpoint, load_model, load_tokenizer, parameter_counts
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_model, make_plan, make_stream
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.errors import UsageError
from negmine.base.hashing import generator
from negmine.contract.shard_format import read_samples
from negmine.engine.local import LocalEngine
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.stage import write_shards
from torch.nn import functional as F

from tests.trainer.losses.batches import random_features


def figures(folder: Path, count: int, negatives: int = 3, level: int = 1) -> Path:
    """Shards of scenes, all of them for training."""
    render(
        RenderSettings(GroupSettings("scenes", level=level, negatives=negatives, size=64, seed=1), count=count),
        folder / "work",
        LocalEngine(1),
    )
    write_shards(
        ShardSettings(shard_size=1000, train_fraction=1.0, negatives=negatives),
        folder / "work",
        folder / "data",
        LocalEngine(1),
    )
    return folder / "data"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return figures(tmp_path_factory.mktemp("scenes"), 40)


# --- decoding --------------------------------------------------------------------------------------------------------


def batch_of(shards: Path, recipe: str, **options: object):  # type: ignore[no-untyped-def]
    config = TrainConfig(
        shards=(f"{shards}/*.tar",), recipe=recipe, model="tiny-conv", batch_size=8, workers=0, **options
    )  # type: ignore[arg-type]
    plan = make_plan(config)
    model = make_model(plan)
    return plan, model, next(iter(make_stream(plan, model).batches(0)))


def test_a_batch_has_every_member_cropped_as_its_base_is(scenes: Path) -> None:
    plan, _, batch = batch_of(scenes, "mmclip_both")
    assert plan.image_negatives == 3
    samples = {s.key: s for tar in scenes.glob("*.tar") for s in read_samples(io.BytesIO(tar.read_bytes()), "tar")}
    tokenize = load_tokenizer("tiny-conv")
    for row, key in enumerate(batch.keys):
        sample = samples[key]
        assert batch.image_valid[row].sum() == len(sample.image_negatives)
        for slot, (negative, content) in enumerate(
            zip(sample.image_negatives, sample.image_negative_bytes, strict=True)
        ):
            same_crop = training_pixels(content, 64, generator(0, "crop", 0, key))
            assert torch.equal(batch.image_negatives[row, slot], same_crop)
            assert torch.equal(batch.image_negative_texts[row, slot], tokenize([negative.caption])[0])


def test_pictures_are_only_decoded_where_a_recipe_asks(scenes: Path) -> None:
    for recipe in ("clip", "negclip", "ahnpl"):
        plan, model, batch = batch_of(scenes, recipe)
        assert plan.image_negatives == 0
        assert batch.image_negatives is None
        assert model(batch).image_negatives is None


def test_fewer_pictures_can_be_asked_for(scenes: Path) -> None:
    _, model, batch = batch_of(scenes, "mmclip", negatives=2)
    features = model(batch)
    assert batch.image_negatives.shape[:2] == features.image_negatives.shape[:2] == (8, 2)
    assert features.text_ids.shape == (8, 3)


def test_shards_without_pictures_are_refused(few_shards: Callable[..., Path]) -> None:
    config = TrainConfig(shards=(f"{few_shards()}/*.tar",), recipe="mmclip")
    with pytest.raises(UsageError, match="needs image negatives"):
        make_plan(config)


# --- losses ----------------------------------------------------------------------------------------------------------


def members_by_loops(features: Features, direction: str, scope: str) -> float:
    """Every existing member asks; candidates as the docstring says; written with lists."""
    rows = []
    for b in range(len(features.image)):
        rows.append((b, features.image[b], features.text[b], int(features.text_ids[b, 0])))
        rows += [
            (b, features.image_negatives[b, j], features.image_negative_texts[b, j], int(features.text_ids[b, j + 1]))
            for j in range(features.image_negatives.shape[1])
            if features.image_valid[b, j]
        ]
    losses = []
    for n, (group, image, text, words) in enumerate(rows):
        anchor = image if direction == "i2t" else text
        scores = []
        for m, (other, picture, caption, others_words) in enumerate(rows):
            if m == n or ((scope == "block" or other == group) and others_words != words):
                scores.append(features.logit_scale * anchor @ (caption if direction == "i2t" else picture))
                position = len(scores) - 1 if m == n else None
                if position is not None:
                    own = position
        losses.append(float(-F.log_softmax(torch.stack(scores), dim=0)[own]))
    return sum(losses) / len(losses)


@pytest.mark.parametrize("scope", ["group", "block"])
@pytest.mark.parametrize("direction", ["i2t", "t2i"])
def test_members_against_plain_loops(direction: str, scope: str) -> None:
    features = random_features(3)
    ids = features.text_ids.clone()
    ids[2, 1], ids[4, 0] = ids[0, 0], ids[2, 2]  # the same caption in two groups
    features = replace(features, text_ids=ids)
    found = Members(direction=direction, scope=scope)(features).value
    assert float(found) == pytest.approx(members_by_loops(features, direction, scope))


def test_both_is_half_of_each() -> None:
    features = random_features(5)
    group, block, both = (float(build_loss(f"mmclip_{name}")(features).total) for name in ("group", "block", "both"))
    assert both == pytest.approx((group + block) / 2)


def test_mmclip_is_the_papers_loss_and_gradient() -> None:
    """Section 3.3: a softmax over one positive and the own negatives; dL/ds+ = -(1 - p+), dL/ds-_i = p_i."""
    features = random_features(7, full=True)
    image = features.image.clone().requires_grad_()
    out = build_loss("mmclip")(replace(features, image=image))
    s = features.logit_scale
    expected = {}
    for name, anchors, own, others in (
        ("text", features.image, features.text, features.text_negatives),
        ("image", features.text, features.image, features.image_negatives),
    ):
        scores = torch.stack([torch.cat([own[b][None], others[b]]) @ anchors[b] * s for b in range(len(anchors))])
        expected[name] = float(-F.log_softmax(scores, dim=1)[:, 0].mean())
    assert {name: float(out.parts[name].detach()) for name in expected} == pytest.approx(expected)
    (gradient,) = torch.autograd.grad(out.parts["text"], image)
    texts = torch.cat([features.text[:, None], features.text_negatives], dim=1)
    p = torch.softmax(s * torch.einsum("bd,bkd->bk", features.image, texts), dim=1)
    p[:, 0] -= 1
    torch.testing.assert_close(gradient, s * torch.einsum("bk,bkd->bd", p, texts) / len(image))


def test_sigmoid_form_against_plain_loops() -> None:
    features = random_features(9)
    found = Row(direction="t2i", columns=["own"], denominator={"sigmoid": {"bias": -2.0}})(features).value
    total = 0.0
    for b in range(5):
        pairs = [(1, features.image[b])] + [
            (-1, features.image_negatives[b, j]) for j in range(3) if features.image_valid[b, j]
        ]
        for sign, picture in pairs:
            total -= float(F.logsigmoid(sign * (features.logit_scale * features.text[b] @ picture - 2)))
    assert float(found) == pytest.approx(total / 5)
    parts = build_loss({"extends": "mmclip", "form": "sigmoid"}).terms
    assert set(parts) == {"text_sigmoid", "image_sigmoid"}


# --- the 2x2 score ---------------------------------------------------------------------------------------------------


def test_two_by_two_against_the_definition() -> None:
    for scores in itertools.product((0.1, 0.2, 0.3, 0.4), repeat=4):
        a, b, c, d = scores  # picture 0: a, b; picture 1: c, d; captions in columns
        text, image = a > b and d > c, a > c and d > b
        found = leads(torch.tensor([[a, b], [c, d]]))
        assert [outcome(lead) == RIGHT for lead in (*found, min(found))] == [text, image, text and image]


@given(st.integers(0, 10_000))
def test_chance_of_the_group_score_is_a_sixth(seed: int) -> None:
    """Over the 24 orders of four different scores: text and image 1/4, both 1/6."""
    order = random.Random(seed).sample([0.1, 0.2, 0.3, 0.4], 4)
    found = [leads(torch.tensor(p).view(2, 2)) for p in itertools.permutations(order)]
    right = [[outcome(lead) == RIGHT for lead in (text, image, min(text, image))] for text, image in found]
    assert [sum(column) for column in zip(*right, strict=True)] == [6, 6, 4]


def test_evaluation_scores_pairs_by_kind(scenes: Path) -> None:
    model = load_model(ModelSpec("tiny-conv", seed=3)).eval()
    shards = open_shards([f"{scenes}/*.tar"])
    report = evaluate(model, shard_items(shards), retrieval=False)
    counts = {kind: pairs.total for kind, pairs in report.pairs.items()}
    assert counts == {kind: accuracy.total for kind, accuracy in report.kinds.items()}
    item = next(shard_items(shards))
    twin = item.twins[0]
    one = evaluate(model, [replace(item, twins=(twin,))], retrieval=False).pairs[twin.kind]
    swapped = replace(
        item, image=twin.image, caption=twin.caption, twins=(replace(twin, image=item.image, caption=item.caption),)
    )
    assert evaluate(model, [swapped], retrieval=False).pairs[twin.kind] == one
    numbers = as_figures(report)
    assert numbers["pairs_micro"]["total"] == sum(counts.values())


# --- the model and a run ----------------------------------------------------------------------------------------------


def test_tiny_conv_is_small_and_knows_places() -> None:
    model = load_model(ModelSpec("tiny-conv")).eval()
    counts = parameter_counts(model)
    assert counts["image tower"] + counts["text tower"] < 1_000_000
    spot = torch.zeros(2, 3, 64, 64, dtype=torch.uint8)
    spot[0, :, 4:12, 4:12], spot[1, :, 52:60, 52:60] = 255, 255
    one, other = model.encode_image(spot)
    assert float(one @ other) < 0.999


def test_tiny_conv_checkpoints_load_in_open_clip(tmp_path: Path) -> None:
    import open_clip
    from ahnpl.model.checkpoint import write_json
    from negmine.encoders.clip_models import CONFIG_NAME, WEIGHTS_NAME
    from safetensors.torch import save_file

    model = load_model(ModelSpec("tiny-conv", seed=4)).eval()
    write_json(tmp_path / CONFIG_NAME, model.config)
    save_file(model.network.state_dict(), tmp_path / WEIGHTS_NAME)
    again = open_clip.create_model(f"local-dir:{tmp_path}").eval()
    pixels = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(again.encode_image(pixels), model.network.encode_image(pixels))  # type: ignore[operator]
    assert load_checkpoint(tmp_path).image_size == 64


def test_mmclip_learns_its_own_training_groups(tmp_path: Path) -> None:
    """500 groups, 60 steps: the true caption above each own negative far more often than one time in two."""
    folder = figures(tmp_path, 500, negatives=2)
    config = TrainConfig(
        shards=(f"{folder}/*.tar",),
        recipe="mmclip",
        model="tiny-conv",
        batch_size=50,
        steps=60,
        lr=5e-4,
        workers=0,
        out=str(tmp_path / "run"),
        resume="never",
    )
    result = train(make_plan(config))
    report = evaluate(
        load_checkpoint(result.checkpoint).eval(), shard_items(open_shards(config.shards)), retrieval=False
    )
    assert report.micro.total == sum(len(item.foils) for item in shard_items(open_shards(config.shards)))
    assert report.micro.interval[0] > 0.6
