"""Recipes and features: what is read, and what is refused."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ahnpl.losses import RecipeLoss, build_loss
from ahnpl.losses.row import Row
from negmine.base.errors import UsageError
from torch import Tensor

from tests.trainer.losses.batches import WITH_NEGATIVES, built, golden, random_features

CASES = Path(__file__).parents[2] / "cases/attack"
ROW = "term: row, direction: i2t, columns: [inbatch]"


class TestFiles:
    @pytest.mark.parametrize("path", sorted(CASES.glob("*.yaml")), ids=lambda path: path.stem)
    def test_hostile_files_are_refused_in_words(self, path: Path) -> None:
        with pytest.raises(UsageError):
            build_loss(path)

    @pytest.mark.parametrize(
        ("text", "why"),
        [
            ("extends: clip\nextends: ahnpl", "'extends' is there twice, line 2"),
            ("terms:\n  a: {weight: 1,\n  weight: 2}", "'weight' is there twice"),
            ("terms: {a: {term: row}}", "'direction' and 'columns'"),
            ("terms: {a: {%s, weight: 0.-1}}".replace("%s", ROW), "0.-1"),
            ("terms: {a: {%s, weight: .inf}}".replace("%s", ROW), "inf is no number"),
            ("terms: {a: {%s, weight: 1e400}}".replace("%s", ROW), "1e400 is no number"),
            ("terms: {a: {%s, weight: 0}}".replace("%s", ROW), "no term with a weight"),
            (
                "terms: {a: {%s, detach_targets: 'no'}}".replace("%s", ROW),
                "detach_targets of term of a row is no",
            ),
            ("terms: {a: {%s, masked: 0}}".replace("%s", ROW), "masked of term of a row is no true or false"),
            ("terms: {a: {%s, margin: 1e-3}}".replace("%s", ROW), "1e-3 is a text"),
            ("terms: {a: {%s, scale: true}}".replace("%s", ROW), "scale of term of a row is no number"),
            ("terms: {1: {%s}}".replace("%s", ROW), "1 is no name"),
            ("terms: {a: {%s, masks: {top_k: 3}}}".replace("%s", ROW), "masks of a row are a list"),
            ("terms: [a]", "`terms` is a mapping"),
            ("extends: clip\nterms: {i2t: 3}", "term i2t is a mapping"),
            ("terms: &a {b: *a}", "aliases"),
            ("a: &a {k: 1}\nb: &b {<<: [*a, *a]}\nterms: {<<: [*b, *b]}", "aliases"),
            ("extends: clip\ntitle: 2020-13-45", "month must be"),
            ("- 1", "is a table"),
            ("", "is a table"),
        ],
    )
    def test_why(self, text: str, why: str, tmp_path: Path) -> None:
        (tmp_path / "mine.yaml").write_text(text)
        with pytest.raises(UsageError, match=rf"mine\.yaml(.|\n)*{re.escape(why)}|{re.escape(why)}"):
            build_loss(tmp_path / "mine.yaml")

    def test_one_called_like_a_built_in_may_extend_it(self, tmp_path: Path) -> None:
        (tmp_path / "hcl.yaml").write_text("extends: hcl\nbeta: 0.25\n")
        loss = build_loss(tmp_path / "hcl.yaml")
        assert loss.recipe.name == "hcl" and loss.recipe.parameters["beta"] == 0.25
        (tmp_path / "a.yaml").write_text(f"extends: {tmp_path}/b.yaml\n")
        (tmp_path / "b.yaml").write_text(f"extends: {tmp_path}/a.yaml\n")
        with pytest.raises(UsageError, match="a -> b -> a"):
            build_loss(tmp_path / "a.yaml")


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
        loss: RecipeLoss = built(recipe)
        assert loss.needs_negatives
        with pytest.raises(UsageError, match="negatives"):
            loss(replace(random_features(), text_negatives=None, text_valid=None, teacher_text_negatives=None))


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"denominator": {"mean": {}, "softmax": {}}}, "takes one denominator"),
        ({"masks": [{"positive_aware": {"rule": "percentage", "score": "cosine"}}]}, "percentage"),
        ({"denominator": {"sorting": {"k": 0}}}, "two things"),
        ({"columns": ["own"], "denominator": "decoupled"}, "in-batch"),
        ({"denominator": "debiasd"}, "debiased"),
        ({"masks": [{"top_k": {"n": 1}}]}, "top_k"),
        ({"denominator": {"debiased": {"tau_plus": 1.0}}}, "below 1"),
    ],
)
def test_mixed_up_recipes_are_refused_when_built(options: dict[str, Any], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        build_loss({"terms": {"row": {"direction": "i2t", "columns": ["inbatch"], **options}}})


@pytest.mark.parametrize(
    ("recipe", "where"),
    [("negclip", "term i2t of recipe negclip"), ("ahnpl", "shift_images of recipe ahnpl")],
)
def test_what_a_batch_lacks_is_told_with_the_term(recipe: str, where: str) -> None:
    features = replace(random_features(), text_negatives=None, text_valid=None, kinds=None, teacher_text_negatives=None)
    with pytest.raises(UsageError, match="needs text negatives") as error:
        build_loss(recipe)(features)
    assert error.value.where == where
    assert error.value.fix == "train on shards with negatives, or use --recipe clip"


def test_the_shapes_that_a_rows_examples_name() -> None:
    features = random_features(batch=5)
    clip = Row(direction="i2t", columns=["inbatch"])
    logits = clip._logits(clip._view(features))
    assert (logits.positive.shape, logits.negatives.shape, int(logits.mask.sum())) == ((5,), (5, 5), 20)
    own = Row(direction="i2t", columns=["inbatch", "own"], margin=2.0, weights=[{"tilt": {"beta": 0.5}}])
    tilted = own._logits(own._view(features))
    assert features.text_valid is not None
    width = 5 + features.text_valid.shape[1]
    assert tilted.negatives.shape == tilted.mask.shape == tilted.log_weight.shape == (5, width)
    assert int(tilted.mask.sum()) == 20 + int(features.text_valid.sum())
    torch.testing.assert_close(tilted.positive, logits.positive - 2)
