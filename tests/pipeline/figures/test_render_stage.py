"""``negmine render``: the same bytes always, resumable, and shards that hold what the groups hold."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import DamagedError, InterruptedRun, UsageError
from negmine.contract.records import SPLIT_MARK, Edit, apply_edits
from negmine.contract.shard_format import Index, read_samples
from negmine.contract.split import Split
from negmine.engine.local import LocalEngine
from negmine.outputs.verify import verify
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.program import from_json
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import DrawPhase, render
from negmine.stages.neighbours.recipe import load_recipe, override
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.stage import write_shards
from negmine.store import Spec, Store, load_manifest
from PIL import Image

SETTINGS = RenderSettings(GroupSettings("scenes", level=3, negatives=3, size=64, seed=5), count=50, part_size=16)


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.suffix in (".parquet", ".tar")
    }


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("figures")
    render(SETTINGS, folder, LocalEngine(1))
    return folder


def test_same_bytes_for_any_number_of_workers_and_parts_are_independent(work: Path, tmp_path: Path) -> None:
    render(SETTINGS, tmp_path, LocalEngine(2))
    assert hashes(work) == hashes(tmp_path)
    fewer = RenderSettings(SETTINGS.groups, count=16, part_size=16)
    render(fewer, tmp_path / "fewer", LocalEngine(1))
    first = {name: value for name, value in hashes(work).items() if "00000" in name}
    assert hashes(tmp_path / "fewer") == first


def test_a_run_that_was_stopped_goes_on(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    setup, made = DrawPhase.setup, []

    def counting(phase: DrawPhase):  # type: ignore[no-untyped-def]
        make = setup(phase)

        def part(index: int, folder: Path):  # type: ignore[no-untyped-def]
            if len(made) == 2:
                raise InterruptedRun("stopped")
            made.append(index)
            return make(index, folder)

        return part

    with monkeypatch.context() as patched:
        patched.setattr(DrawPhase, "setup", counting)
        with pytest.raises(InterruptedRun):
            render(SETTINGS, tmp_path, LocalEngine(1))
    assert made == [0, 1]
    render(SETTINGS, tmp_path, LocalEngine(1))
    assert hashes(work) == hashes(tmp_path)


def test_other_settings_are_refused(work: Path) -> None:
    with pytest.raises(DamagedError, match="other settings") as refused:
        render(
            RenderSettings(GroupSettings("scenes", level=4, negatives=3, size=64, seed=5), count=50, part_size=16),
            work,
            LocalEngine(1),
        )
    assert "level: 3 -> 4" in str(refused.value)


def test_a_folder_of_captions_is_refused_before_anything_is_drawn(tmp_path: Path) -> None:
    with Store.open(tmp_path / "pairs", Spec("pairs", {"format": "coco"}, {})) as store:
        store.finish()
    with pytest.raises(DamagedError, match="other settings"):
        render(SETTINGS, tmp_path, LocalEngine(1))
    assert not (tmp_path / "figures").exists()


def test_counts_reconcile(work: Path) -> None:
    counts = load_manifest(work / "figures").counts
    refused = sum(number for name, number in counts.items() if name.startswith("refused:"))
    assert counts["proposed"] == counts["negatives"] + refused
    assert counts["members"] == counts["groups"] + counts["negatives"] == 50 + counts["negatives"]
    assert counts["negatives"] == sum(number for name, number in counts.items() if name.startswith("kind:"))


def test_records_hold_programs_images_and_verdicts(work: Path) -> None:
    rows = pq.read_table(work / "figures" / "part-00000.parquet").to_pylist()
    images = (work / "figures" / "part-00000.tar").read_bytes()
    for row in rows:
        size = len(row["members"])
        assert row["matrix"] == [[i == j for j in range(size)] for i in range(size)]
        assert len(row["edits"]) == size - 1
        for member in row["members"]:
            program = from_json(json.loads(member["program"]), DOMAINS["scenes"].statements)
            told = [list(map(list_or_text, claim)) for claim in DOMAINS["scenes"].claims(program)]
            assert json.loads(member["claims"]) == told
            content = images[member["offset"] : member["offset"] + member["bytes"]]
            assert Image.open(io.BytesIO(content)).size == (64, 64)


def list_or_text(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def test_negatives_are_the_captions_of_the_other_members(work: Path) -> None:
    groups = {row["key"]: row for row in pq.read_table(work / "figures" / "part-00001.parquet").to_pylist()}
    negatives = pq.read_table(work / "negatives" / "part-00001.parquet").to_pylist()
    assert {row["key"] for row in negatives} == set(groups)
    for row in negatives:
        members = groups[row["key"]]["members"]
        assert (row["caption"], row["negative"]) == (members[0]["caption"], members[row["slot"] + 1]["caption"])
        assert apply_edits(row["caption"], [Edit(**edit) for edit in row["edits"]]) == row["negative"]


def test_shards_hold_the_groups_whole_and_split_by_what_they_are_made_of(work: Path, tmp_path: Path) -> None:
    write_shards(ShardSettings(shard_size=20, train_fraction=0.6, negatives=3), work, tmp_path / "out", LocalEngine(1))
    sides = []
    for folder in (tmp_path / "out", tmp_path / "out" / "heldout"):
        samples = [s for tar in sorted(folder.glob("*.tar")) for s in read_samples(io.BytesIO(tar.read_bytes()), "tar")]
        sides.append({sample.image_id.partition(SPLIT_MARK)[0] for sample in samples})
        index = Index.from_json((folder / "index.json").read_text(), "index")
        assert index.kinds == index.image_kinds
        for sample in samples:
            assert [n.text for n in sample.negatives] == [n.caption for n in sample.image_negatives]
            assert [n.kind for n in sample.negatives] == [n.kind for n in sample.image_negatives]
            assert len(set(sample.image_negative_bytes) | {sample.image}) == len(sample.negatives) + 1
    assert not sides[0] & sides[1]
    assert min(map(len, sides)) > 3
    assert not [problem for one in (*verify(work), *verify(tmp_path / "out")) for problem in one.problems]


def test_a_figure_that_is_lost_leaves_its_slot_empty_and_neighbours_come_after(work: Path, tmp_path: Path) -> None:
    mine, images = (shutil.copytree(source, tmp_path / source.name) for source in (work, work / "figures"))
    rows = [row for table in sorted((mine / "pairs").glob("part-*")) for row in pq.read_table(table).to_pylist()]
    captions = {row["key"]: row["caption"] for row in rows}
    np.save(tmp_path / "v.npy", np.random.default_rng(0).normal(size=(len(rows), 8)).astype(np.float32))
    (tmp_path / "v.keys").write_text("".join(f"{key}\n" for key in captions))
    recipe = override(
        load_recipe("negclip_images").settings,
        scores=(f"i2i:npy:{tmp_path}/v.npy",),
        without=("near_image",),
        candidates=8,
        neighbours=2,
    )
    retrieve(recipe, mine, LocalEngine(1))
    group = pq.read_table(mine / "figures" / "part-00000.parquet").to_pylist()[0]
    lost = group["members"][1]
    with (images / "part-00000.tar").open("r+b") as tar:
        tar.seek(lost["offset"])
        tar.write(bytes(lost["bytes"]))
    settings = ShardSettings(shard_size=100, train_fraction=1.0, negatives=3, image_negatives=2)
    made = write_shards(replace(settings, images=str(images)), mine, tmp_path / "out", LocalEngine(1))["train"]
    assert made.counts["image_refused:image_format"] == 1
    samples = [s for tar in (tmp_path / "out").glob("*.tar") for s in read_samples(io.BytesIO(tar.read_bytes()), "tar")]
    for sample in samples:
        slots = {int(n.member.removeprefix("neg").partition(".")[0]): n for n in sample.image_negatives}
        texts = {n.slot: n.text for n in sample.negatives if (sample.key, n.slot) != (group["key"], 0)}
        assert {slot: n.caption for slot, n in slots.items() if slot < 3} == texts
        mined = [captions[key] for key in sample.neighbours]
        assert [slots[slot].caption for slot in (3, 4)] == mined
        assert [slots[slot].kind for slot in (3, 4)] == ["retrieved"] * 2
    index = Index.from_json((tmp_path / "out" / "index.json").read_text(), "index")
    assert index.image_negatives_per_sample == 5
    assert index.image_kinds["retrieved"] == 2 * len(samples) == 2 * len(rows)


def test_images_of_one_unit_lie_on_one_side() -> None:
    training = Split(0.5, 7, heldout=False)
    sides = [{training.holds(f"unit{n}{SPLIT_MARK}{key}") for key in "abcdef"} for n in range(40)]
    assert all(len(side) == 1 for side in sides)
    assert set.union(*sides) == {True, False}


def test_shards_of_other_figures_are_refused(work: Path, tmp_path: Path) -> None:
    import shutil

    mixed = tmp_path / "mixed"
    shutil.copytree(work, mixed)
    shutil.rmtree(mixed / "figures")
    render(RenderSettings(SETTINGS.groups, count=16, part_size=16), tmp_path / "other", LocalEngine(1))
    shutil.copytree(tmp_path / "other" / "figures", mixed / "figures")
    with pytest.raises(DamagedError, match="figures were made from other pairs"):
        write_shards(ShardSettings(), mixed, tmp_path / "out", LocalEngine(1))


def test_impossible_orders_are_refused() -> None:
    with pytest.raises(UsageError, match="--count is 0"):
        RenderSettings(GroupSettings(), count=0)
    with pytest.raises(UsageError, match="unknown domain 'chemistry'"):
        RenderSettings(GroupSettings("chemistry"), count=1)


def test_positives_say_the_claims_of_the_base_otherwise(work: Path, tmp_path: Path) -> None:
    shutil.copytree(work, tmp_path / "work")
    before = hashes(tmp_path / "work")
    render(replace(SETTINGS, positives=2), tmp_path / "work", LocalEngine(1))
    assert {name: value for name, value in hashes(tmp_path / "work").items() if "positives" not in name} == before
    rows = [
        row
        for part in sorted((tmp_path / "work" / "positives").glob("*.parquet"))
        for row in pq.read_table(part).to_pylist()
    ]
    for row in rows:
        assert apply_edits(row["caption"], [Edit(**edit) for edit in row["edits"]]) == row["positive"] != row["caption"]
    assert len({(row["key"], row["positive"]) for row in rows}) == len(rows)
    assert {row["rule"] for row in rows} == {"wording", "converse"} and {row["slot"] for row in rows} == {0, 1}
    assert len({row["key"] for row in rows}) > 45
