"""What holds for every recipe, and neutral parameters."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import torch
from ahnpl.losses import Features, RecipeLoss, build_loss, list_recipes
from torch import Tensor

from tests.trainer.losses.batches import (
    CORRECTED,
    DRAWING,
    GROUPS,
    OWN,
    TEACHER,
    built,
    random_features,
    shuffled,
    total,
    with_gradients,
)

NEUTRAL: list[tuple[dict[str, Any], Any]] = [
    ({"extends": "hcl", "beta": 0.0, "tau_plus": 0.0}, OWN),
    ({"extends": "mochi", "pairs": 0, "queries": 0}, OWN),
    ({"extends": "kalm_mix", "pairs": 0, "listed": False}, OWN),
    ({"extends": "ft", "extrapolate": 0.0, "interpolate": 0.0}, OWN),
    ({"extends": "unime", "beta": 9.0, "k": 99}, "clip"),
    ({"extends": "focal", "gamma": 0.0}, OWN),
    ({"extends": "peg", "kappa": 0.0}, OWN),
    ({"extends": "sample4geo", "label_smoothing": 0.0}, "clip"),
    ({"extends": "dclw", "sigma": 1e9}, "dcl"),
    ({"extends": "clip_own", "own_weight": 0.0}, "clip"),
    ({"extends": "nspt", "weight": 0.0}, "clip"),
    ({"extends": "degla", "igc_weight": 0.0, "tgc_weight": 0.0, "distill_weight": 0.0, "neg_scope": "all"}, "negclip"),
    ({"extends": "ahnpl_degla", "distill_weight": 0.0}, "ahnpl"),
    ({"extends": "ahnpl_unime", "beta": 9.0}, "ahnpl"),
    ({"extends": "ahnpl_retention", "image_retention": 0.0, "text_retention": 0.0}, "ahnpl"),
    ({"extends": "soft_labels", "weight": 0.0}, OWN),
    ({"extends": "pg_rank", "weight": 0.0}, OWN),
    ({"extends": "d2o", "weight": 0.0}, OWN),
    ({"extends": "ar2", "weight": 0.0}, OWN),
    ({"extends": "supremix", "mixtures": 0, "graded": False}, OWN),
    ({"extends": "quality", "strength": 0.0}, OWN),
    ({"extends": "cet", "selection": 1.0}, OWN),
    ({"extends": "pamc", "count": 99, "text_columns": []}, "clip"),
    ({"extends": "pamc", "count": 99}, OWN),
    ({"extends": "amcl", "own_weight": 0.0}, "clip"),
    ({"extends": "hydra", "gated_weight": 0.0}, "clip"),
    ({"extends": "sycl", "wasserstein_weight": 0.0, "list_weight": 0.0}, OWN),
    ({"extends": "sepclr", "separate_weight": 0.0}, OWN),
    ({"extends": "space2"}, "clip_own"),
    ({"extends": "gnm"}, "mmclip_block"),
    ({"extends": "cocosoda", "size": 0}, OWN),
    ({"extends": "spn4cir", "size": 0}, OWN),
    ({"extends": "asl", "gamma_negative": 0.0, "clip": 0.0}, "siglip_row"),
]
SAME_ON_A_SMALL_BATCH = {"ahnpl_unime", "pamc", "space2", "gnm", "cocosoda", "spn4cir"}
ORDERED = [
    name for name in list_recipes() if name not in {"ahnpl_released", "ahnpl_bytecode", "ahnpl_followup", *DRAWING}
]
READING_TEXTS = [
    name
    for name in list_recipes()
    if build_loss(name).needs_negatives
    and name
    not in {
        "ahnpl_released",
        "ahnpl_bytecode",
        "ahnpl_followup",
        "mmclip",
        *DRAWING,
    }
]


@pytest.mark.parametrize(("recipe", "plain"), NEUTRAL, ids=[recipe["extends"] for recipe, _ in NEUTRAL])
def test_neutral_parameters_are_the_plain_loss(recipe: dict[str, Any], plain: Any) -> None:
    features = random_features(3)
    torch.testing.assert_close(total(recipe, features), total(plain, features))
    changed = total(recipe["extends"], features)
    assert recipe["extends"] in SAME_ON_A_SMALL_BATCH or abs(float((changed - total(plain, features)).detach())) > 1e-6


@pytest.mark.parametrize("recipe", ORDERED)
def test_the_order_of_samples_does_not_matter(recipe: str) -> None:
    features = random_features(4)
    again = shuffled(features, torch.tensor([3, 1, 4, 0, 2]))
    torch.testing.assert_close(total(recipe, features), total(recipe, again))


@pytest.mark.parametrize("recipe", READING_TEXTS)
def test_what_is_masked_is_not_seen(recipe: str) -> None:
    features, other = random_features(), random_features(seed=99)
    assert features.text_valid is not None and features.text_negatives is not None
    changed = torch.where(features.text_valid[..., None], features.text_negatives, other.text_negatives)
    second = with_gradients(replace(features, text_negatives=changed))
    found = total(recipe, second)
    torch.testing.assert_close(found.detach(), total(recipe, features).detach())
    found.backward()
    assert second.text_negatives is not None
    if second.text_negatives.grad is not None:
        assert not second.text_negatives.grad[~features.text_valid].any()


@pytest.mark.parametrize("recipe", list_recipes())
def test_a_single_row_without_negatives_is_finite(recipe: str) -> None:
    features = random_features(batch=1)
    assert features.text_valid is not None and features.image_valid is not None
    nothing = torch.zeros_like(features.text_valid)
    features = with_gradients(replace(features, text_valid=nothing, image_valid=nothing))
    found = total(recipe, features)
    found.backward()
    assert torch.isfinite(found)
    assert features.image.grad is not None and torch.isfinite(features.image.grad).all()


@pytest.mark.parametrize(
    ("recipe", "part"),
    [
        ("asl", "own"),
        ("siglip_row", "own"),
        ("mmclip", "text"),
        ("degla", "distill"),
        ("degla", "tgc"),
        ("ar2", "ranker"),
        ("d2o", "dispreference"),
        ("soft_labels", "soft"),
        ("sycl", "list"),
    ],
)
def test_terms_of_own_negatives_do_not_grow_with_the_batch(recipe: str, part: str) -> None:
    """Trap: AR2, CQ-DINO and DeGLA sum over the batch, so that a weight means another thing at another size."""
    features = random_features()
    once, twice = (built(recipe)(f).parts[part] for f in (features, shuffled(features, torch.arange(5).repeat(2))))
    torch.testing.assert_close(once, twice)


def meeting(recipe: str, same_image: str) -> float:
    """How much image 0 and caption 1, which are of one image, meet in a loss: 0 where no row has them both."""
    torch.manual_seed(0)
    features = replace(random_features(full=True), image_ids=torch.tensor([7, 7, 8, 9, 10]))
    image, text = (rows.clone().requires_grad_() for rows in (features.image, features.text))
    loss = built({"extends": recipe, "same_image": same_image})
    loss.begin_step(4, 10)
    found = loss(replace(features, image=image, text=text)).total
    (of_image,) = torch.autograd.grad(found, image, create_graph=True)
    together = 0.0
    for value in of_image[0] if of_image.requires_grad else ():
        (of_both,) = torch.autograd.grad(value, text, retain_graph=True, allow_unused=True)
        together += 0.0 if of_both is None else float(of_both[1].abs().sum())
    return together


JOINED = {
    "sycl": "one distance of all rows",
    "ahnpl_retention": "a teacher's likenesses",
    "dclw": "rows weigh in proportion to each other",
    "cacr": "they are positives",
}
APART = {"mmclip", "mmclip_group", "siglip_row", "asl", "contriever", "ft", "groco"}
"""Their rows have no other samples, or these bear no gradient."""


@pytest.mark.parametrize("recipe", [name for name in list_recipes() if name not in JOINED])
def test_samples_of_one_image_are_never_negatives_unless_asked(recipe: str) -> None:
    keeps = recipe in {"negclip", "ahnpl_released", "ahnpl_bytecode", "ahnpl_followup"}
    assert build_loss(recipe).knows_images != keeps
    assert meeting(recipe, "masked") < 1e-9
    assert (meeting(recipe, "negatives") > 1e-6) == (recipe not in APART)


ROW_WISE = [name for name in list_recipes() if not build_loss(name).whole_terms]


@pytest.mark.parametrize("recipe", ROW_WISE)
def test_rows_of_a_loss_add_up_to_it(recipe: str) -> None:
    """Own rows on each of three processes, and rows at a time: the same loss and gradients."""

    def found(of: Callable[[RecipeLoss, Features], Tensor]) -> list[Tensor]:
        torch.manual_seed(0)
        loss = built(recipe)
        loss.begin_step(4, 10)
        features = replace(with_gradients(random_features(batch=6)), image_ids=torch.tensor([7, 7, 8, 9, 9, 9]))
        total = of(loss, features)
        total.backward()
        leaves = (features.image, features.text, features.text_negatives, features.logit_scale)
        return [total.detach(), *(one.grad for one in leaves if one is not None and one.grad is not None)]

    def own_rows(loss: RecipeLoss, features: Features) -> Tensor:
        totals = []
        for first in (0, 2, 4):
            torch.manual_seed(0)
            alone = copy.deepcopy(loss)
            totals.append(alone(replace(features, rows=slice(first, first + 2))).total)
        return torch.stack(totals).mean()

    def whole(loss: RecipeLoss, features: Features, at_once: int | None = None) -> Tensor:
        torch.manual_seed(0)
        total: Tensor = loss(features, at_once).total
        return total

    expected = found(whole)
    for other in (own_rows, partial(whole, at_once=4), partial(whole, at_once=1)):
        again = found(other)
        assert len(again) == len(expected)
        for one, two in zip(again, expected, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-12)


class TestEveryRecipe:
    @pytest.mark.parametrize("recipe", [*CORRECTED, *GROUPS, "clip"])
    def test_the_order_of_samples_does_not_matter(self, recipe: str) -> None:
        features, order = random_features(), torch.tensor([3, 1, 4, 0, 2])
        torch.testing.assert_close(built(recipe)(features).total, built(recipe)(shuffled(features, order)).total)

    @pytest.mark.parametrize("recipe", ["ahnpl_released", "ahnpl_followup"])
    def test_released_forms_depend_on_the_order(self, recipe: str) -> None:
        features, order = random_features(), torch.tensor([3, 1, 4, 0, 2])
        before, after = built(recipe)(features).total, built(recipe)(shuffled(features, order)).total
        assert abs(float(before - after)) > 1e-3

    @pytest.mark.parametrize("recipe", CORRECTED)
    def test_what_is_masked_is_not_seen(self, recipe: str) -> None:
        features = random_features()
        other = random_features(seed=99)
        assert features.text_valid is not None and features.text_negatives is not None
        changed = torch.where(features.text_valid[..., None], features.text_negatives, other.text_negatives)
        first = with_gradients(features)
        second = with_gradients(replace(features, text_negatives=changed))
        losses = [built(recipe)(f).total for f in (first, second)]
        for loss in losses:
            loss.backward()
        torch.testing.assert_close(losses[0], losses[1])
        torch.testing.assert_close(first.image.grad, second.image.grad)
        assert second.text_negatives is not None and second.text_negatives.grad is not None
        assert not second.text_negatives.grad[~features.text_valid].any()

    def test_released_form_sees_fillers(self) -> None:
        features = random_features()
        assert features.text_negatives is not None
        filler = features.text_negatives.clone()
        filler[~features.text_valid] = random_features(seed=5).text_negatives[~features.text_valid]  # type: ignore[index, operator]
        losses = [build_loss("ahnpl_released")(f).parts for f in (features, replace(features, text_negatives=filler))]
        assert all(abs(float(losses[0][n] - losses[1][n])) > 1e-6 for n in ("i2t", "text_negatives"))

    @pytest.mark.parametrize("recipe", list_recipes())
    def test_total_is_the_weighted_sum_of_parts(self, recipe: str) -> None:
        loss = built(recipe)
        out = loss(random_features())
        expected = sum(loss.weights[name] * float(value.detach()) for name, value in out.parts.items())
        assert float(out.total) == pytest.approx(expected)

    @pytest.mark.parametrize("recipe", list_recipes())
    def test_half_precision_is_computed_in_float32(self, recipe: str) -> None:
        features = random_features(full=True)
        names = (
            "image",
            "text",
            "logit_scale",
            "text_negatives",
            "text_positives",
            "image_negatives",
            "image_negative_texts",
            *TEACHER,
        )
        half = replace(features, **{n: getattr(features, n).bfloat16() for n in names})
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = built(recipe)(half)
        if recipe in DRAWING:
            assert out.total.dtype == torch.float32
            return
        assert out.total.dtype == torch.float32
        exact = built(recipe)(replace(half, **{n: getattr(half, n).double() for n in names}))
        assert float(out.total) == pytest.approx(float(exact.total), rel=1e-5)
        assert exact.total.dtype == torch.float64

    @pytest.mark.parametrize("recipe", list_recipes())
    def test_finite_at_scale_100_with_duplicates_and_empty_rows(self, recipe: str) -> None:
        features = random_features()
        assert features.text_valid is not None and features.text_negatives is not None
        valid, texts = features.text_valid.clone(), features.text_negatives.clone()
        valid[0], texts[1] = False, features.text[1]
        features = with_gradients(
            replace(features, text_valid=valid, text_negatives=texts, logit_scale=torch.tensor(100.0).double())
        )
        out = built(recipe)(features)
        out.total.backward()
        assert torch.isfinite(out.total)
        assert features.image.grad is not None and torch.isfinite(features.image.grad).all()

    @pytest.mark.parametrize("recipe", ["ahnpl", "ahnpl_released", "ce_clip", "negclip"])
    def test_every_part_trains_the_temperature(self, recipe: str) -> None:
        fixed = {} if recipe == "negclip" else {"upper_bound": 100.0, "margin_rule": "fixed"}
        loss = build_loss({"extends": recipe, **fixed})
        for name, value in loss(features := with_gradients(random_features())).parts.items():
            if name == "positive_margin":
                continue  # in cosine units
            (gradient,) = torch.autograd.grad(value, features.logit_scale, retain_graph=True)
            assert gradient.abs() > 1e-9, name

    @pytest.mark.parametrize("slots", [1, 4])
    @pytest.mark.parametrize("batch", [1, 3])
    @pytest.mark.parametrize("recipe", CORRECTED)
    def test_single_rows_and_slots(self, recipe: str, batch: int, slots: int) -> None:
        out = built(recipe)(random_features(batch=batch, slots=slots, full=True))
        assert out.total.shape == ()
        assert torch.isfinite(out.total)
