"""Graded lists, likeness, learned similarities, and weights that need a judge."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ahnpl.losses import build_loss
from ahnpl.losses.heads import Gated, MultiHead, joint_entropy_term
from ahnpl.losses.lists import wasserstein
from ahnpl.losses.mixers import SupReMix
from ahnpl.losses.row import Row
from ahnpl.losses.weights import ClusterAgreement, InversePropensity, Posterior, Quality
from negmine.base.errors import UsageError
from torch.nn import functional as F

from tests.trainer.losses.batches import built, random_features, with_gradients


def weights(piece: Any, features: Any, columns: list[str]) -> torch.Tensor:
    view = Row(direction="i2t", columns=columns)._view(features)
    mask = view.mask()
    found: torch.Tensor = piece(view, view.scale * view.cosines(), mask)
    return torch.where(mask, found, 0).exp()


class TestWasserstein:
    def test_is_the_dense_formula(self) -> None:
        x, y = torch.randn(6, 3).double(), torch.randn(6, 3).double()
        a, b = torch.cov(x.T, correction=0), torch.cov(y.T, correction=0)
        values, vectors = torch.linalg.eigh(a)
        root = vectors @ values.clamp_min(0).sqrt().diag() @ vectors.T
        trace = torch.linalg.eigvalsh(root @ b @ root).clamp_min(0).sqrt().sum()
        expected = (x.mean(0) - y.mean(0)).square().sum() + a.trace() + b.trace() - 2 * trace
        torch.testing.assert_close(wasserstein(x, y), expected)

    def test_distance(self) -> None:
        x, y = torch.randn(6, 9).double(), torch.randn(6, 9).double()
        torch.testing.assert_close(wasserstein(x, y), wasserstein(y, x))
        assert float(wasserstein(x, x[torch.randperm(6)])) == pytest.approx(0, abs=1e-9)
        torch.testing.assert_close(wasserstein(x[:1], y[:1]), (x[0] - y[0]).square().sum())

    def test_is_refused_alone_because_it_cannot_tell_whose_row_is_whose(self) -> None:
        x, y = torch.randn(6, 9).double(), torch.randn(6, 9).double()
        torch.testing.assert_close(wasserstein(x[torch.randperm(6)], y), wasserstein(x, y))
        with pytest.raises(UsageError, match="which caption"):
            build_loss({"terms": {"only": {"term": "wasserstein"}}})

    def test_a_list_with_the_grades_shares_costs_nothing(self) -> None:
        term = build_loss("sycl").terms["list"]
        features = random_features(full=True)
        target = torch.tensor([3.0, 2.0, 2.0, 2.0]).double() / 0.2 / 20  # cosines that give these shares at s = 20
        image = torch.zeros(5, 8).double()
        image[:, 0] = 1
        texts = F.normalize(torch.stack([target, (1 - target**2).sqrt()], 1), dim=1)
        texts = F.pad(texts, (0, 6)).expand(5, 4, 8)
        listed = replace(
            features,
            image=image,
            text=texts[:, 0],
            text_negatives=texts[:, 1:],
            logit_scale=torch.tensor(20.0).double(),
        )
        assert float(term(listed).value) == pytest.approx(0, abs=1e-9)
        assert float(term(features).value) > 0.1


class TestLikeness:
    def test_equal_captions_are_not_pushed_apart(self) -> None:
        features = random_features()
        twins = replace(features, text=features.text[[0, 0, 1, 2, 3]], image=features.image[[0, 0, 1, 2, 3]])
        structure = torch.eye(5).double()
        structure[0, 1] = structure[1, 0] = 1
        scores = (7 * twins.image @ twins.text.T).requires_grad_()
        share = structure / structure.sum(1, keepdim=True)
        (gradient,) = torch.autograd.grad(-(share * scores.log_softmax(1)).sum(1).mean(), scores)
        torch.testing.assert_close(gradient[0, 0], gradient[0, 1])
        part = build_loss("space2")(replace(twins, structure=structure)).parts["i2t"]
        torch.testing.assert_close(part, -(share * scores.detach().log_softmax(1)).sum(1).mean())

    @pytest.mark.parametrize("name", ["structure", "surface"])
    def test_shapes(self, name: str) -> None:
        with pytest.raises(UsageError, match=name):
            replace(random_features(), **{name: torch.zeros(5, 4)})


class TestJudges:
    def test_posterior(self) -> None:
        features = random_features()
        cosine = features.image @ features.text.T
        relevant = (20 * (cosine - cosine.diagonal()[:, None])).sigmoid()
        never = weights(Posterior(selection=0.0), features, ["inbatch", "own"])
        off = ~torch.eye(5).bool()
        torch.testing.assert_close(never[:, :5][off], (1 - relevant)[off].clamp(0.02, 1))
        assert (never[:, 5:] == 1).all()
        half = weights(Posterior(selection=0.5), features, ["inbatch"])
        assert (half >= never[:, :5]).all() and (half <= 1).all()

    @pytest.mark.parametrize("piece", [Posterior(), ClusterAgreement(), InversePropensity(), Quality()])
    def test_judgements_carry_no_gradient(self, piece: Any) -> None:
        assert not weights(piece, with_gradients(random_features()), ["inbatch", "own"]).requires_grad

    def test_posterior_waits(self) -> None:
        loss, features = build_loss("cet"), random_features()
        loss.begin_step(0, 100)
        early = float(loss(features).total)
        assert early == pytest.approx(float(build_loss({"extends": "cet", "selection": 1.0})(features).total))
        loss.begin_step(50, 100)
        assert float(loss(features).total) < early

    def test_planted_false_negatives_weigh_less(self) -> None:
        features = random_features(batch=8)
        planted = replace(features, text=torch.cat([features.text[:7], features.text[:1]]))  # caption 7 is true of 0
        planted = replace(planted, image=F.normalize(planted.text + 0.2 * features.image, dim=1))
        found = weights(Posterior(), planted, ["inbatch"])
        assert float(found[0, 7]) < float(found[0, 1:7].mean()) / 1.2

    def test_quality_is_of_mean_one_and_smaller_where_the_teacher_doubts(self) -> None:
        features = random_features(full=True)
        found = weights(Quality(), features, ["inbatch", "own"])
        torch.testing.assert_close(found[:, 5:].mean(1), torch.ones(5).double())
        assert (found[:, :5] == 1).all()
        theirs = torch.einsum("bd,bkd->bk", features.teacher_image, features.teacher_text_negatives)  # type: ignore[arg-type]
        for row in range(5):
            assert found[row, 5 + theirs[row].argmax()] == found[row, 5:].min()

    def test_propensity(self) -> None:
        features = random_features()
        alike = torch.rand(5, 5, generator=torch.Generator().manual_seed(0)).double()
        off = ~torch.eye(5).bool()
        same_meaning = replace(features, teacher_text=features.teacher_text[:1].expand(5, 8), surface=alike)  # type: ignore[index]
        found = weights(InversePropensity(temperature=1.0), same_meaning, ["inbatch"])
        chance = alike.masked_fill(~off, -torch.inf).softmax(1)
        ratio = (found * chance)[off].view(5, 4)
        torch.testing.assert_close(ratio, ratio[:, :1].expand(5, 4))
        plain = weights(InversePropensity(), features, ["inbatch"])
        flat = weights(InversePropensity(), replace(features, surface=torch.full((5, 5), 0.3)), ["inbatch"])
        torch.testing.assert_close(plain, flat)


class TestHeads:
    def test_open_gates_are_plain_cosines_and_a_shut_one_teaches_its_kind_nothing(self) -> None:
        features = with_gradients(random_features())
        open_ = Gated(width=8, start=50.0, sparsity=0.0, diversity=0.0).double()
        gap = torch.einsum("bd,bkd->bk", features.image, features.text_negatives)  # type: ignore[arg-type]
        gap = 7 * (gap - (features.image * features.text).sum(1, keepdim=True))
        torch.testing.assert_close(open_(features).value, F.softplus(gap)[features.text_valid].mean())
        with torch.no_grad():
            open_.gates[:, 3] = -1e3
        (gradient,) = torch.autograd.grad(open_(features).value, features.text_negatives)
        assert not gradient[..., 3].any() and gradient.any()

    def test_no_range_is_clip_and_the_regulariser_has_its_minimum(self) -> None:
        term = MultiHead(width=8, heads=1, regulariser=1.0).double()
        with torch.no_grad():
            term.b.normal_().mul_(100)
        features = random_features()
        plain = MultiHead(width=8, heads=1).double()
        plain.load_state_dict(term.state_dict())
        extra = [
            float(term(f).value - plain(f).value)
            for f in (replace(features, logit_scale=torch.tensor(s).double()) for s in (0.1, 4.0, 200.0))
        ]
        assert extra[1] < min(extra[0], extra[2])  # at tau = 2 / D = 1 / 4
        plain.range = 0.0
        torch.testing.assert_close(plain(features).value, build_loss("clip")(features).total)

    def test_joint_entropy_term(self) -> None:
        space = F.normalize(torch.randn(64, 4).double(), dim=1)
        apart = F.normalize(torch.randn(64, 4).double(), dim=1)
        assert float(joint_entropy_term([space, space], 0.5)) > float(joint_entropy_term([space, apart], 0.5))
        assert float(joint_entropy_term([space], 0.5)) < 0
        assert float(joint_entropy_term([space[:1].expand(64, 4)], 0.5)) == pytest.approx(0)

    @pytest.mark.parametrize("recipe", ["hydra", "amcl", "sepclr"])
    def test_heads_learn(self, recipe: str) -> None:
        loss = built(recipe)
        loss(random_features()).total.backward()
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in loss.parameters())
        assert any(p.grad.any() for p in loss.parameters() if p.grad is not None)


class TestSupReMix:
    def test_mixtures_weigh_by_their_grade(self) -> None:
        """Trap: the released code stabilises mixtures by another maximum than pairs; here all share one logsumexp."""
        features = random_features(full=True)
        view = Row(direction="i2t", columns=["inbatch", "own"])._view(features)
        made = SupReMix()(view)
        inbatch, own, mixed = made.columns
        assert own.log_weight is not None and inbatch.log_weight is not None and mixed.log_weight is not None
        assert (own.log_weight.exp() == 2).all()
        torch.testing.assert_close(inbatch.log_weight.exp(), torch.full((5, 5), 3.0).double())
        assert (mixed.log_weight.exp() > 1).all() and (mixed.log_weight.exp() < 2).all()
        assert not mixed.vectors.requires_grad


def test_terms_count_in_their_share_of_the_training() -> None:
    loss, features = build_loss("nv_embed"), random_features()
    loss.begin_step(0, 10)
    assert set(loss(features).parts) == {"i2t", "t2i"}
    loss.begin_step(5, 10)
    assert set(loss(features).parts) == {"own"}
    loss.begin_step(10, 10)
    assert set(loss(features).parts) == {"own"}
    with pytest.raises(UsageError, match="shares"):
        build_loss({"extends": "nv_embed", "switch": [0.5, 0.2]})
