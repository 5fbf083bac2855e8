"""Runs that share a folder by rank, and one that joins them, make what a single run makes, byte for byte."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from negmine.base.errors import DamagedError, ResourceError
from negmine.engine import Engine
from negmine.engine.local import LocalEngine
from negmine.stages.audit.settings import AuditSettings
from negmine.stages.audit.stage import audit_negatives
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.neighbours.settings import PlanSettings, RetrieveSettings
from negmine.stages.neighbours.stage import plan_batches, retrieve
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.stage import write_shards
from negmine.store import JOINING, JOURNAL, PartRecord, Share, ShareDone, Spec, Store, verify_store, write_text

from tests.e2e.harness import SAMPLE, copy, hashes, write_embeddings, write_lines

WORLD = 4
Stage = Callable[[Path, Engine], Any]


def read(source: Path, root: Path, engine: Engine) -> Any:
    return ingest(IngestSettings(str(source), images=str(SAMPLE), part_size=25, max_bad=0.5), root / "work", engine)


def parse(root: Path, engine: Engine) -> Any:
    return parse_pairs(ParseSettings(), root / "work", engine)


def mine(encoder: str, root: Path, engine: Engine) -> Any:
    settings = RetrieveSettings(("t2i",), encoder=encoder, candidates=9, neighbours=3)
    retrieve(settings, root / "work", engine, memory="500M")
    return plan_batches(settings, PlanSettings("mutual", batch=4, window=2), root / "work", engine)


def draw(root: Path, engine: Engine) -> Any:
    return render(
        RenderSettings(GroupSettings("scenes", level=2, negatives=2, size=48, seed=5), count=22, part_size=4),
        root / "drawn",
        engine,
    )


def shard(root: Path, engine: Engine) -> Any:
    return write_shards(ShardSettings(shard_size=20, train_fraction=0.7), root / "work", root / "out", engine)


def write_negatives(path: Path) -> Path:
    """Negatives of 60 photos, which are enough for the attackers."""
    rows = [json.loads(line) for line in (SAMPLE / "captions.jsonl").read_text().splitlines()[:300]]
    return write_lines(path, [{**row, "negative": f"{row['caption']} and a apple"} for row in rows])


def look(negatives: Path, root: Path, engine: Engine) -> Any:
    return audit_negatives(AuditSettings(root / "work", negatives=negatives), root / "audit", engine)


def whole(stage: Stage, root: Path) -> None:
    stage(root, LocalEngine(1))


def by_ranks(stage: Stage, root: Path) -> int:
    """Ranks in turn, then a merge, until that finishes; returns how often."""
    for times in range(1, 9):
        for rank in (2, 0, 3, 1):
            with pytest.raises(ShareDone):
                stage(root, LocalEngine(1, Share(rank, WORLD)))
        try:
            stage(root, LocalEngine(1, JOINING))
        except ShareDone:
            continue
        return times
    raise AssertionError("the merges come to no end")


def test_every_stage_by_ranks_is_the_one_run(tmp_path: Path) -> None:
    source, root = tmp_path / "captions.jsonl", tmp_path / "root"
    lines = (SAMPLE / "captions.jsonl").read_text().splitlines()[:150]
    bad = [json.dumps({"image": f"images/none-{n}.jpg", "caption": "a cat on a mat"}) for n in range(3)]
    source.write_text("\n".join(lines + bad) + "\n")
    whole(partial(read, source), root)
    encoder = write_embeddings(root / "work" / "pairs", tmp_path / "rows.npy")
    look_at = partial(look, write_negatives(tmp_path / "negatives.jsonl"))
    stages = (partial(read, source), parse, partial(mine, encoder), draw, shard, look_at)
    for stage in stages:
        whole(stage, root)
    one = hashes(root)
    root.rename(tmp_path / "one")
    times = [by_ranks(stage, root) for stage in stages]
    assert hashes(root) == one
    assert times == [1, 2, 4, 1, 1, 1]  # as docs/scaling.md says
    assert not [path for path in root.rglob(".*") if path.name != ".lock"]
    for folder in ("work/pairs", "work/negatives", "audit"):
        assert verify_store(root / folder, fast=False) == []


# --- the store -------------------------------------------------------------------------------------------------------

SPEC = Spec("test", {"seed": 0}, {"pairs": "abc"})


def make(folder: Path, share: Share, parts: int = 6, spec: Spec = SPEC) -> list[int]:
    """One run of a stage of so many parts; returns what it made."""
    made = []
    with Store.open(folder, spec, share) as opened:
        if opened.finished:
            return made
        for index in opened.missing(parts):
            opened.commit(PartRecord(index, (write_text(folder, f"part-{index:05d}.txt", f"{index}"),), {"pairs": 1}))
            made.append(index)
        opened.check_joined(parts, "testing")
        opened.finish()
    return made


def of_rank(folder: Path, rank: int, spec: Spec = SPEC) -> None:
    with pytest.raises(ShareDone):
        make(folder, Share(rank, 3), spec=spec)


def test_a_rank_that_did_not_run_is_named_and_then_made_up_for(tmp_path: Path) -> None:
    of_rank(tmp_path, 0)
    of_rank(tmp_path, 2)
    for why in ("not made: 1, 4; by rank 1 of 3", "not made: 1, 4"):  # the second merge has seen the journals joined
        with pytest.raises(DamagedError, match="2 of 6 parts are missing") as caught:
            make(tmp_path, JOINING)
        assert caught.value.why == why
    of_rank(tmp_path, 1)
    assert make(tmp_path, JOINING) == []
    assert verify_store(tmp_path, fast=False) == []


def test_a_run_without_ranks_takes_up_what_they_made(tmp_path: Path) -> None:
    of_rank(tmp_path, 1)
    assert make(tmp_path, Share()) == [0, 2, 3, 5]


def test_another_number_of_ranks_goes_on(tmp_path: Path) -> None:
    of_rank(tmp_path, 0)
    for rank in range(2):
        with pytest.raises(ShareDone):
            make(tmp_path, Share(rank, 2))
    assert make(tmp_path, JOINING) == []


def test_a_rank_resumes_and_makes_a_damaged_part_again(tmp_path: Path) -> None:
    of_rank(tmp_path, 0)
    (tmp_path / "part-00003.txt").write_text("x")
    with Store.open(tmp_path, SPEC, Share(0, 3)) as opened:
        assert opened.missing(6) == [3]


def test_ranks_with_other_settings_are_refused(tmp_path: Path) -> None:
    of_rank(tmp_path, 0)
    of_rank(tmp_path, 1, Spec("test", {"seed": 1}, {"pairs": "abc"}))
    with pytest.raises(DamagedError, match="other settings") as caught:
        make(tmp_path, JOINING)
    assert "settings.seed" in str(caught.value.why)


def test_ranks_run_at_once_and_keep_each_others_files(tmp_path: Path) -> None:
    with Store.open(tmp_path, SPEC, Share(0, 2)):
        (tmp_path / ".tmp-7-part-00000.txt").write_text("rank 0 is writing this")
        with Store.open(tmp_path, SPEC, Share(1, 2)):
            assert (tmp_path / ".tmp-7-part-00000.txt").exists()
        with pytest.raises(ResourceError, match="another run"), Store.open(tmp_path, SPEC, Share(0, 2)):
            pass
        with pytest.raises(ResourceError, match="another run"), Store.open(tmp_path, SPEC, JOINING):
            pass
    make(tmp_path, Share())
    assert not list(tmp_path.glob(".tmp-*")) and not (tmp_path / JOURNAL).exists()


def test_ranks_of_a_finished_stage_make_nothing(tmp_path: Path) -> None:
    make(tmp_path, Share())
    before = hashes(copy(tmp_path, tmp_path.with_name("copy")))
    assert make(tmp_path, Share(1, 3)) == []
    assert list(hashes(tmp_path).values()) == list(before.values())
