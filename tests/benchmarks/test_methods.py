"""The harness of `benchmarks/methods`: scores against the trainer's own rules, intervals, what a cell's key heeds,
and other people's data."""

from __future__ import annotations

import importlib
import json
import sys
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from ahnpl.evaluation.metrics import RIGHT, Accuracy, leads, outcome
from ahnpl.losses import build_loss
from negmine.base.errors import InputError, UsageError
from PIL import Image
from torch.nn.functional import normalize

FOLDER = Path(__file__).parents[2] / "benchmarks" / "methods"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(FOLDER))
    names = ("cells", "grids", "report", "score", "nlvr")

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def test_group_score_is_that_of_the_evaluation(module: Any) -> None:
    torch.manual_seed(0)
    images, texts = (normalize(torch.randn(40, 4, 6), dim=-1) for _ in range(2))
    texts = normalize(texts + images, dim=-1)
    texts[3, 1] = texts[3, 0]  # a tie, which is wrong
    kinds = [["a", "b", "a"]] * 40
    found = module("score").judge(images, texts, kinds, torch.arange(30))
    pairs = {"a": Accuracy(), "b": Accuracy()}
    for group in range(40):
        for other in (1, 2, 3):
            both = [0, other]
            lead = min(leads(images[group, both] @ texts[group, both].T))
            pairs[kinds[0][other - 1]] += Accuracy(int(outcome(lead) == RIGHT), 0, 1)
    total = pairs["a"] + pairs["b"]
    assert 0.2 < total.share < 0.9
    assert found.summary["group"] == pytest.approx(total.share)
    for kind, tally in pairs.items():
        share, count = found.summary["kinds"][kind]
        assert (share, count) == (pytest.approx(tally.share), tally.total)
    best = (images @ texts.transpose(1, 2)).argmax(2)
    wrong_by_tie = int(best[3, 0] == 0)
    hits = int((best == torch.arange(4)).sum()) - wrong_by_tie
    assert found.summary["i2t"] == pytest.approx(hits / 160)


def test_recall_counts_both_directions(module: Any) -> None:
    images = torch.eye(3)[:, None].expand(3, 2, 3)
    texts = torch.eye(3)[[0, 1, 1]][:, None].expand(3, 2, 3)  # the third caption is that of the second
    found = module("score").judge(images, texts, [["a"]] * 3, torch.arange(3))
    assert found.items["recall"] == [1.0, 0.5, 0.0]


def test_interval_knows_that_seeds_differ(module: Any) -> None:
    bootstrap = module("report").bootstrap
    items = np.random.default_rng(1).integers(0, 2, (1, 400)).repeat(3, axis=0).astype(float)
    same, differing = bootstrap(items), bootstrap(items * np.array([[1.0], [0.6], [0.2]]))
    assert same.low < items.mean() < same.high
    assert same.high - same.low == pytest.approx(4 * 0.5 / 20, rel=0.15)  # 1.96 standard errors on either side
    assert differing.high - differing.low > 2 * (same.high - same.low)


def test_the_goal_is_reached_between_two_points(module: Any) -> None:
    crossing = module("report").crossing
    assert crossing([100, 200, 300], [0.5, 0.8, 1.0], 0.9) == pytest.approx(250)
    assert crossing([100, 200, 300], [0.5, 0.8, 1.0], 0.6) == pytest.approx(100 + 100 / 3)
    assert crossing([100, 200], [0.95, 0.2], 0.9) == 100
    assert crossing([100, 200], [0.5, 0.89], 0.9) is None


def test_a_key_heeds_every_setting(module: Any) -> None:
    cell = module("cells").Cell(row="x", recipe={"extends": "ahnpl"})
    changed = [
        replace(cell, seed=1),
        replace(cell, steps=301),
        replace(cell, negatives=2),
        replace(cell, difficulty=2),
        replace(cell, recipe={"extends": "ahnpl", "image_weight": 0.0}),
    ]
    assert len({one.key for one in [cell, *changed]}) == 6


def test_every_cell_of_every_grid_can_be_trained(module: Any) -> None:
    """Its recipe exists, its scenes have as many negatives as it asks for, and no two cells share a file."""
    grids = module("grids")
    for make in grids.GRIDS.values():
        found = make()
        assert len({cell.key for cell in found}) == len(found)
        assert all(cell.negatives <= cell.rendered for cell in found)
    for recipe in {**grids.ESSENTIAL, **grids.OTHERS, **grids.ABLATIONS}.values():
        build_loss(recipe)  # an unknown name, parameter or option is refused


def test_an_interrupted_grid_goes_on(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Finished cells are kept; their results are not touched again."""
    cells = module("cells")
    one, two = (cells.Cell(row="x", recipe="clip", seed=seed) for seed in (0, 1))
    kept = tmp_path / "cells" / f"{one.key}.json"
    kept.parent.mkdir()
    kept.write_text('{"curve": []}')
    asked = []
    monkeypatch.setattr(cells, "shards", lambda cell, data: asked.append(cell))
    cells.run_all([one, one], tmp_path, tmp_path, 1, lambda text: None)
    assert asked == []
    assert cells.result(one, tmp_path) == {"curve": []}
    assert cells.result(two, tmp_path) is None


def test_a_cell_that_cannot_be_run_is_told_and_leaves_the_others_alone(module: Any) -> None:
    done: Future[dict[str, Any]] = Future()
    done.set_exception(UsageError("this recipe needs text negatives"))
    assert module("cells")._outcome(done) == "not run, this recipe needs text negatives"
    broken: Future[dict[str, Any]] = Future()
    broken.set_exception(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):  # a fault of ours is no outcome
        module("cells")._outcome(broken)


def _nlvr(folder: Path, true: list[tuple[str, str]], false: list[tuple[str, str]]) -> Path:
    """Sentences and names of images, which are drawn."""
    for name, rows in (("captions.jsonl", true), ("false_statements.jsonl", false)):
        lines = [json.dumps({"image": f"{image}.png", "caption": sentence}) + "\n" for sentence, image in rows]
        (folder / name).write_text("".join(lines), encoding="utf-8")
        for _, image in rows:
            Image.new("RGB", (400, 100)).save(folder / f"{image}.png")
    return folder


def test_a_sentence_is_judged_by_its_pairs_of_images(module: Any, tmp_path: Path) -> None:
    """The mean is over sentences, a tie is wrong, and a sentence without a counterpart does not count."""
    nlvr = module("nlvr")
    true = [("one", "a"), ("one", "b"), ("two", "c"), ("only true", "d")]
    false = [("one", "e"), ("two", "f"), ("two", "g"), ("only false", "h")]
    statements = nlvr.read_statements(_nlvr(tmp_path, true, false))
    assert [(one.sentence, one.image.stem) for one in statements] == true + false
    found = nlvr.judge([0.5, 0.3, 0.9, 0.8, 0.3, 0.9, 0.1, 0.0], statements)
    assert found.items["accuracy"] == [0.5, 0.5]  # .5 > .3 and a tie; a tie and .9 > .1
    assert found.summary["accuracy"] == 0.5
    wins = [(0.5, (0.3, 0.1, 0.0)), (0.3, (0.1, 0.0)), (0.9, (0.3, 0.1, 0.0)), (0.8, (0.3, 0.1, 0.0))]
    ties = 2  # .3 and .9
    assert found.summary["auc"] == pytest.approx((sum(len(less) for _, less in wins) + ties / 2) / 16)


def test_all_three_boxes_are_seen(module: Any) -> None:
    """Where a model's own crop would keep the middle one only."""
    in_square = module("nlvr").in_square
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255)]
    wide = Image.new("RGB", (400, 100), (128, 128, 128))
    for place, colour in enumerate(colours):
        wide.paste(colour, (150 * place, 0, 150 * place + 100, 100))
    square = in_square(wide)
    assert square.width == square.height
    counts = {colour: count for count, colour in square.getcolors()}
    assert [counts[colour] for colour in colours] == [100 * 100] * 3
    assert set(counts) == {*colours, (128, 128, 128)}


def test_damaged_nlvr_is_refused_by_its_row(module: Any, tmp_path: Path) -> None:
    nlvr = module("nlvr")
    _nlvr(tmp_path, [("one", "a"), ("one", "b")], [("one", "c")])
    (tmp_path / "b.png").unlink()
    with pytest.raises(InputError, match=r"captions\.jsonl, row 2\n.*there is no .*b\.png\n.*--others"):
        nlvr.read_statements(tmp_path)
    with pytest.raises(InputError, match="FileNotFoundError"):
        nlvr.read_statements(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no sentence"):
        nlvr.read_statements(_nlvr(tmp_path, [("one", "a")], [("two", "c")]))


def test_scores_on_other_data_stand_beside_results_without_them(module: Any) -> None:
    report = module("report")

    def result(row: str, seed: int, accuracy: list[float] | None) -> dict[str, Any]:
        point = {"step": 1, "cpu_seconds": 1.0, "group": 0.5, "i2t": 0.5, "t2i": 0.5, "text": 0.5, "kinds": {}}
        found: dict[str, Any] = {
            "cell": {"row": row, "seed": seed, "difficulty": 4},
            "cpu_seconds": 1.0,
            "curve": [point],
            "items": {"group": [0.5], "recall": [0.5]},
        }
        if accuracy is not None:
            items = {"accuracy": accuracy}
            found["others"] = {"NLVR": {"summary": {"accuracy": float(np.mean(accuracy)), "auc": 0.25}, "items": items}}
        return found

    bare = [result("x", 0, None), result("y", 0, None)]
    assert report.others(report.lines(bare)) == ""
    made = report.lines([*bare, result("x", 1, [0.0, 1.0, 1.0, 1.0])])
    head, _, first, second = report.others(made).splitlines()
    assert head == "| recipe | seeds | NLVR accuracy | NLVR AUC |"
    assert first.startswith("| `x` | 1 | 0.750 [") and first.endswith("| 0.250 |")
    assert second == "| `y` |  |  |  |"
