"""Losses against golden values computed by independent float64 code."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from ahnpl.losses import build_loss
from ahnpl.losses.kernel import row
from ahnpl.losses.mixers import shift_images

from tests.trainer.losses.batches import (
    IMAGE,
    TEXT,
    golden,
    part,
    rank,
)


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
