"""What features look like: each diagnostic against its definition, on sets whose answer is known."""

from __future__ import annotations

import math
from itertools import combinations
from pathlib import Path

import pytest
import torch
from ahnpl.evaluation.diagnostics import (
    Sampled,
    draw_histograms,
    effective_negatives,
    isotropy,
    modality_gap,
    relative_penalty,
    separability,
    tolerance,
    uniformity,
)
from ahnpl.losses import Features, build_loss
from torch import Tensor
from torch.nn.functional import normalize


def unit(rows: int, columns: int, seed: int = 0) -> Tensor:
    return normalize(torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double(), dim=1)


class TestSpread:
    @pytest.mark.parametrize("t", [0.5, 2.0])
    def test_uniformity(self, t: float) -> None:
        one = unit(1, 6)
        assert uniformity(one.repeat(5, 1), t) == pytest.approx(0)
        assert uniformity(torch.cat([one, -one]), t) == pytest.approx(-4 * t)
        rows = unit(7, 4)
        energies = [math.exp(-t * float((rows[i] - rows[j]).square().sum())) for i, j in combinations(range(7), 2)]
        assert uniformity(rows, t) == pytest.approx(math.log(sum(energies) / len(energies)))

    def test_isotropy(self) -> None:
        assert isotropy(unit(1, 6).repeat(5, 1)) == pytest.approx(0)
        assert isotropy(torch.eye(5)) == pytest.approx(1)
        rows, turn = unit(9, 5), torch.linalg.qr(torch.randn(5, 5).double()).Q
        cosines = [float(rows[i] @ rows[j]) for i, j in combinations(range(9), 2)]
        assert isotropy(rows) == pytest.approx(1 - sum(cosines) / len(cosines))
        assert isotropy(rows @ turn) == pytest.approx(isotropy(rows))

    def test_tolerance(self) -> None:
        rows, labels = unit(6, 4), torch.tensor([0, 1, 0, 2, 1, 0])
        same = [float(rows[i] @ rows[j]) for i, j in combinations(range(6), 2) if labels[i] == labels[j]]
        assert tolerance(rows, labels) == pytest.approx(sum(same) / len(same))
        assert math.isnan(tolerance(rows, torch.arange(6)))

    def test_modality_gap(self) -> None:
        rows = unit(8, 4)
        assert modality_gap(rows, rows[torch.randperm(8)]) == pytest.approx(0)
        assert modality_gap(torch.tensor([[1.0, 0.0]]), torch.tensor([[-1.0, 0.0]])) == pytest.approx(2)

    def test_separability(self) -> None:
        rows = unit(5, 4)
        assert separability(rows, rows) == pytest.approx(1)
        assert separability(rows, -rows) == pytest.approx(-1)


class TestTemperature:
    """Wang and Liu (CVPR 2021): temperature sets how much the hardest negatives count."""

    def test_the_penalty_is_the_share_of_the_gradient(self) -> None:
        scores = torch.tensor([0.9, 0.1, -0.3, 0.5], dtype=torch.float64, requires_grad=True)
        (gradient,) = torch.autograd.grad(-torch.log_softmax(scores / 0.2, dim=0)[0], scores)
        shares = gradient[1:] / gradient[1:].sum()
        torch.testing.assert_close(relative_penalty(scores.detach()[1:], 0.2), shares)

    def test_limits(self) -> None:
        scores = unit(3, 10) / 2
        assert effective_negatives(scores, 1e6) == pytest.approx([10, 10, 10])
        assert effective_negatives(scores, 1e-4) == pytest.approx([1, 1, 1])
        left_out = torch.cat([scores, torch.full((3, 4), -torch.inf)], dim=1)
        torch.testing.assert_close(effective_negatives(left_out, 0.1), effective_negatives(scores, 0.1))

    def test_a_cold_loss_is_the_worst_violation(self) -> None:
        """tau L -> max(0, hardest negative - positive) as tau -> 0, here of InfoNCE over rows and columns."""
        images, texts = unit(6, 3, seed=1), unit(6, 3, seed=2)
        scores, tau = images @ texts.T, 1e-4
        loss = build_loss("clip")(Features(images, texts, torch.tensor(1 / tau, dtype=torch.float64))).total
        wrong = scores.clone().fill_diagonal_(-torch.inf)
        violations = [(wrong.amax(dim=d) - scores.diagonal()).clamp(min=0).mean() for d in (0, 1)]
        assert float(tau * loss) == pytest.approx(float(sum(violations) / 2), abs=1e-3)


class TestSample:
    @pytest.fixture
    def found(self) -> tuple[Tensor, Tensor, Tensor, Sampled]:
        """Three pictures with two captions each, and a foil of every caption."""
        images, texts, owners = unit(3, 8, 1).float(), unit(6, 8, 2).float(), torch.tensor([0, 0, 1, 1, 2, 2])
        sampled = Sampled()
        for place, foil in enumerate(unit(6, 8, 3).float()):
            sampled.add(place, foil[None])
        return images, texts, owners, sampled

    def test_numbers_against_plain_loops(self, found: tuple[Tensor, Tensor, Tensor, Sampled]) -> None:
        images, texts, owners, sampled = found
        twin = unit(1, 8, 4).float()[0]
        sampled.add_twin(1, twin)
        told = sampled.diagnose(images, texts, owners)
        assert told is not None
        own = [float(texts[n] @ images[owners[n]]) for n in range(6)]
        foils = [float(sampled.foils[n] @ images[owners[n]]) for n in range(6)]
        other = [[float(texts[n] @ images[i]) for i in range(3) if i != owners[n]] for n in range(6)]
        means = [sum(row) / 2 for row in other]
        variances = [sum((score - mean) ** 2 for score in row) / 2 for row, mean in zip(other, means, strict=True)]
        expected = {
            "own caption, cosine": sum(own) / 6,
            "own caption, lead over a foil": (sum(own) - sum(foils)) / 6,
            "other images, cosine with a caption": sum(means) / 6,
            "other images, variance for a caption": sum(variances) / 6,
            "separability: cosine of caption and foil": float((texts * torch.stack(sampled.foils)).sum() / 6),
            "separability: cosine of image and image negative": float(images[1] @ twin),
            "isotropy, foils": isotropy(torch.stack(sampled.foils)),
        }
        assert {name: told.numbers[name] for name in expected} == pytest.approx(expected, abs=1e-5)
        counts = {name: int(counts.sum()) for name, counts in told.histograms.items()}
        assert counts == {"own caption": 6, "its foils": 6, "other captions": 12}

    def test_one_picture_tells_nothing(self) -> None:
        assert Sampled().diagnose(unit(1, 4), unit(2, 4), torch.tensor([0, 0])) is None

    def test_the_drawing_shows_what_there_is(
        self, found: tuple[Tensor, Tensor, Tensor, Sampled], tmp_path: Path
    ) -> None:
        images, texts, owners, sampled = found
        with_foils, without = (s.diagnose(images, texts, owners) for s in (sampled, Sampled()))
        assert with_foils is not None and without is not None
        drawn = [draw_histograms(d, tmp_path / f"{n}.png").read_bytes() for n, d in enumerate((with_foils, without))]
        assert all(content.startswith(b"\x89PNG") for content in drawn)
        assert drawn[0] != drawn[1]
