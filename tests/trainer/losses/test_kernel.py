"""The row kernel, and CLIP by it."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ahnpl.losses import build_loss
from ahnpl.losses.kernel import row
from hypothesis import given, settings
from hypothesis import strategies as st
from open_clip.loss import ClipLoss, SigLipLoss
from torch.nn import functional as F

from tests.trainer.losses.batches import (
    CORRECTED,
    random_features,
    with_gradients,
)


class TestKernel:
    @given(st.integers(0, 1000), st.integers(1, 6))
    @settings(max_examples=25, deadline=None)
    def test_is_cross_entropy_on_a_square_matrix(self, seed: int, size: int) -> None:
        logits = 20 * torch.randn(size, size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        others = ~torch.eye(size, dtype=torch.bool)
        expected = F.cross_entropy(logits, torch.arange(size))
        torch.testing.assert_close(row(logits.diagonal(), logits, mask=others), expected)

    @pytest.mark.parametrize("include_positive", [True, False])
    @pytest.mark.parametrize("aggregation", ["sum", "mean"])
    @pytest.mark.parametrize("columns", [0, 3])
    def test_empty_rows_cost_nothing(self, include_positive: bool, aggregation: str, columns: int) -> None:
        positive = torch.tensor([100.0, -100.0], requires_grad=True)
        negatives = torch.full((2, columns), 50.0, requires_grad=True)
        loss = row(
            positive,
            negatives,
            mask=torch.zeros(2, columns).bool(),
            include_positive=include_positive,
            aggregation=aggregation,
        )
        loss.backward()
        assert loss.item() == 0
        assert positive.grad is not None and not positive.grad.any()
        assert negatives.grad is not None and not negatives.grad.any()

    def test_what_a_row_pulls_it_pushes_elsewhere(self) -> None:
        positive, negatives = torch.randn(4).double().requires_grad_(), torch.randn(4, 3).double().requires_grad_()
        pulled, pushed = torch.autograd.grad(row(positive, negatives), (positive, negatives))
        torch.testing.assert_close(pulled + pushed.sum(1), torch.zeros(4).double())

    def test_info_nce_is_softplus_of_decoupled(self) -> None:
        positive, negatives = torch.tensor([1.5]), torch.tensor([[0.3, 2.0]])
        decoupled = row(positive, negatives, include_positive=False)
        torch.testing.assert_close(row(positive, negatives), F.softplus(decoupled))

    def test_mean_aggregation_forgets_the_number_of_candidates(self) -> None:
        positive, negatives = torch.tensor([1.0]), torch.tensor([[0.5]])
        many = row(positive, negatives.expand(1, 7), aggregation="mean")
        torch.testing.assert_close(many, row(positive, negatives, aggregation="mean"))

    def test_margin_and_weights_enter_in_logit_units(self) -> None:
        positive, negatives = torch.tensor([2.0, 1.0]), torch.tensor([[1.0], [0.0]])
        torch.testing.assert_close(row(positive, negatives, margin=0.5), row(positive - 0.5, negatives))
        doubled = row(positive, negatives, log_weight=math.log(2))
        torch.testing.assert_close(doubled, row(positive, negatives.expand(2, 2)))
        first_only = row(positive, negatives, sample_weight=torch.tensor([2.0, 0.0]))
        torch.testing.assert_close(first_only, row(positive[:1], negatives[:1]))


class TestClip:
    def test_equals_open_clip(self) -> None:
        features = with_gradients(random_features(batch=9))
        theirs = with_gradients(random_features(batch=9))
        ours = build_loss("clip")(features).total
        expected = ClipLoss()(theirs.image, theirs.text, theirs.logit_scale)
        torch.testing.assert_close(ours, expected)
        ours.backward()
        expected.backward()
        torch.testing.assert_close(features.image.grad, theirs.image.grad)
        torch.testing.assert_close(features.logit_scale.grad, theirs.logit_scale.grad)

    @pytest.mark.parametrize("recipe", CORRECTED)
    def test_recipes_without_a_valid_negative_are_clip(self, recipe: str) -> None:
        features = random_features()
        assert features.text_valid is not None
        features = replace(features, text_valid=torch.zeros_like(features.text_valid))
        expected = ClipLoss()(features.image, features.text, features.logit_scale)
        torch.testing.assert_close(build_loss(recipe)(features).total, expected)

    def test_siglip_is_open_clips_with_the_models_own_bias(self) -> None:
        features, bias = random_features(), torch.tensor(-3.0, dtype=torch.float64, requires_grad=True)
        found = build_loss("siglip")(replace(features, logit_bias=bias)).total
        expected = SigLipLoss()(features.image, features.text, features.logit_scale, bias)
        torch.testing.assert_close(found, expected)
        ours, theirs = (torch.autograd.grad(one, bias)[0] for one in (found, expected))
        torch.testing.assert_close(ours, theirs)
        hard = build_loss("siglip_hard")(replace(features, logit_bias=bias)).total
        logits = features.logit_scale * torch.einsum("bd,bkd->bk", features.image, features.text_negatives) + bias
        added = torch.where(features.text_valid, F.softplus(logits), 0).sum() / 5  # type: ignore[arg-type]
        torch.testing.assert_close(hard, expected + added)

    def test_a_model_without_a_bias_learns_one_beside_it(self) -> None:
        loss = build_loss("siglip")
        loss(random_features()).total.backward()
        assert [p.grad is not None and float(p.grad) != 0 for p in loss.parameters()] == [True]

    def test_other_captions_of_the_image_are_left_out(self) -> None:
        features = replace(random_features(batch=4), image_ids=torch.tensor([1, 1, 2, 3]))
        loss = build_loss("clip")
        logits = features.logit_scale * features.image @ features.text.T
        same = features.image_ids[:, None] == features.image_ids  # type: ignore[index]
        kept = logits.masked_fill(same & ~torch.eye(4).bool(), -torch.inf)
        target = torch.arange(4)
        expected = (F.cross_entropy(kept, target) + F.cross_entropy(kept.T, target)) / 2
        torch.testing.assert_close(loss(features).total, expected)
