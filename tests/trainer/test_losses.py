"""Losses against independent golden values and the properties that a user relies on."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from ahnpl.losses import Features, RecipeLoss, build_loss, list_recipes
from ahnpl.losses.kernel import row
from ahnpl.losses.mixers import shift_images
from ahnpl.losses.rank import PositiveMargin, Rank
from ahnpl.losses.row import Row, _column_as_target
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.errors import UsageError
from open_clip.loss import ClipLoss
from torch import Tensor
from torch.nn import functional as F

PICTURES = ("image_negatives", "image_valid", "image_negative_texts", "text_ids")
TEACHER = ("teacher_image", "teacher_text", "teacher_text_negatives", "teacher_logit_scale")
DRAWING = ("mochi", "kalm_mix", "ft", "pg_rank")  # draw random numbers at each call
WITH_NEGATIVES = [name for name in list_recipes() if build_loss(name).needs_negatives]
CORRECTED = ["negclip", "ce_clip", "ahnpl"]
GROUPS = ["mmclip", "mmclip_group", "mmclip_block", "mmclip_both"]


def golden() -> Features:
    i, d, k = torch.arange(3.0).double(), torch.arange(4.0).double(), torch.arange(2.0).double()
    base = 4 * i[:, None] + d
    negatives = 1.7 + 0.4 * k[None, :, None] + base[:, None, :]
    return Features(
        image=F.normalize(torch.sin(1 + base), dim=-1),
        text=F.normalize(torch.sin(1.3 + base), dim=-1),
        logit_scale=torch.tensor(10.0).double(),
        text_negatives=F.normalize(torch.sin(negatives), dim=-1),
        text_valid=torch.tensor([[1, 1], [1, 0], [1, 1]]).bool(),
    )


def random_features(seed: int = 0, batch: int = 5, slots: int = 3, width: int = 8, full: bool = False) -> Features:
    random = torch.Generator().manual_seed(seed)
    unit = lambda *shape: F.normalize(torch.randn(*shape, width, generator=random, dtype=torch.float64), dim=-1)  # noqa: E731
    valid = torch.rand(batch, slots, generator=random) < 0.7
    aside = torch.Generator().manual_seed(seed + 2000)
    teacher = lambda *shape: F.normalize(torch.randn(*shape, width, generator=aside, dtype=torch.float64), dim=-1)  # noqa: E731
    others = torch.Generator().manual_seed(seed + 1000)  # pictures come from a generator of their own
    pictures = torch.randn(2, batch, slots, width, generator=others, dtype=torch.float64)
    return Features(
        image=unit(batch),
        text=unit(batch),
        logit_scale=torch.tensor(7.0, dtype=torch.float64),
        text_negatives=unit(batch, slots),
        text_valid=torch.ones_like(valid) if full else valid,
        kinds=torch.randint(0, 4, (batch, slots), generator=random),
        image_negatives=F.normalize(pictures[0], dim=-1),
        image_valid=torch.ones_like(valid) if full else torch.rand(batch, slots, generator=others) < 0.7,
        image_negative_texts=F.normalize(pictures[1], dim=-1),
        text_ids=torch.arange(batch * (1 + slots)).view(batch, 1 + slots),
        teacher_image=teacher(batch),
        teacher_text=teacher(batch),
        teacher_text_negatives=teacher(batch, slots),
        teacher_logit_scale=torch.tensor(9.0, dtype=torch.float64),
    )


def with_gradients(features: Features) -> Features:
    names = ("image", "text", "logit_scale", "text_negatives")
    return replace(features, **{name: getattr(features, name).clone().requires_grad_() for name in names})


def part(term: dict[str, Any], features: Features) -> float:
    return float(Row(**term)(features).value)


def rank(margin: list[float], **options: Any) -> Rank:
    term = Rank(**options).double()
    term.margins.value[: len(margin)] = torch.tensor(margin, dtype=torch.float64)
    return term


TEXT = {"direction": "t2t", "masked": False}
IMAGE = {"direction": "i2i", "masked": False}


class TestGoldenValues:
    """Values computed by independent float64 code."""

    @pytest.mark.parametrize(
        ("recipe", "expected"),
        [
            ("clip", 0.00057984736),
            ("negclip", 0.1342424659),
            ({"extends": "ahnpl", "form": "released", "negative_weight": 0, "margin_weight": 0}, 0.1352496210),
            ("ahnpl_released", 4.7837215731),
        ],
    )
    def test_totals(self, recipe: Any, expected: float) -> None:
        assert float(build_loss(recipe)(golden()).total) == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(
        ("term", "normalise", "expected"),
        [
            ({**TEXT, "columns": ["all"], "positive": "diagonal_column"}, False, 12.3639970877),
            ({**IMAGE, "columns": ["all"], "positive": "diagonal_column"}, False, 10.8783626728),
            ({**IMAGE, "columns": ["all"], "positive": "diagonal_column"}, True, 12.4961598440),
            ({**TEXT, "columns": ["all"], "positive": "first_column"}, False, 8.2897005754),
            ({**IMAGE, "columns": ["all"], "positive": "first_column"}, False, 7.0055963812),
            ({**IMAGE, "columns": ["all"], "positive": "first_column"}, True, 7.9485165403),
            ({"direction": "t2t", "columns": ["own"], "positive": "self"}, False, 0.4054634328),
            ({"direction": "i2i", "columns": ["own"], "positive": "self"}, False, 0.1679392232),
            ({"direction": "i2i", "columns": ["own"], "positive": "self"}, True, 0.3883672461),
            ({"direction": "t2t", "columns": ["own"], "positive": "none"}, False, 9.2664730202),
        ],
    )
    def test_intra_modal_rows(self, term: dict[str, Any], normalise: bool, expected: float) -> None:
        assert part(term, shift_images(golden(), normalise=normalise)) == pytest.approx(expected, abs=1e-6)

    def test_text_row_with_the_pair_as_positive(self) -> None:
        features = golden()
        assert features.text_negatives is not None
        positive = 10 * (features.image * features.text).sum(1)
        negatives = 10 * features.text @ features.text_negatives.flatten(0, 1).T
        assert float(row(positive, negatives)) == pytest.approx(0.5735433574, abs=1e-6)

    @pytest.mark.parametrize(
        ("margin", "divisor", "expected"),
        [([0, 0], "slots", 0.0), ([2, 5], "slots", 0.4252186149), ([2, 5], "valid", 0.5102623379)],
    )
    def test_rank(self, margin: list[float], divisor: str, expected: float) -> None:
        assert float(rank(margin, divisor=divisor)(golden()).value) == pytest.approx(expected, abs=1e-6)

    @pytest.mark.parametrize(
        ("rule", "expected"), [("released", [1.90640758, 5.22942131]), ("gap", [1.90640758, 5.17509478])]
    )
    def test_next_margin(self, rule: str, expected: list[float]) -> None:
        term = rank([0, 0], rule=rule)
        term(golden())
        assert term.margins.value[:2].tolist() == pytest.approx(expected, abs=1e-6)

    def test_shifted_images(self) -> None:
        features = golden()
        raw, unit = shift_images(features, normalise=False), shift_images(features, normalise=True)
        assert raw.image_negatives is not None and unit.image_negatives is not None
        norms = [[0.91670896, 0.83788276], [0.90575993, 0.80833482], [0.82724395, 0.69767046]]
        torch.testing.assert_close(raw.image_negatives.norm(dim=-1), torch.tensor(norms).double(), atol=1e-6, rtol=0)
        own = 10 * torch.einsum("bd,bkd->bk", features.image, unit.image_negatives)
        expected = [[9.47677945, 7.72519259], [9.26410746, 6.1981625], [8.706345, 4.55373266]]
        torch.testing.assert_close(own, torch.tensor(expected).double(), atol=1e-6, rtol=0)

    def test_bytecode_scales_the_image_side(self) -> None:
        parts = build_loss("ahnpl_bytecode")(golden()).parts
        weights = build_loss("ahnpl_bytecode").weights
        assert float(parts["image_negatives"]) == pytest.approx(10.8783626728, abs=1e-6)
        assert weights["image_negatives"] == pytest.approx(0.001 * weights["text_negatives"])


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
            positive, negatives, mask=torch.zeros(2, columns).bool(),
            include_positive=include_positive, aggregation=aggregation,
        )  # fmt: skip
        loss.backward()
        assert loss.item() == 0
        assert positive.grad is not None and not positive.grad.any()
        assert negatives.grad is not None and not negatives.grad.any()

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

    def test_other_captions_of_the_image_can_be_left_out(self) -> None:
        features = replace(random_features(batch=4), image_ids=torch.tensor([1, 1, 2, 3]))
        loss = build_loss({"extends": "clip", "drop_same_image": True})
        logits = features.logit_scale * features.image @ features.text.T
        same = features.image_ids[:, None] == features.image_ids  # type: ignore[index]
        kept = logits.masked_fill(same & ~torch.eye(4).bool(), -torch.inf)
        target = torch.arange(4)
        expected = (F.cross_entropy(kept, target) + F.cross_entropy(kept.T, target)) / 2
        torch.testing.assert_close(loss(features).total, expected)


def shuffled(features: Features, order: Tensor) -> Features:
    names = ("image", "text", "text_negatives", "text_valid", "kinds", *PICTURES, *TEACHER[:3])
    return replace(features, **{name: getattr(features, name)[order] for name in names})


class TestEveryRecipe:
    @pytest.mark.parametrize("recipe", [*CORRECTED, *GROUPS, "clip"])
    def test_the_order_of_samples_does_not_matter(self, recipe: str) -> None:
        features, order = random_features(), torch.tensor([3, 1, 4, 0, 2])
        torch.testing.assert_close(
            build_loss(recipe)(features).total, build_loss(recipe)(shuffled(features, order)).total
        )

    @pytest.mark.parametrize("recipe", ["ahnpl_released", "ahnpl_followup"])
    def test_released_forms_depend_on_the_order(self, recipe: str) -> None:
        features, order = random_features(), torch.tensor([3, 1, 4, 0, 2])
        before, after = build_loss(recipe)(features).total, build_loss(recipe)(shuffled(features, order)).total
        assert abs(float(before - after)) > 1e-3

    @pytest.mark.parametrize("recipe", CORRECTED)
    def test_what_is_masked_is_not_seen(self, recipe: str) -> None:
        features = random_features()
        other = random_features(seed=99)
        assert features.text_valid is not None and features.text_negatives is not None
        changed = torch.where(features.text_valid[..., None], features.text_negatives, other.text_negatives)
        first = with_gradients(features)
        second = with_gradients(replace(features, text_negatives=changed))
        losses = [build_loss(recipe)(f).total for f in (first, second)]
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
        loss = build_loss(recipe)
        out = loss(random_features())
        expected = sum(loss.weights[name] * float(value.detach()) for name, value in out.parts.items())
        assert float(out.total) == pytest.approx(expected)

    @pytest.mark.parametrize("recipe", list_recipes())
    def test_half_precision_is_computed_in_float32(self, recipe: str) -> None:
        features = random_features(full=True)
        names = (
            "image", "text", "logit_scale", "text_negatives", "image_negatives", "image_negative_texts", *TEACHER,
        )  # fmt: skip
        half = replace(features, **{n: getattr(features, n).bfloat16() for n in names})
        torch.manual_seed(0)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            out = build_loss(recipe)(half)
        if recipe in DRAWING:
            assert out.total.dtype == torch.float32
            return
        assert out.total.dtype == torch.float32
        exact = build_loss(recipe)(replace(half, **{n: getattr(half, n).double() for n in names}))
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
        out = build_loss(recipe)(features)
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
        out = build_loss(recipe)(random_features(batch=batch, slots=slots, full=True))
        assert out.total.shape == ()
        assert torch.isfinite(out.total)


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

        loss = _column_as_target(similarities, torch.ones(3, 6).bool(), first=False)
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
        second(replace(
            features,
            text_negatives=features.text_negatives[:, order],  # type: ignore[index]
            text_valid=features.text_valid[:, order],  # type: ignore[index]
        ))  # fmt: skip
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


class TestRecipes:
    def test_forms_by_name_and_by_mapping_agree(self) -> None:
        for form in ("released", "bytecode", "followup"):
            by_name, by_form = build_loss(f"ahnpl_{form}"), build_loss({"extends": "ahnpl", "form": form})
            torch.testing.assert_close(by_name(golden()).total, by_form(golden()).total)

    def test_parameters_override_the_form(self) -> None:
        loss = build_loss({"extends": "ahnpl_released", "negative_weight": 0.5})
        assert loss.weights["text_negatives"] == 0.5
        assert loss.recipe.parameters["negative_positive"] == "diagonal_column"

    def test_linear_in_its_weights(self) -> None:
        at = [float(build_loss({"extends": "ahnpl", "negative_weight": w})(golden()).total) for w in (0, 1, 2)]
        assert at[2] - at[1] == pytest.approx(at[1] - at[0])

    def test_a_file_of_ones_own(self, tmp_path: Any) -> None:
        path = tmp_path / "mine.yaml"
        path.write_text("extends: ce_clip\nmargin_weight: 0\n")
        loss = build_loss(path)
        assert "margin" not in loss.weights
        assert loss.recipe.name == "mine"

    @pytest.mark.parametrize(
        ("recipe", "expected"),
        [
            ("ahnlp", "ahnpl"),
            ({"extends": "ahnpl", "margin_wieght": 1}, "margin_weight"),
            ({"extends": "ahnpl", "form": "correct"}, "corrected"),
            ({"extends": "ahnpl", "margin_rule": "gab"}, "gap"),
            ({"extends": "ahnpl", "margin_weight": "much"}, "0.2"),
            ({"terms": {"a": {"direction": "i2t", "column": ["own"]}}}, "columns"),
            ({"terms": {"a": {"term": "rwo"}}}, "row"),
            ({"term": {}}, "terms"),
            ({"title": "nothing"}, "terms"),
            ("nowhere.yaml", "nowhere.yaml"),
        ],
    )
    def test_mistakes_are_named_with_what_is_near(self, recipe: Any, expected: str) -> None:
        with pytest.raises(UsageError, match=expected):
            build_loss(recipe)

    def test_circles_are_refused(self, tmp_path: Any) -> None:
        path = tmp_path / "snake.yaml"
        path.write_text(f"extends: {path}\n")
        with pytest.raises(UsageError, match="circle"):
            build_loss(path)

    @pytest.mark.parametrize(
        ("change", "names"),
        [
            ({"text": torch.zeros(3, 5)}, ["text", r"\(3, 5\)", "image", r"\(3, 4\)"]),
            ({"text_negatives": torch.zeros(3, 2, 5)}, ["text_negatives", r"\(3, 2, 5\)"]),
            ({"text_negatives": torch.zeros(6, 4)}, ["text_negatives", r"\(6, 4\)"]),
            ({"text_valid": torch.ones(2, 3).bool()}, ["text_valid", r"\(2, 3\)"]),
            ({"logit_scale": torch.ones(3)}, ["logit_scale", r"\(3,\)"]),
        ],
    )
    def test_wrong_shapes_are_named(self, change: dict[str, Tensor], names: list[str]) -> None:
        with pytest.raises(UsageError) as error:
            replace(golden(), **change)
        for name in names:
            assert error.match(name)

    @pytest.mark.parametrize("recipe", WITH_NEGATIVES)
    def test_negatives_that_are_needed_and_missing(self, recipe: str) -> None:
        loss: RecipeLoss = build_loss(recipe)
        assert loss.needs_negatives
        with pytest.raises(UsageError, match="negatives"):
            loss(replace(random_features(), text_negatives=None, text_valid=None, teacher_text_negatives=None))
