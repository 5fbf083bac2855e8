"""Several true texts a row, against sums written out, and texts that are true of two images."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from ahnpl.losses import Features
from ahnpl.losses.positives import Positives
from negmine.base.errors import UsageError

from tests.trainer.losses.batches import random_features


def written_out(features: Features, direction: str, columns: list[str], form: str) -> float:
    """The mean over samples, by loops over numbers."""
    image, text, positives = features.image, features.text, features.text_positives
    assert positives is not None and features.positive_valid is not None and features.positive_ids is not None
    assert features.text_ids is not None and features.text_negatives is not None and features.text_valid is not None
    s, size, total = float(features.logit_scale), len(image), 0.0
    true = [
        {int(features.text_ids[i, 0]), *(int(n) for n in features.positive_ids[i][features.positive_valid[i]])}
        for i in range(size)
    ]
    for i in range(size):
        anchor, rows = image[i] if direction == "i2t" else text[i], []
        for p in torch.where(features.positive_valid[i])[0].tolist():
            if direction == "t2i":
                others = [j for j in range(size) if j != i and int(features.positive_ids[i, p]) not in true[j]]
                rows.append((float(positives[i, p] @ image[i]), [float(positives[i, p] @ image[j]) for j in others]))
                continue
            others = [j for j in range(size) if j != i and int(features.text_ids[j, 0]) not in true[i]]
            found = [float(anchor @ text[j]) for j in others] if "inbatch" in columns else []
            if "own" in columns:
                found += [float(anchor @ n) for n in features.text_negatives[i][features.text_valid[i]]]
            rows.append((float(anchor @ positives[i, p]), found))
        if not rows:
            continue
        if form == "each":
            losses = [
                -math.log(math.exp(s * p) / (math.exp(s * p) + sum(math.exp(s * c) for c in cs))) for p, cs in rows
            ]
            total += sum(losses) / len(losses)
        else:
            good, bad = sum(math.exp(s * p) for p, _ in rows), sum(math.exp(s * c) for c in rows[0][1])
            total -= math.log(good / (good + bad))
    return total / size


@pytest.mark.parametrize("form", ["each", "together"])
@pytest.mark.parametrize(
    ("direction", "columns"),
    [("i2t", ["inbatch", "own"]), ("i2t", ["inbatch"]), ("t2t", ["own"]), ("t2i", ["inbatch"])],
)
def test_against_sums_written_out(direction: str, columns: list[str], form: str) -> None:
    features = random_features(2)
    assert features.positive_ids is not None and features.text_ids is not None
    shared = features.positive_ids.clone()
    shared[0, 1], shared[3, 0] = features.text_ids[2, 0], shared[1, 0]  # true of another image of the batch too
    there = torch.ones_like(shared, dtype=torch.bool)
    there[4] = torch.tensor([True, False])
    there[2] = False
    features = replace(features, positive_ids=shared, positive_valid=there)
    if direction == "t2i" and form == "together":
        with pytest.raises(UsageError, match="each by itself"):
            Positives(direction=direction, columns=columns, form=form)
        return
    found = Positives(direction=direction, columns=columns, form=form)(features).value
    assert float(found) == pytest.approx(written_out(features, direction, columns, form), rel=1e-9)


@pytest.mark.parametrize(("direction", "columns"), [("i2t", ["inbatch", "own"]), ("t2i", ["inbatch"])])
def test_what_is_true_of_both_is_not_pushed_away(direction: str, columns: list[str]) -> None:
    """Sample 0 has the caption of sample 1 among its positives: neither repels the other by it."""
    features = random_features(full=True)
    assert features.positive_ids is not None and features.text_ids is not None
    shared = features.positive_ids.clone()
    shared[0, 0] = features.text_ids[1, 0]
    only_first = torch.zeros_like(shared, dtype=torch.bool)
    only_first[0, 0] = True
    features = replace(features, positive_ids=shared, positive_valid=only_first)
    image, text = features.image.clone().requires_grad_(), features.text.clone().requires_grad_()
    Positives(direction=direction, columns=columns)(replace(features, image=image, text=text)).value.backward()
    other = text.grad if direction == "i2t" else image.grad
    assert other is not None and not other[1].any() and other[2].any()


def test_without_positives_nothing_is_lost_and_nothing_moves() -> None:
    features = random_features()
    assert features.positive_valid is not None
    image = features.image.clone().requires_grad_()
    none = replace(features, image=image, positive_valid=torch.zeros_like(features.positive_valid))
    for form in ("each", "together"):
        loss = Positives(direction="i2t", columns=["inbatch", "own"], form=form)(none).value
        loss.backward()
        assert float(loss.detach()) == 0
    assert image.grad is not None and not image.grad.any()


def test_a_batch_without_positives_is_refused() -> None:
    with pytest.raises(UsageError, match="parse --positives"):
        Positives(direction="i2t", columns=["inbatch"])(replace(random_features(), text_positives=None))
