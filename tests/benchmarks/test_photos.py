"""The harness of `benchmarks/photos`: who may be a negative, scores against plain loops, intervals, resuming."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from negmine.contract.records import Sample, TextNegative
from torch.nn.functional import normalize

FOLDER = Path(__file__).parents[2] / "benchmarks" / "photos"
PHOTOS = 24


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))

    def load(name: str) -> ModuleType:
        return importlib.import_module(name)

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # with which so small a model is fastest, above all beside other work
    yield load
    torch.set_num_threads(threads)
    for name in ("cells", "heads", "material", "summary"):
        sys.modules.pop(name, None)


def small(module: Any) -> Any:
    """Photos with random features; every caption has as many false ones as its number modulo 6."""
    of = module("material")
    names = [f"p{n}" for n in range(PHOTOS)]
    false = {name: [f"{name} not {k}" for k in range(n % 6)] for n, name in enumerate(names)}
    train = [of.Photo(name, f"{name} true", {"refined": false[name], "all": false[name]}) for name in names]
    items = [
        of.Item(name, f"{name} true", text, f"kind{k % 2}") for name in names for k, text in enumerate(false[name])
    ]
    texts = [text for name in names for text in (f"{name} true", *false[name])]
    torch.manual_seed(0)
    images, features = normalize(torch.randn(PHOTOS, 12), dim=-1), normalize(torch.randn(len(texts), 8), dim=-1)
    pairs = [(photo.image_id, photo.caption) for photo in train]
    rows = [{name: row for row, name in enumerate(several)} for several in (names, texts)]
    return of.Material(train, {"SugarCrepe": items}, {"here": pairs}, images, features, *rows)


def cell(module: Any, **changes: Any) -> Any:
    few = {"warm_steps": 3, "steps": 3, "batch_size": 8, "hidden": 16, "width": 8}
    return module("cells").Cell(**{"row": "refined", "recipe": "ahnpl", "material": "m", **few, **changes})


def test_captions_of_held_out_photos_are_no_negatives(module: Any) -> None:
    def sample(key: str, neighbours: tuple[str, ...], *false: str) -> Sample:
        negatives = tuple(TextNegative(slot, text, "swap_object", "r", None) for slot, text in enumerate(false))
        return Sample(key, key, f"caption {key}", b"", "jpg", (), negatives, neighbours=neighbours)

    samples = [sample("a", ("heldout", "b"), "a false"), sample("b", ("a",))]
    plain = [sample("a", (), "other false"), sample("b", ())]
    a, b = module("material")._train({"refined": samples, "unrefined": plain})
    assert a.negatives["retrieved"] == ["caption b"]
    assert a.negatives["unrefined"] == ["other false"]
    assert a.negatives["all"] == ["a false", "caption b"]
    assert b.negatives["retrieved"] == ["caption a"]


def test_a_batch_holds_own_negatives_and_no_more_than_its_slots(module: Any) -> None:
    material = small(module)
    names = list(material.text_rows)
    batch = next(module("heads").batches(material, "all", 4, PHOTOS, seed=3))
    for key, caption, rows, valid in zip(batch.keys, batch.texts, batch.negatives, batch.valid, strict=True):
        assert names[caption] == f"{key} true"
        assert int(valid.sum()) == min(int(key[1:]) % 6, 4)
        drawn = [names[row] for row in rows[valid]]
        assert len(set(drawn)) == len(drawn)
        assert all(text.startswith(f"{key} not ") for text in drawn)


def test_scores_are_those_of_plain_loops(module: Any) -> None:
    material = small(module)
    heads = module("heads").Heads(material, 16, 8, seed=1).eval()
    items = material.tests["SugarCrepe"]
    with torch.inference_mode():
        found = module("cells").judge(heads, material, items)
        recalled = module("cells").recall(heads, material, material.pairs["here"])
        images = heads.encode_image(torch.arange(PHOTOS))
        texts = {text: heads.encode_text(torch.tensor(row)) for text, row in material.text_rows.items()}
    for place, item in enumerate(items):
        following = next(one for one in [*items[place:], *items] if one.image_id != item.image_id)
        for name, photo in (("right", item.image_id), ("wrong_photo", following.image_id)):
            image = images[material.image_rows[photo]]
            assert found[name][place] == int(image @ texts[item.caption] > image @ texts[item.foil] + 1e-6)
    captions = torch.stack([texts[caption] for _, caption in material.pairs["here"]])
    both = [(images @ captions.T).argmax(dim).eq(torch.arange(PHOTOS)).double() for dim in (0, 1)]
    assert recalled["1"] == pytest.approx(torch.stack(both).mean(0).tolist())


def test_training_on_negatives_lowers_them(module: Any) -> None:
    """The foils it was trained on; with another photo the caption is not above them for that."""
    material, of = small(module), module("cells")
    trained = of.run(cell(module, steps=60, lr=1e-2), material)["tests"]["SugarCrepe"]
    start = of.run(cell(module, row="start", recipe="clip"), material)["tests"]["SugarCrepe"]
    assert np.mean(trained["right"]) > np.mean(start["right"]) + 0.2


def test_a_grid_goes_on_and_gives_the_same(module: Any, tmp_path: Path) -> None:
    of, material = module("cells"), small(module)
    cells, told = [cell(module, row="none", recipe="clip"), cell(module)], []
    of.run_all(cells, material, tmp_path, told.append)
    results = [of.result(one, tmp_path) for one in cells]
    path = tmp_path / "cells" / f"{cells[1].key}.json"
    path.unlink()
    of.run_all(cells, material, tmp_path, told.append)
    assert len(told) == 3
    again = [of.result(one, tmp_path) for one in cells]
    assert [{**one, "cpu_seconds": 0} for one in again] == [{**one, "cpu_seconds": 0} for one in results]
    changed = [
        replace(cells[1], **one)
        for one in ({"seed": 1}, {"share": 0.5}, {"lr": 1e-5}, {"material": "n"}, {"recipe": "clip"})
    ]
    assert len({one.key for one in [cells[1], *changed]}) == 6


def test_an_interval_knows_that_items_share_photos(module: Any) -> None:
    estimate = module("summary").estimate
    by_photo = np.random.default_rng(1).integers(0, 2, (1, 40)).astype(float)
    items = by_photo.repeat(10, axis=1).repeat(3, axis=0)
    apart, together = estimate(items, range(400)), estimate(items, np.arange(40).repeat(10))
    assert apart.mean == together.mean == pytest.approx(100 * by_photo.mean())
    assert together.high - together.low == pytest.approx(100 * 4 * 0.5 / 40**0.5, rel=0.2)
    assert apart.high - apart.low == pytest.approx(100 * 4 * 0.5 / 20, rel=0.2)


def test_rows_are_compared_seed_by_seed(module: Any) -> None:
    def found(row: str, seed: int, right: list[int]) -> dict[str, Any]:
        test = {"right": right, "wrong_photo": [0] * 4, "photo": [0, 0, 1, 1], "kind": ["a", "a", "a", "b"]}
        recall = {"here": {"1": [0.0, 0.5], "5": [1.0, 1.0]}}
        return {
            "cell": {"row": row, "recipe": "clip", "seed": seed, "share": 1.0},
            "tests": {"SugarCrepe": test},
            "recall": recall,
        }

    of = module("summary")
    results = [
        found("none", 0, [0, 0, 0, 0]),
        found("none", 1, [1, 1, 1, 0]),
        found("more", 0, [1, 0, 0, 0]),
        found("more", 1, [1, 1, 1, 1]),
        found("late", 1, [1, 1, 1, 1]),
    ]
    text = of.tables(of.lines(results), "none")
    rows = {line.split(" | ")[0]: line for line in reversed(text.splitlines())}
    assert rows["| none"].split(" | ")[2].startswith("37.5 [")
    assert rows["| more"].split(" | ")[3].startswith("+25.0 [")
    assert rows["| late"].split(" | ")[3].startswith("+25.0 [")  # against the seed that it has
    assert "| more | `clip` | 66.7 | 50.0 |" in text  # kinds: three items of a, one of b
