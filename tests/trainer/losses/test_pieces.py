"""Pieces of rows and terms against their definitions, and traps of released code."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from ahnpl.losses import build_loss
from ahnpl.losses.denominators import Debiased
from ahnpl.losses.kernel import Logits, row
from ahnpl.losses.mixers import ExtrapolatePositive, Kalm, MoCHi
from ahnpl.losses.row import Row
from ahnpl.losses.sorting import soft_sort, sort_losses
from negmine.base.errors import UsageError
from torch import Tensor
from torch.nn import functional as F

from tests.trainer.losses.batches import (
    OWN,
    OWN_ROW,
    random_features,
    shuffled,
    total,
    with_gradients,
)


def logits(positive: Tensor, negatives: Tensor, mask: Tensor | None = None, trusted: Tensor | None = None) -> Logits:
    """A row at s = 2 with plain weights."""
    no = torch.zeros(negatives.shape[1]).bool()
    return Logits(
        positive,
        negatives,
        torch.ones_like(negatives).bool() if mask is None else mask,
        torch.zeros_like(negatives),
        no if trusted is None else trusted,
        torch.tensor(2.0).double(),
        torch.zeros_like(negatives).bool(),
    )


class TestDenominators:
    def test_decoupled_has_a_constant_gradient_to_the_positive(self) -> None:
        positive = torch.tensor([0.3, 4.0]).double().requires_grad_()
        loss = build_loss("dcl").terms["i2t"].denominator(logits(positive, torch.randn(2, 3).double()))
        loss.sum().backward()
        assert positive.grad is not None and positive.grad.tolist() == [-1, -1]

    @pytest.mark.parametrize("smoothing", [0.0, 0.1])
    def test_label_smoothing_is_torchs(self, smoothing: float) -> None:
        features = random_features()
        scores = features.logit_scale * features.image @ features.text.T
        target = torch.arange(5)
        expected = F.cross_entropy(scores, target, label_smoothing=smoothing)
        expected = (expected + F.cross_entropy(scores.T, target, label_smoothing=smoothing)) / 2
        torch.testing.assert_close(total({"extends": "sample4geo", "label_smoothing": smoothing}, features), expected)

    def test_debiased_is_its_formula_and_its_floor_holds(self) -> None:
        p, n = torch.tensor([0.5, 1.9]).double(), torch.tensor([[1.0, -0.4, 0.2], [-2.0, -1.9, -2.0]]).double()
        tau = 0.1
        sums = (n.exp().sum(1) - tau * 3 * p.exp()) / (1 - tau)
        assert sums[0] > 3 * math.exp(-2) > sums[1]
        expected = torch.log1p(sums.clamp_min(3 * math.exp(-2)) / p.exp())
        torch.testing.assert_close(Debiased(tau_plus=tau)(logits(p, n)), expected)

    def test_debiasing_leaves_rule_negatives_alone(self) -> None:
        p, n = torch.tensor([0.5]).double(), torch.tensor([[1.0, 0.2]]).double()
        found = Debiased(tau_plus=0.3)(logits(p, n, trusted=torch.tensor([True, True])))
        torch.testing.assert_close(found[0], row(p, n))

    def test_hardness_never_lowers_the_loss_and_ends_at_the_hardest(self) -> None:
        features = random_features()
        losses = [
            float(total({"extends": "hcl", "beta": beta, "tau_plus": 0.0}, features)) for beta in (0.0, 0.3, 1.0, 5.0)
        ]
        assert losses == sorted(losses)
        one = Row(direction="i2t", columns=["inbatch"], weights=[{"tilt": {"beta": 1e4}}])(features).value
        scores = features.logit_scale * features.image @ features.text.T
        hardest = scores.masked_fill(torch.eye(5).bool(), -torch.inf).amax(1)
        torch.testing.assert_close(one, F.softplus(hardest + math.log(4) - scores.diagonal()).mean())

    def test_sorting_is_doubly_stochastic_and_knows_order(self) -> None:
        values = torch.randn(4, 6, dtype=torch.float64)
        share = soft_sort(values, 3.0)
        for axis in (1, 2):
            torch.testing.assert_close(share.sum(axis), torch.ones(4, 6).double())
        low, high = torch.tensor([[0.0, 1.0, 2.0]]).double(), torch.tensor([[5.0]]).double()
        assert float(sort_losses(low, high, 1e5)) < 1e-4
        assert float(sort_losses(low + 9, high, 10.0)) > 1

    def test_sorting_teaches_the_anchor_only(self) -> None:
        features = with_gradients(random_features())
        build_loss("groco").terms["i2t"](features).value.backward()
        assert features.image.grad is not None and features.image.grad.any()
        assert features.text.grad is None and features.text_negatives.grad is None  # type: ignore[union-attr]

    def test_cacr_with_flat_weights_is_a_difference_of_means(self) -> None:
        features = random_features(full=True)
        cost = 2 - 2 * features.image @ features.text.T
        own = 2 - 2 * torch.einsum("bd,bkd->bk", features.image, features.text_negatives)  # type: ignore[arg-type]
        others = cost[~torch.eye(5).bool()].view(5, 4)
        expected = cost.diagonal().mean() - torch.cat([others, own], 1).mean()
        part = build_loss({"extends": "cacr", "t_positive": 0.0, "t_negative": 0.0})(features).parts["i2t"]
        torch.testing.assert_close(part, expected)


class TestMasks:
    def test_unime_takes_no_filtered_candidate_where_fewer_than_k_are_left(self) -> None:
        """Trap: the released code's top-k returns what it had filtered."""
        features = replace(random_features(), text=random_features().image)  # every positive is 1
        features = replace(features, text=F.normalize(-features.image, dim=-1))  # and now -1: all others lie above
        assert float(total({"extends": "unime", "beta": 0.0}, features)) == 0

    def test_equal_captions_of_the_batch_are_no_negatives(self) -> None:
        features = random_features()
        twins = replace(features, text=features.text[[0, 0, 1, 2, 3]])
        term = Row(direction="i2t", columns=["inbatch", "own"], masks=["near_duplicates"])
        mask = term.masks[0](view := term._view(twins), view.mask())
        assert not mask[0, 1] and not mask[1, 0]
        assert torch.equal(mask[2:], view.mask()[2:]) and torch.equal(mask[:, 5:], view.mask()[:, 5:])

    def test_more_candidates_never_lower_the_loss(self) -> None:
        features = random_features(batch=9)
        by_k = [float(total({"extends": "unime", "k": k}, features)) for k in (1, 2, 4, 8)]
        by_beta = [float(total({"extends": "unime", "beta": b}, features)) for b in (0.0, 0.2, 0.5, 2.0)]
        assert by_k == sorted(by_k) and by_beta == sorted(by_beta)

    def test_masks_are_exact_at_scale_100(self) -> None:
        """Trap: the released DCL adds log 1e-45, about -103, which is no mask at s = 100."""
        features = replace(random_features(), logit_scale=torch.tensor(100.0).double())
        scores = 100 * features.image @ features.text.T
        kept = scores.masked_fill(torch.eye(5).bool(), -torch.inf)
        expected = (kept.logsumexp(1) + kept.T.logsumexp(1)).mean() / 2 - scores.diagonal().mean()
        torch.testing.assert_close(total("dcl", features), expected)


class TestSampleWeights:
    def test_vmf_weighs_the_positive_as_the_reference(self) -> None:
        features = random_features()
        scores = features.logit_scale * features.image @ features.text.T
        cosine = scores.diagonal() / features.logit_scale
        weight = 2 - 5 * (cosine / 0.5).softmax(0)
        kept = scores.masked_fill(torch.eye(5).bool(), -torch.inf)
        expected = (kept.logsumexp(1) + kept.T.logsumexp(1)).mean() / 2 - (weight * scores.diagonal()).mean()
        assert float(weight.mean()) == pytest.approx(1)
        torch.testing.assert_close(total("dclw", features), expected)

    def test_progress_turns_from_easy_to_hard(self) -> None:
        loss = build_loss("peg")
        scores = logits(torch.tensor([5.0, 0.0]).double(), torch.ones(2, 3).double())
        weights = []
        for step in (0, 100):
            loss.begin_step(step, 100)
            weights.append(loss.terms["i2t"].sample_weight(scores))
        assert weights[0][0] > weights[0][1] and weights[1][0] < weights[1][1]
        assert [float(w.mean()) for w in weights] == pytest.approx([1, 1])


class TestMixers:
    @pytest.mark.parametrize("mixer", [MoCHi(start=0.0), MoCHi(start=0.0, mix_query="anchor"), Kalm()])
    def test_mixtures_are_detached_unit_vectors_that_only_raise_the_loss(self, mixer: Any) -> None:
        features = with_gradients(random_features())
        term = Row(direction="i2t", columns=["inbatch", "own"])
        view = mixer(term._view(features))
        made = view.columns[-1]
        assert made.name == "synthetic" and not made.vectors.requires_grad
        torch.testing.assert_close(made.vectors.norm(dim=2)[made.mask], torch.ones(int(made.mask.sum())).double())
        before = term(features).value
        term.mix.append(mixer)
        assert term(features).value >= before

    def test_listed_mixture_goes_from_the_hardest_to_the_mean(self) -> None:
        features = random_features(full=True)
        view = Row(direction="i2t", columns=["own"])._view(features)
        own = view.columns[0]
        hardest = own.vectors[torch.arange(5), own.cosines(view.anchor).argmax(1)]
        cold, hot = (Kalm(pairs=0, temperature=t)(view).columns[-1].vectors[:, 0] for t in (1e-6, 1e9))
        torch.testing.assert_close(cold, hardest)
        torch.testing.assert_close(hot, F.normalize(own.vectors.mean(1), dim=-1))

    def test_mochi_waits_for_its_start(self) -> None:
        loss, features = build_loss("mochi"), random_features()
        loss.begin_step(0, 100)
        torch.testing.assert_close(loss(features).total, total(OWN, features))
        loss.begin_step(50, 100)
        assert loss(features).total > total(OWN, features)

    def test_extrapolation_makes_the_positive_harder_by_its_identity(self) -> None:
        features = random_features()
        view = Row(direction="i2t", columns=["inbatch"])._view(features)
        torch.manual_seed(0)
        after = ExtrapolatePositive()(view)
        p, found = (view.anchor * view.target).sum(1), (after.anchor * after.target).sum(1)
        share = ((after.anchor - view.target) * (view.anchor - view.target)).sum(1) / (
            view.anchor - view.target
        ).square().sum(1)
        torch.testing.assert_close(found, p + 2 * share * (1 - share) * (1 - p))
        assert (found <= p).all()


class TestTeachers:
    def test_degla_contrasts_each_caption_with_its_own_negatives(self) -> None:
        """Trap: the released text-grounded term pairs captions with other samples' negatives."""
        features = random_features(full=True)
        parts = build_loss("degla")(features).parts
        assert features.teacher_text is not None and features.text_negatives is not None
        rows = []
        for b in range(5):
            scores = torch.cat([features.teacher_text[b][None], features.text_negatives[b]]) @ features.text[b]
            rows.append(-F.log_softmax(10 * scores, dim=0)[0])
        torch.testing.assert_close(parts["tgc"], torch.stack(rows).mean())
        torch.testing.assert_close(parts["igc"], total(OWN_ROW, features))

    def test_distillation_is_zero_at_the_teacher_and_does_not_grow_with_the_batch(self) -> None:
        features = random_features()
        same = replace(
            features,
            teacher_image=features.image,
            teacher_text=features.text,
            teacher_text_negatives=features.text_negatives,
        )
        assert float(build_loss("degla")(same).parts["distill"]) == 0
        twice = shuffled(features, torch.arange(5).repeat(2))
        once, again = (build_loss("degla")(f).parts["distill"] for f in (features, twice))
        torch.testing.assert_close(once, again)

    def test_a_student_that_is_its_teacher(self) -> None:
        features = random_features()
        same = replace(
            features,
            teacher_image=features.image,
            teacher_text=features.text,
            teacher_text_negatives=features.text_negatives,
            teacher_logit_scale=features.logit_scale,
        )
        assert float(build_loss("d2o")(same).parts["dispreference"]) == pytest.approx(math.log(2))
        soft = build_loss({"extends": "soft_labels", "temperature": 1 / 7})(same).parts["soft"]
        assert float(soft) == pytest.approx(0, abs=1e-12)
        parts = build_loss("ahnpl_retention")(same).parts
        assert float(parts["retain_images"]) == pytest.approx(0, abs=1e-9)
        assert float(parts["retain_texts"]) == pytest.approx(0, abs=1e-9)

    def test_a_certain_ranker_is_info_nce_over_the_list(self) -> None:
        features = random_features()
        sure = replace(
            features,
            teacher_image=features.image,
            teacher_text=features.image,
            teacher_text_negatives=-features.image[:, None].expand(5, 3, 8),
        )
        part = build_loss({"extends": "ar2", "share": 0.0, "temperature": 1e-3})(sure).parts["ranker"]
        torch.testing.assert_close(part, total(OWN_ROW, features))

    def test_teachers_are_named_and_missing_ones_refused(self) -> None:
        assert build_loss("degla").teacher.kind == "ema"  # type: ignore[union-attr]
        assert build_loss("clip").teacher is None
        with pytest.raises(UsageError, match="teacher"):
            build_loss("degla")(replace(random_features(), teacher_text=None))
        with pytest.raises(UsageError, match="needs a teacher"):
            build_loss({"terms": {"kd": {"term": "batch_kl"}}})


def test_policy_gradient_is_the_gradient_of_the_expected_reward() -> None:
    """Two things to rank: the reward is 1 or 1 / log2(3), so its expectation is known."""
    torch.manual_seed(0)
    features = with_gradients(random_features(batch=4, slots=1, full=True))
    features = replace(features, logit_scale=torch.tensor(1.0).double())
    term = build_loss({"extends": "pg_rank", "draws": 20000}).terms["ranking"]
    (found,) = torch.autograd.grad(term(features).value, features.image)
    gap = (features.image * (features.text - features.text_negatives[:, 0])).sum(1)  # type: ignore[index]
    (exact,) = torch.autograd.grad(-(gap.sigmoid() * (1 - 1 / math.log2(3))).mean(), features.image)
    torch.testing.assert_close(found, exact, atol=2e-3, rtol=0)
