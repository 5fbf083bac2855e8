"""Batch plans: exactly B, nobody twice, nobody beside what is true of him, harder than chance, nobody forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.contract.records import BATCHES
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.batches import PLANNERS, Lists, Window, plan
from negmine.stages.neighbours.settings import PlanSettings, RetrieveSettings
from negmine.stages.neighbours.stage import plan_batches, retrieve
from negmine.stages.neighbours.summary import planned
from negmine.store import load_manifest

from tests.pipeline.neighbours.conftest import make_work, pairs_of, table, unit


def window(rng: np.random.Generator, images: int, captions: int, conflicts: int, near: int = 12) -> tuple[Window, Any]:
    """Pairs on a sphere, their nearest as candidates, and some random pairs that must not meet."""
    size = images * captions
    image = np.repeat(np.arange(images), captions)
    points = np.repeat(unit(rng, images, 4), captions, axis=0) + 0.05 * unit(rng, size, 4)
    scores = points @ points.T
    scores[image[:, None] == image] = -9
    order = np.argsort(-scores, axis=1)[:, :near].ravel()
    owners = np.repeat(np.arange(size), min(near, size))
    one, other = rng.integers(0, size, (2, conflicts))
    both = np.stack([np.concatenate([one, other]), np.concatenate([other, one])])
    lists = Lists.of(owners, order, size)
    labels = (np.arange(size) * 3) // size
    return Window(image, lists, lists, Lists.of(both[0], both[1], size), lambda: labels), points


def sound(found: Window, batch: int, batches: Any, left: Any) -> None:
    assert batches.shape[1:] == (batch,)
    assert sorted([*batches.ravel().tolist(), *left.tolist()]) == list(range(len(found.image)))
    for members in batches:
        assert len(set(found.image[members])) == batch
        for pair in members:
            assert not set(found.conflicts[pair]) & (set(members) - {pair})


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 99),
    st.integers(1, 12),
    st.integers(1, 5),
    st.integers(0, 30),
    st.integers(2, 9),
    st.sampled_from(sorted(PLANNERS)),
)
def test_every_plan_is_sound(seed: int, images: int, captions: int, conflicts: int, batch: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    found, _ = window(rng, images, captions, conflicts)
    made = plan(found, name, batch, np.random.default_rng(seed))
    sound(found, batch, made.batches, made.left)
    if captions == 1 and not conflicts and name not in ("clusters", "domains"):
        assert len(made.left) == images % batch


@pytest.mark.parametrize("name", ["random", "neighbours", "mutual", "groups"])
@pytest.mark.parametrize("conflicts", [0, 150, 1_500])
def test_the_whole_epoch_is_covered(name: str, conflicts: int) -> None:
    """Also with five captions an image, which must be spread over the batches: only the remainder is left."""
    found, _ = window(np.random.default_rng(1), 60, 5, conflicts)
    made = plan(found, name, 32, np.random.default_rng(0))
    sound(found, 32, made.batches, made.left)
    assert len(made.left) == 300 % 32


def test_neighbours_meet() -> None:
    found, points = window(np.random.default_rng(2), 400, 1, 0, near=40)

    def similarity(name: str) -> float:
        made = plan(found, name, 16, np.random.default_rng(0))
        others = ~np.eye(16, dtype=bool)
        return float(np.mean([(points[b] @ points[b].T)[others].mean() for b in made.batches]))

    chance, brought, voted = (similarity(name) for name in ("random", "neighbours", "mutual"))
    assert brought > chance + 0.15
    assert voted > brought + 0.1


def test_clusters_stay_pure_and_what_they_leave_is_mixed() -> None:
    found, _ = window(np.random.default_rng(3), 50, 1, 0)
    made = plan(found, "clusters", 8, np.random.default_rng(0))
    labels = found.labels()
    kinds = [len(set(labels[members])) for members in made.batches]
    assert kinds.count(1) == sum(int((labels == label).sum()) // 8 for label in range(3))
    assert len(made.left) == 50 % 8


# --- the stage -------------------------------------------------------------------------------------------------------


@pytest.fixture
def mined(tmp_path: Path) -> tuple[Path, RetrieveSettings, Any]:
    """60 images with two captions each, mined by their own vectors; two groups of sources."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(unit(rng, 60, 6), 2, axis=0) + 0.3 * unit(rng, 120, 6)
    images = [f"i{number // 2}" for number in range(120)]
    name = make_work(tmp_path, images, [f"text {n}" for n in range(120)], vectors, part_size=50)
    chosen = RetrieveSettings(encoder=name, candidates=20, neighbours=4, filters={"percentage": {"share": 1.0}})
    retrieve(chosen, tmp_path / "work", LocalEngine(1))
    return tmp_path / "work", chosen, dict(zip((f"k{n}" for n in range(120)), vectors, strict=True))


def test_images_that_were_refused_do_not_meet_under_any_of_their_captions(tmp_path: Path) -> None:
    """An image stands in the table under its first pair only; what it was refused for holds for all its pairs."""
    rng = np.random.default_rng(0)
    vectors = np.repeat(unit(rng, 40, 6), 3, axis=0)
    images = [f"i{number // 3}" for number in range(120)]
    name = make_work(tmp_path, images, [f"text {n}" for n in range(120)], vectors, part_size=50)
    work = tmp_path / "work"
    chosen = RetrieveSettings((f"i2i:{name}",), candidates=39, neighbours=4, filters={"ceiling": {"score": 0.4}})
    retrieve(chosen, work, LocalEngine(1))
    plan_batches(chosen, PlanSettings("mutual", batch=6, train_fraction=1.0), work, LocalEngine(1))
    pairs = pairs_of(work)
    image = {key: pair["image_id"] for key, pair in pairs.items()}
    refused = {
        frozenset((image[r["key"]], image[r["neighbour_key"]])) for r in table(work / "neighbours") if r["reason"]
    }
    batches: dict[int, list[str]] = {}
    for row in table(work / "plan"):
        if row["batch"] is not None:
            batches.setdefault(row["batch"], []).append(image[row["key"]])
    assert len(batches) > 10
    for members in batches.values():
        assert not any(frozenset((one, other)) in refused for one in members for other in members if one != other)


@pytest.mark.parametrize("name", sorted(PLANNERS))
def test_a_plan_of_mined_pairs(name: str, mined: tuple[Path, RetrieveSettings, Any]) -> None:
    work, chosen, _ = mined
    manifest = plan_batches(chosen, PlanSettings(name, batch=8, clusters=3, train_fraction=1.0), work, LocalEngine(1))
    figures = planned(manifest)
    assert figures["pairs for training"] == 120 == figures["planned"] + figures["left over"]
    assert figures["planned"] == figures["batches"] * 8 >= 96
    rows, pairs = table(work / "plan"), pairs_of(work)
    assert pq.read_schema(work / "plan" / "part-00000.parquet").equals(BATCHES)
    assert sorted(row["key"] for row in rows) == sorted(pairs)
    refused = {
        frozenset((row["key"], row["neighbour_key"])) for row in table(work / "neighbours") if row["reason"]
    }  # every reason here says: may be true
    batches: dict[int, list[str]] = {}
    for row in rows:
        assert (row["batch"] is None) == (row["slot"] is None)
        assert row["key"] in {
            r["key"] for r in pq.read_table(work / "pairs" / f"part-{row['part']:05d}.parquet").to_pylist()
        }
        if row["batch"] is not None:
            batches.setdefault(row["batch"], []).append(row["key"])
    for members in batches.values():
        assert len(members) == 8 == len({pairs[key]["image_id"] for key in members})
        assert not any(frozenset((one, other)) in refused for one in members for other in members if one != other)


def test_plans_do_not_depend_on_workers_and_stay_in_their_window(mined: tuple[Path, RetrieveSettings, Any]) -> None:
    work, chosen, _ = mined
    small = PlanSettings("mutual", batch=6, window=1, train_fraction=0.8)
    plan_batches(chosen, small, work, LocalEngine(1))
    files = [file.file for part in load_manifest(work / "plan").parts for file in part.files]
    assert len(files) == 3
    before = [(work / "plan" / file).read_bytes() for file in files]
    plan_batches(chosen, small, work, LocalEngine(2), overwrite=True)
    assert [(work / "plan" / file).read_bytes() for file in files] == before
    for number, file in enumerate(files):
        assert set(pq.read_table(work / "plan" / file)["part"].to_pylist()) == {number}


def test_wrong_plans(mined: tuple[Path, RetrieveSettings, Any]) -> None:
    work, chosen, _ = mined
    with pytest.raises(UsageError, match="unknown batch plan"):
        plan_batches(chosen, PlanSettings("nearest"), work, LocalEngine(1))
    with pytest.raises(InputError, match="not one batch of 100"):
        plan_batches(chosen, PlanSettings("random", batch=100), work, LocalEngine(1))
    with pytest.raises(DamagedError, match=r"settings\.batch: 100 -> 8"):
        plan_batches(chosen, PlanSettings("random", batch=8), work, LocalEngine(1))
