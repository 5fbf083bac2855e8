"""Evaluation: rules, intervals, formats, and numbers against plain re-computation."""

from __future__ import annotations

import io
import json
import math
from array import array
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.compare import compare
from ahnpl.evaluation.items import Foil, Item, shard_items
from ahnpl.evaluation.metrics import (
    RIGHT,
    TIED,
    WRONG,
    Accuracy,
    Marks,
    Measure,
    macro,
    micro,
    outcome,
    ranks,
    sign_test,
    wilson,
)
from ahnpl.evaluation.run import FOILS, evaluate, others
from ahnpl.evaluation.show import as_figures, as_table
from ahnpl.model.clip import ClipModel, ModelSpec, load_model, load_tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import InputError
from PIL import Image

from tests.trainer.conftest import draw, encode, make_sample, write_shards


@pytest.fixture(scope="module")
def model() -> ClipModel:
    return load_model(ModelSpec("tiny", seed=2)).eval()


class TestMetrics:
    @pytest.mark.parametrize(
        ("correct", "total", "low", "high"),
        [(8, 10, 0.4902, 0.9433), (0, 10, 0.0, 0.2775), (10, 10, 0.7225, 1.0), (50, 100, 0.4038, 0.5962), (0, 0, 0, 1)],
    )
    def test_wilson(self, correct: int, total: int, low: float, high: float) -> None:
        assert wilson(correct, total) == pytest.approx((low, high), abs=1e-4)

    def test_a_tie_is_wrong_and_counted(self) -> None:
        found = Marks()
        for score in (0.3, 0.3 + 1e-8, 0.2, 0.4):
            found.add(outcome(0.3 - score), image=0)
        assert list(found.outcomes) == [TIED, TIED, RIGHT, WRONG]
        assert found.accuracy == Accuracy(correct=1, ties=2, total=4)

    def test_means(self) -> None:
        parts = [Accuracy(1, 0, 2), Accuracy(8, 0, 8), Accuracy(0, 0, 0)]
        assert micro(parts).share == 0.9
        assert macro(parts) == 0.75

    @given(st.integers(0, 10_000), st.integers(1, 7), st.integers(1, 3))
    @settings(max_examples=40, deadline=None)
    def test_ranks_against_sorting(self, seed: int, images: int, captions: int) -> None:
        chance = torch.Generator().manual_seed(seed)
        vectors = torch.randint(-2, 3, (images, 4), generator=chance).float()
        texts = torch.randint(-2, 3, (images * captions, 4), generator=chance).float()
        owner = torch.arange(images).repeat_interleave(captions)
        found = ranks(vectors, texts, owner)
        scores = vectors @ texts.T

        def place_of_best(query: list[float], right: set[int]) -> int:
            """Of the right ones, when sorted with wrong candidates first among equals."""
            order = sorted(range(len(query)), key=lambda i: (-query[i], i in right))
            return next(place for place, i in enumerate(order) if i in right)

        to_text = [place_of_best(scores[i].tolist(), set(torch.where(owner == i)[0].tolist())) for i in range(images)]
        to_image = [place_of_best(scores[:, t].tolist(), {int(owner[t])}) for t in range(len(texts))]
        assert found["image to text"].tolist() == to_text
        assert found["text to image"].tolist() == to_image

    def test_ranks_in_chunks(self) -> None:
        vectors = torch.nn.functional.normalize(torch.randn(2500, 8, generator=torch.Generator().manual_seed(0)), dim=1)
        assert not any(rank.any() for rank in ranks(vectors, vectors, torch.arange(2500)).values())


class TestShards:
    def test_accuracy_against_plain_recomputation(self, model: ClipModel, shards: Path) -> None:
        found = open_shards([f"{shards}/00000.tar"])
        report = evaluate(model, shard_items(found), retrieval=True, batch_size=4)
        transform, tokenizer = model.transform(), load_tokenizer("tiny")
        correct: dict[str, int] = {}
        for number in range(10):
            sample = make_sample(number)
            picture = np.asarray(transform(Image.open(io.BytesIO(sample.image))))
            tokens = tokenizer([sample.caption, *(negative.text for negative in sample.negatives)])
            with torch.inference_mode():
                image = model.encode_image(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None])
                scores = model.network.encode_text(tokens, normalize=True) @ image[0]
            for negative, score in zip(sample.negatives, scores[1:], strict=True):
                correct[negative.kind] = correct.get(negative.kind, 0) + bool(scores[0] > score + 1e-6)
        assert {kind: accuracy.correct for kind, accuracy in report.kinds.items()} == correct
        assert {accuracy.total for accuracy in report.kinds.values()} == {10}
        assert (report.images, report.captions) == (10, 10)
        assert len(report.retrieval) == 6

    def test_the_control_judges_with_somebody_elses_picture(self, model: ClipModel, shards: Path) -> None:
        """Looking at another picture changes no count of items, and is what plain recomputation gives."""
        items = list(shard_items(open_shards([f"{shards}/00000.tar"])))
        report = evaluate(model, items, retrieval=False, batch_size=len(items))
        exchanged = [
            replace(item, image=other.image, image_id=f"exchanged {item.image_id}")
            for item, other in zip(items, items[1:] + items[:1], strict=True)
        ]
        assert evaluate(model, exchanged, retrieval=False).kinds == report.other_image
        assert report.other_image != report.kinds

    def test_the_next_different_picture(self) -> None:
        assert others([1, 1, 2, 3, 1]) == [2, 2, 3, 1, 2]
        assert others([7, 7]) == [None, None]
        assert others([]) == []

    def test_a_foil_that_says_the_same_is_a_tie(self, model: ClipModel) -> None:
        picture = encode(draw("red", "circle", "left"))
        item = Item("1", picture, "a red circle", (Foil("a red circle", "negate"),), "here")
        report = evaluate(model, [item], retrieval=False)
        assert report.kinds == {"negate": Accuracy(0, 1, 1)}

    def test_an_image_with_several_captions_counts_once(self, model: ClipModel, tmp_path: Path) -> None:
        samples = [replace(make_sample(n), image_id=f"{n // 3}") for n in range(9)]
        found = open_shards([f"{write_shards(tmp_path, [samples])}/*.tar"])
        report = evaluate(model, shard_items(found), retrieval=True, batch_size=4)
        assert (report.images, report.captions) == (3, 9)

    def test_bad_pictures_are_counted_then_refused(self, model: ClipModel, tmp_path: Path) -> None:
        samples = [make_sample(n) for n in range(10)]
        samples[4] = replace(samples[4], image=b"broken")
        found = open_shards([f"{write_shards(tmp_path, [samples])}/*.tar"])
        report = evaluate(model, shard_items(found), retrieval=True, max_bad=0.1)
        assert (report.images, len(report.bad)) == (9, 1)
        assert "image4" in report.bad[0] and "00000.tar" in report.bad[0]
        with pytest.raises(InputError, match="image4"):
            evaluate(model, shard_items(found), retrieval=True, max_bad=0.05)

    def test_without_items(self, model: ClipModel) -> None:
        with pytest.raises(InputError, match="nothing"):
            evaluate(model, [], retrieval=True)

    def test_training_mode_is_left_as_it_was(self, shards: Path) -> None:
        training = load_model(ModelSpec("tiny")).train()
        evaluate(training, shard_items(open_shards([f"{shards}/00002.tar"])), retrieval=False)
        assert training.training

    def test_rules_stand_beside_the_numbers(self, model: ClipModel, shards: Path) -> None:
        report = evaluate(model, shard_items(open_shards([f"{shards}/00002.tar"])), retrieval=True)
        shown = json.dumps(as_table(report))
        for word in ("micro", "macro", "ties are wrong", "Wilson", "mean of queries"):
            assert word in shown
        figures = as_figures(report)
        assert figures["micro"]["total"] == 21
        assert "counts as wrong" in figures["tie_rule"]


class TestAgainst:
    def test_changes_item_by_item(self, model: ClipModel, shards: Path) -> None:
        items = list(shard_items(open_shards([f"{shards}/*.tar"])))
        before = evaluate(load_model(ModelSpec("tiny", seed=3)), items, retrieval=True)
        now = evaluate(model, items, retrieval=True)
        changes = compare(before, now)
        for measure in now.measures:
            every = changes[measure.name]["all"]
            old, new = before.measure(measure.name).micro, measure.micro
            assert (every.before, every.now) == (old, new)
            assert every.gained - every.lost == new.correct - old.correct
        for kind in now.kinds:
            old_marks, new_marks = (report.measure(FOILS).kinds[kind].outcomes for report in (before, now))
            pairs = [(a == RIGHT, b == RIGHT) for a, b in zip(old_marks, new_marks, strict=True)]
            change = changes[FOILS][kind]
            assert (change.gained, change.lost) == (pairs.count((False, True)), pairs.count((True, False)))
        assert any(change.gained for kinds in changes.values() for change in kinds.values())
        assert any(change.lost for kinds in changes.values() for change in kinds.values())

    def test_a_model_against_itself_changes_nothing(self, model: ClipModel, shards: Path) -> None:
        report = evaluate(model, shard_items(open_shards([f"{shards}/00000.tar"])), retrieval=True)
        changes = [change for kinds in compare(report, report).values() for change in kinds.values()]
        assert {(c.gained, c.lost, c.difference, c.p) for c in changes} == {(0, 0, 0.0, 1.0)}

    def test_other_items_are_refused(self, model: ClipModel, shards: Path) -> None:
        reports = [
            evaluate(model, shard_items(open_shards([f"{shards}/0000{n}.tar"])), retrieval=False) for n in (0, 1)
        ]
        with pytest.raises(InputError, match="same"):
            compare(*reports)

    @pytest.mark.parametrize(
        ("gained", "lost", "p"), [(0, 0, 1.0), (5, 5, 1.0), (0, 5, 2 / 32), (1, 7, 2 * 9 / 256), (3, 0, 0.25)]
    )
    def test_sign_test(self, gained: int, lost: int, p: float) -> None:
        assert sign_test(gained, lost) == pytest.approx(p)
        assert sign_test(lost, gained) == pytest.approx(p)

    def test_many_changes_are_as_the_normal_distribution_says(self) -> None:
        assert sign_test(1050, 951) == pytest.approx(math.erfc((1050 - 951 - 1) / math.sqrt(2 * 2001)), rel=1e-2)


def test_the_mean_over_pictures() -> None:
    """A picture with many items weighs as much as one with few."""
    kinds = {"a": Marks(bytearray([2, 2, 2]), array("q", [4, 4, 7])), "b": Marks(bytearray([0]), array("q", [4]))}
    measure = Measure("x", None, kinds)
    assert measure.micro.share == 3 / 4
    assert measure.macro == 1 / 2
    assert measure.by_image == pytest.approx((2 / 3 + 1) / 2)
    assert measure.image_interval == wilson(2 / 3 + 1, 2)


@given(st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_the_interval_over_pictures_holds_what_resampling_them_gives(seed: int) -> None:
    """Items of a picture are right or wrong together; the interval over items is then too narrow, this one is not."""
    chance = np.random.default_rng(seed)
    pictures, share = 60, chance.uniform(0.2, 0.8)
    right = chance.random(pictures) < share
    marks = Marks(bytearray(np.repeat(right * 2, 10).tolist()), array("q", np.repeat(np.arange(pictures), 10).tolist()))
    measure = Measure("x", None, {"a": marks})
    resampled = [right[chance.integers(0, pictures, pictures)].mean() for _ in range(400)]
    spread = np.quantile(resampled, 0.9) - np.quantile(resampled, 0.1)
    low, high = measure.image_interval
    assert high - low > spread
    assert high - low > 2 * (measure.micro.interval[1] - measure.micro.interval[0])
