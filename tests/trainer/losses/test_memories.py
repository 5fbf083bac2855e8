"""Queues, clusters and adversarial features against their definitions."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from ahnpl.losses import build_loss
from ahnpl.losses.adversarial import AdversarialNegative, AdversarialPositive, ascent
from ahnpl.losses.clusters import cluster
from ahnpl.losses.queue import Queue
from ahnpl.losses.row import Row
from ahnpl.losses.weights import ClusterAgreement
from negmine.base.errors import UsageError
from torch.nn import functional as F

from tests.trainer.losses.batches import random_features, with_gradients


def view(features: Any, direction: str = "i2t") -> Any:
    return Row(direction=direction, columns=["inbatch"])._view(features)


class TestQueue:
    def test_keeps_the_last_in_order_whatever_the_batches(self) -> None:
        """Trap: MoCo's queue must be divided by the batch."""
        queue, seen = Queue(size=7), torch.randn(13, 4)
        for part in seen.split(5):
            queue.push(part)
        assert torch.equal(queue.vectors, seen[-7:])
        queue.push(torch.ones(20, 4))
        assert torch.equal(queue.vectors, torch.ones(7, 4))

    def test_begins_empty(self) -> None:
        """Trap: a queue of random vectors is a queue of false negatives."""
        features = random_features()
        loss = build_loss("cocosoda")
        first, second = (float(loss(features).total) for _ in range(2))
        assert first == pytest.approx(float(build_loss({"extends": "cocosoda", "size": 0})(features).total))
        assert second > first

    def test_candidates_are_the_teachers_and_carry_no_gradient(self) -> None:
        loss = build_loss({"extends": "contriever", "size": 5})
        before, now = random_features(1), with_gradients(random_features(2))
        loss(before)
        part = loss(now).parts["i2t"]
        assert before.teacher_text is not None and now.teacher_text is not None
        scores = torch.cat([(now.image * now.teacher_text).sum(1, keepdim=True), now.image @ before.teacher_text.T], 1)
        torch.testing.assert_close(part, F.cross_entropy(7 * scores, torch.zeros(5).long()))
        part.backward()
        assert now.text.grad is None

    def test_own_images_are_left_out(self) -> None:
        queue = Queue(size=9, keys="student")
        features = replace(random_features(), image_ids=torch.tensor([4, 4, 5, 6, 7]))
        queue(view(features))
        mask = queue(view(features)).columns[-1].mask
        assert mask.tolist() == (features.image_ids[:, None] != features.image_ids[None, :]).tolist()  # type: ignore[index]

    def test_a_bank_of_the_batchs_own_images_is_the_batch(self) -> None:
        features = replace(random_features(), image_ids=torch.arange(5))
        bank = Row(direction="t2i", columns=[], banks=[{"queue": {"keys": "student"}}]).eval()
        bank.banks[0].push(features.image, features.image_ids)
        torch.testing.assert_close(bank(features).value, Row(direction="t2i", columns=["inbatch"])(features).value)

    def test_evaluation_leaves_it_alone_and_it_travels_in_the_checkpoint(self) -> None:
        loss, other = build_loss("spn4cir"), build_loss("spn4cir")
        loss(random_features())
        loss.eval()(random_features(1))
        other.load_state_dict(loss.state_dict())
        assert torch.equal(other.terms["t2i"].banks[0].vectors, random_features().image)
        torch.testing.assert_close(other(random_features(2)).total, loss(random_features(2)).total)


class TestClusters:
    def test_groups_are_found_in_any_order(self) -> None:
        centres = torch.eye(3).double().repeat_interleave(4, dim=0)
        points = F.normalize(centres + 0.1 * torch.randn(12, 3, generator=torch.Generator().manual_seed(0)), dim=1)
        order = torch.randperm(12)
        labels = cluster(points[order], 3)
        truth = torch.arange(3).repeat_interleave(4)[order]
        assert torch.equal(labels[:, None] == labels, truth[:, None] == truth)

    def test_weights_are_symmetric_and_zero_within_all_clusterings(self) -> None:
        features = with_gradients(random_features())
        alike = replace(features, text=features.text[[0, 0, 1, 2, 3]])
        weight = ClusterAgreement(counts=[2, 3])(view(alike), torch.zeros(5, 5).double(), torch.ones(5, 5).bool())
        assert torch.equal(weight, weight.T) and float(weight[0, 1]) == -torch.inf
        assert not any(weight.diagonal().exp())
        assert float(weight.exp().max()) == pytest.approx(2)

    def test_singletons_are_dcl_and_log_r(self) -> None:
        features = random_features()
        alone = build_loss({"extends": "meow", "counts": [9, 9, 9], "proto_weight": 0.0})(features).total
        expected = build_loss("dcl")(features).total + torch.tensor(3.0).double().log()
        torch.testing.assert_close(alone, expected)

    def test_a_proxy_of_equal_vectors_is_all_of_them(self) -> None:
        """Trap: the released PamC adds e^0 for the own cluster."""
        features = random_features()
        twins = replace(features, text=features.text[[0, 1, 1, 1, 2]])
        part = build_loss({"extends": "pamc", "count": 3, "text_columns": []})(twins).parts["i2t"]
        scores = 7 * twins.image @ twins.text.T
        same = torch.tensor([0, 1, 1, 1, 2])
        kept = scores.masked_fill((same[:, None] == same) & ~torch.eye(5).bool(), -torch.inf)
        torch.testing.assert_close(part, F.cross_entropy(kept, torch.arange(5)))


class TestAdversarial:
    def test_moves_up_the_loss(self) -> None:
        features = random_features()
        at = view(features)
        direction = ascent(at)
        torch.testing.assert_close(direction.norm(dim=1), torch.ones(5).double())
        for one in range(5):
            text = features.text.clone()
            text[one] = F.normalize(text[one] + 1e-3 * direction[one], dim=0)

            def own(texts: torch.Tensor, one: int = one) -> float:
                scores = 7 * features.image @ texts.T
                return float(-scores.log_softmax(1)[one, one] - scores.log_softmax(0)[one, one])

            assert own(text) > own(features.text)

    def test_no_step_doubles_the_positive(self) -> None:
        features = random_features()
        column = AdversarialNegative(angle=0.0)(view(features)).columns[-1].vectors[:, 0]
        torch.testing.assert_close(column, features.text)
        torch.testing.assert_close(AdversarialPositive(angle=0.0)(view(features)).target, features.text)

    def test_moved_features_are_unit_and_detached(self) -> None:
        at = view(with_gradients(random_features()))
        far, near = AdversarialPositive()(at).target, AdversarialNegative()(at).columns[-1].vectors[:, 0]
        for made in (far, near):
            assert not made.requires_grad
            torch.testing.assert_close(made.norm(dim=1), torch.ones(5).double())
        assert ((near * at.target).sum(1) > 0.99).all()

    def test_all_logits_have_the_temperature(self) -> None:
        """Trap: the reference does not divide its second logits by tau."""
        features, loss = random_features(), build_loss({"extends": "claps", "positive_angle": 0.0})
        parts = loss(features).parts
        torch.testing.assert_close(parts["t2i_moved"], build_loss("clip")(features).parts["t2i"])


def test_heads_of_another_width_are_refused() -> None:
    with pytest.raises(UsageError, match=r"512.*8"):
        build_loss("hydra")(random_features())
