"""AHNPL and CE-CLIP: shifted images, intra-modal rows, margins."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from ahnpl.losses import Features, build_loss
from ahnpl.losses.kernel import row
from ahnpl.losses.mixers import shift_images
from ahnpl.losses.rank import PositiveMargin, Rank
from ahnpl.losses.row import _column_as_target
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from tests.trainer.losses.batches import (
    golden,
    random_features,
    rank,
    with_gradients,
)


class TestShiftedImages:
    def test_identities_with_the_cosine_gap(self) -> None:
        features = random_features()
        assert features.text_negatives is not None
        raw, unit = (shift_images(features, normalise=n).image_negatives for n in (False, True))
        assert raw is not None and unit is not None
        shift = features.text_negatives - features.text[:, None]
        gap = -torch.einsum("bd,bkd->bk", features.image, shift)
        own = torch.einsum("bd,bkd->bk", features.image, raw)
        torch.testing.assert_close(raw - features.image[:, None], shift)
        torch.testing.assert_close(own, 1 - gap)
        length = (1 - 2 * gap + shift.square().sum(-1)).sqrt()
        torch.testing.assert_close(torch.einsum("bd,bkd->bk", features.image, unit), (1 - gap) / length)

    @pytest.mark.parametrize("form", ["corrected", "released", "followup"])
    def test_text_and_image_sides_train_their_own_tower(self, form: str) -> None:
        features = with_gradients(random_features())
        parts = build_loss({"extends": "ahnpl", "form": form})(features).parts
        inputs = [features.image, features.text, features.text_negatives]
        image = torch.autograd.grad(parts["image_negatives"], inputs, retain_graph=True, allow_unused=True)
        text = torch.autograd.grad(parts["text_negatives"], inputs, allow_unused=True)
        assert image[0].abs().sum() > 0 and image[1] is None and image[2] is None
        assert text[0] is None and text[1].abs().sum() > 0 and text[2].abs().sum() > 0

    def test_detached_key_changes_the_gradient_only(self) -> None:
        outs, gradients = [], []
        for detach in (False, True):
            features = with_gradients(random_features())
            recipe = {"extends": "ahnpl", "form": "released", "detach_key": detach}
            value = build_loss(recipe)(features).parts["image_negatives"]
            outs.append(value.detach())
            gradients.append(torch.autograd.grad(value, features.image)[0])
        torch.testing.assert_close(outs[0], outs[1])
        assert (gradients[0] - gradients[1]).abs().max() > 1e-4

    def test_normalising_a_vanishing_image_stays_finite(self) -> None:
        image = F.normalize(torch.ones(1, 4), dim=-1).requires_grad_()
        features = Features(image, torch.zeros(1, 4), torch.tensor(1.0), text_negatives=-image.detach()[:, None])
        moved = shift_images(features, normalise=True).image_negatives
        assert moved is not None
        moved.sum().backward()
        assert image.grad is not None and torch.isfinite(image.grad).all()


class TestIntraModal:
    def test_released_form_attracts_one_own_negative(self) -> None:
        similarities = torch.zeros(3, 6, dtype=torch.float64, requires_grad=True)

        loss = _column_as_target(similarities, torch.ones(3, 6).bool(), torch.arange(3))
        assert float(loss.detach()) == pytest.approx(math.log(6))
        loss.backward()
        assert similarities.grad is not None
        own = torch.stack([similarities.grad[i, 2 * i : 2 * i + 2] for i in range(3)])
        assert (own < 0).nonzero().tolist() == [[0, 0]]

    @given(st.integers(0, 500))
    @settings(max_examples=20, deadline=None)
    def test_corrected_form_never_attracts(self, seed: int) -> None:
        features = random_features(seed)
        texts = features.text_negatives
        assert texts is not None
        similarity = torch.einsum("bd,bkd->bk", features.text, texts).requires_grad_()
        loss = row(
            features.logit_scale * torch.ones(5).double(), features.logit_scale * similarity, mask=features.text_valid
        )
        loss.backward()
        assert float(loss.detach()) >= 0
        assert similarity.grad is not None and (similarity.grad >= 0).all()
        torch.testing.assert_close(loss, build_loss("ahnpl")(features).parts["text_negatives"])

    def test_corrected_image_side_is_a_softplus_of_the_gap(self) -> None:
        features = random_features(slots=1, full=True)
        assert features.text_negatives is not None
        gap = (features.image * (features.text - features.text_negatives[:, 0])).sum(1)
        expected = F.softplus(-features.logit_scale * gap).mean()
        torch.testing.assert_close(build_loss("ahnpl")(features).parts["image_negatives"], expected)


class TestMargins:
    def test_convex_and_monotone_in_the_margin(self) -> None:
        features = random_features()
        values = [float(rank([m] * 3, divisor="slots")(features).value) for m in range(-40, 60, 5)]
        steps = [b - a for a, b in pairwise(values)]
        assert values[0] == 0
        assert all(0 <= s <= 5 + 1e-9 for s in steps)
        assert all(b >= a - 1e-9 for a, b in pairwise(steps))

    def test_zero_margin_is_the_plain_hinge_and_equal_texts_cost_the_margin(self) -> None:
        features = random_features(full=True)
        same = replace(features, text_negatives=features.text[:, None].expand(5, 3, 8).clone())
        assert float(rank([2, 4, 6])(same).value) == pytest.approx(4.0)
        hinge = features.logit_scale * (
            torch.einsum("bd,bkd->bk", features.image, features.text_negatives)  # type: ignore[arg-type]
            - (features.image * features.text).sum(1)[:, None]
        )
        torch.testing.assert_close(Rank().double()(features).value, hinge.relu().mean())

    def test_image_gradient(self) -> None:
        features = with_gradients(random_features())
        term = rank([3, 3, 3], divisor="slots")
        term(features).value.backward()
        assert features.text_negatives is not None and features.text_valid is not None
        difference = (features.text_negatives - features.text[:, None]).detach()
        gap = 7 * torch.einsum("bd,bkd->bk", features.image.detach(), difference)
        active = ((3 + gap > 0) & features.text_valid)[..., None]
        torch.testing.assert_close(features.image.grad, 7 / 15 * (active * difference).sum(1))
        assert not term.margins.value.requires_grad

    def test_divisors_differ_by_the_share_of_valid_slots(self) -> None:
        features = random_features()
        by_slots, by_valid = (float(rank([9, 9, 9], divisor=d)(features).value) for d in ("slots", "valid"))
        assert features.text_valid is not None
        assert by_valid / by_slots == pytest.approx(15 / float(features.text_valid.sum()))

    def test_used_one_step_later_and_clamped(self) -> None:
        term = Rank(upper_bound=1.5).double()
        assert term(golden()).stats["margin"].tolist() == [0, 0]
        assert term(golden()).stats["margin"].tolist() == [1.5, 1.5]
        assert not Rank(upper_bound=0).double()(golden()).stats["margin"].any()

    def test_evaluation_leaves_the_margin_alone(self) -> None:
        term = Rank().double().eval()
        term(golden())
        assert not term.margins.value.any()

    def test_fixed_never_changes_and_epochs_can_reset(self) -> None:
        fixed = Rank(rule="fixed", upper_bound=8).double()
        fixed(golden())
        fixed.margins.begin_epoch()
        assert set(fixed.margins.value.tolist()) == {8}
        released = build_loss("ahnpl_released")
        released(golden())
        released.begin_epoch()
        assert released(golden()).stats["margin"].tolist() == [0, 0]

    @pytest.mark.parametrize(("rule", "expected"), [("gap", 4.0), ("released", 10.0)])
    def test_a_slot_absent_from_a_batch(self, rule: str, expected: float) -> None:
        term = rank([1.0, 4.0], rule=rule)
        features = golden()
        valid = torch.tensor([[1, 0], [1, 0], [1, 0]]).bool()
        positive = replace(features, text_valid=valid, logit_scale=torch.tensor(20.0).double())
        term(positive)
        assert float(term.margins.value[1]) == expected

    def test_rules_agree_when_all_negatives_exist(self) -> None:
        features = random_features(full=True)
        gap, released = rank([], rule="gap"), rank([], rule="released")
        gap(features), released(features)
        torch.testing.assert_close(gap.margins.value[:3], released.margins.value[:3])

    def test_permuting_slots_permutes_margins(self) -> None:
        features, order = random_features(), [2, 0, 1]
        first, second = rank([]), rank([])
        first(features)
        second(
            replace(
                features,
                text_negatives=features.text_negatives[:, order],  # type: ignore[index]
                text_valid=features.text_valid[:, order],  # type: ignore[index]
            )
        )
        torch.testing.assert_close(second.margins.value[:3], first.margins.value[:3][order])

    def test_margins_are_in_logits(self) -> None:
        features = random_features()
        once = rank([2, 3, 4])(features).value
        thrice = rank([6, 9, 12])(replace(features, logit_scale=3 * features.logit_scale)).value
        torch.testing.assert_close(thrice, 3 * once)

    def test_by_kind_is_by_slot_when_slots_are_kinds(self) -> None:
        features = random_features()
        kinds = torch.tensor([5, 9, 2]).expand(5, 3)
        by_slot, by_kind = rank([]), rank([], by="kind")
        by_slot(features), by_kind(replace(features, kinds=kinds))
        torch.testing.assert_close(by_kind.margins.value[[5, 9, 2]], by_slot.margins.value[:3])

    def test_margins_travel_in_the_checkpoint(self) -> None:
        loss, other = build_loss("ahnpl"), build_loss("ahnpl")
        loss(golden())
        other.load_state_dict(loss.state_dict())
        assert other(golden()).stats["margin"].tolist() == pytest.approx([1.90640758, 5.17509478], abs=1e-6)


class TestPositiveMargin:
    def test_value_and_gradient(self) -> None:
        features = golden()
        cosine = (features.image * features.text).sum(1)
        alpha = float(cosine.median()) + 1e-3
        term = PositiveMargin(alpha=alpha, learnable=True).double()
        value = term(features).value
        value.backward()
        assert float(value.detach()) == pytest.approx(float((alpha - cosine).relu().mean()), abs=1e-6)
        assert term.alpha.grad is not None and float(term.alpha.grad) == pytest.approx(2 / 3)
        assert float(PositiveMargin(alpha=0.2).double()(features).value) == 0

    def test_alpha_is_clamped_and_learnable_only_on_request(self) -> None:
        assert float(PositiveMargin(alpha=-3.0)(golden()).stats["alpha"]) == pytest.approx(0.2)
        recipe = {"extends": "ahnpl", "positive_margin_weight": 0.3}
        learn = build_loss({**recipe, "learn_positive_margin": True})
        assert [p.requires_grad for p in learn.parameters()] == [True]
        assert not any(p.requires_grad for p in build_loss(recipe).parameters())
        assert any("alpha" in name for name in learn.state_dict())
