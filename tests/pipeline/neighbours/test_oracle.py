"""All of retrieval against brute force on tiny corpora: ties, copies, negative scores, several positives, too few."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours import stage
from negmine.stages.neighbours.recipe import override
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.store import Manifest, load_manifest

from tests.pipeline.neighbours.conftest import make_work, pairs_of, reconciles, table

WORDS = ("a dog runs", "A dog runs.", "two cats sit", "a cow eats grass", "one dog runs")


def oracle(work: Path, rows: dict[str, Any], chosen: RetrieveSettings) -> list[dict[str, Any]]:
    """What the table must hold, one query after the other, by nothing but loops."""
    pairs = list(pairs_of(work).values())
    siblings = {p["key"]: [o for o in pairs if o["image_id"] == p["image_id"] and o is not p] for p in pairs}
    score = {(p["key"], o["key"]): np.vecdot(rows[p["key"]], rows[o["key"]]) for p in pairs for o in pairs}
    truths = {k: [score[k, o["key"]] for o in others] for k, others in siblings.items()}
    average = {k: np.mean(t, dtype=np.float64) if t else None for k, t in truths.items()}
    known = [a for a in average.values() if a is not None]
    expected = []
    for pair in pairs:
        mine = average[pair["key"]]
        positive = mine if mine is not None else np.mean(known) if known else 1.0
        order = sorted(range(len(pairs)), key=lambda i: (-score[pair["key"], pairs[i]["key"]], i))
        others = kept = 0
        for rank, other in enumerate((pairs[i] for i in order), 1):
            if others == chosen.candidates:
                break
            others += other["image_id"] != pair["image_id"]
            value = score[pair["key"], other["key"]]
            reason = None
            if other is pair:
                reason = "itself"
            elif other["image_id"] == pair["image_id"]:
                reason = "same_image"
            elif others <= chosen.skip:
                reason = "skipped"
            elif "same_text" in chosen.filters and other["caption"] == pair["caption"]:
                reason = "same_text"
            elif "percentage" in chosen.filters:
                reason = "percentage" if value >= positive - 0.05 * abs(positive) else None
            kept += reason is None
            expected.append(
                {
                    "key": pair["key"],
                    "neighbour_key": other["key"],
                    "direction": "t2t",
                    "rank": rank,
                    "score": value,
                    "positive_score": positive,
                    "keep": reason is None,
                    "reason": reason,
                    "selected": reason is None and kept <= chosen.neighbours,
                }
            )
    return expected


@settings(max_examples=25, deadline=None)
@given(st.data())
def test_equals_brute_force(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 14))
    images = data.draw(st.lists(st.sampled_from("abcde"), min_size=size, max_size=size))
    captions = data.draw(st.lists(st.sampled_from(WORDS), min_size=size, max_size=size))
    images = [
        i if (i, c) not in set(zip(images[:n], captions[:n], strict=True)) else f"{i}{n}"
        for n, (i, c) in enumerate(zip(images, captions, strict=True))
    ]
    corner = st.sampled_from([-1.0, 0.0, 1.0])
    vectors = [data.draw(st.tuples(corner, corner, corner).filter(any)) for _ in range(size)]
    chosen = RetrieveSettings(
        candidates=data.draw(st.integers(2, 20)),
        skip=data.draw(st.integers(0, 1)),
        neighbours=data.draw(st.integers(1, 6)),
        filters=data.draw(st.sampled_from([{}, {"same_text": {}}, {"percentage": {"share": 0.95}, "same_text": {}}])),
    )
    with TemporaryDirectory() as folder:
        name = make_work(Path(folder), images, captions, vectors)
        work = Path(folder) / "work"
        manifest = retrieve(override(chosen, encoder=name), work, LocalEngine(1))
        folders = [load_manifest(f.parent) for f in work.glob("embeddings/*/manifest.json")]
        assert len(folders) == 1
        stored = np.concatenate([np.load(f) for f in sorted(work.glob("embeddings/*/part-*.npy"))])
        rows = dict(zip(pairs_of(work), stored, strict=True))
        expected, found = oracle(work, rows, chosen), table(work / "neighbours")
        assert len(found) == len(expected)
        for row, right in zip(found, expected, strict=True):
            assert row["score"] == right["score"]
            assert row["positive_score"] == pytest.approx(right["positive_score"], abs=1e-6)
            bound = right["positive_score"] - 0.05 * abs(right["positive_score"])
            if "percentage" not in chosen.filters or abs(row["score"] - bound) > 1e-5:
                same = ("key", "neighbour_key", "direction", "rank", "keep", "reason")
                assert [row[n] for n in same] == [right[n] for n in same]
        if "percentage" not in chosen.filters:
            assert [row["selected"] for row in found] == [row["selected"] for row in expected]
        counted(manifest, found, chosen)


def counted(manifest: Manifest, rows: list[dict[str, Any]], chosen: RetrieveSettings) -> None:
    """Every number of the summary, counted again."""
    counts = manifest.counts
    assert reconciles(manifest)
    assert counts["candidates"] == len(rows)
    assert counts["kept"] == sum(row["keep"] for row in rows)
    selected = Counter(row["key"] for row in rows if row["selected"])
    assert counts["selected"] == selected.total()
    assert counts["fewer_than_asked"] == counts["pairs"] - sum(n >= chosen.neighbours for n in selected.values())
    reasons = Counter(row["reason"] for row in rows if row["reason"])
    assert {n.removeprefix("refused:"): c for n, c in counts.items() if n.startswith("refused:") and c} == dict(reasons)


# --- bugs of others --------------------------------------------------------------------------------------------------


@pytest.fixture
def crowd(tmp_path: Path) -> tuple[Path, str]:
    """One image with nine captions, nearest to each other, and six other images with one each."""
    rng = np.random.default_rng(0)
    vectors = np.concatenate([rng.normal(size=(1, 8)) + 0.01 * rng.normal(size=(9, 8)), rng.normal(size=(6, 8))])
    images = ["crowd"] * 9 + [f"lone{n}" for n in range(6)]
    return tmp_path / "work", make_work(tmp_path, images, [f"caption {n}" for n in range(15)], vectors)


def test_own_captions_take_no_candidate_away(crowd: tuple[Path, str]) -> None:
    """As many candidates of other images as were asked for, however many captions the own image has."""
    work, name = crowd
    retrieve(RetrieveSettings(encoder=name, candidates=3, neighbours=3), work, LocalEngine(1))
    others = Counter(row["key"] for row in table(work / "neighbours") if row["keep"])
    assert others == dict.fromkeys(pairs_of(work), 3)


def test_more_candidates_than_pairs_gives_each_pair_once(crowd: tuple[Path, str]) -> None:
    work, name = crowd
    manifest = retrieve(RetrieveSettings(encoder=name, candidates=1_000, neighbours=99), work, LocalEngine(1))
    rows = table(work / "neighbours")
    assert manifest.counts["candidates"] == len(rows) == len({(r["key"], r["neighbour_key"]) for r in rows}) == 15 * 15
    assert np.isfinite([row["score"] for row in rows]).all()
    assert manifest.counts["fewer_than_asked"] == 15


def test_no_survivor_is_an_empty_selection_and_counted(crowd: tuple[Path, str]) -> None:
    work, name = crowd
    settings_ = RetrieveSettings(encoder=name, filters={"ceiling": {"score": -1.0}}, candidates=5, sampling="uniform")
    manifest = retrieve(settings_, work, LocalEngine(1))
    assert manifest.counts["kept"] == manifest.counts["selected"] == 0
    assert manifest.counts["fewer_than_asked"] == 15
    assert not any(row["selected"] for row in table(work / "neighbours"))


def test_the_pair_itself_is_never_its_negative_whatever_is_left_out(crowd: tuple[Path, str]) -> None:
    work, name = crowd
    retrieve(override(RetrieveSettings(encoder=name), without=["all"], sampling="uniform"), work, LocalEngine(1))
    pairs = pairs_of(work)
    for row in table(work / "neighbours"):
        if row["selected"]:
            assert pairs[row["key"]]["image_id"] != pairs[row["neighbour_key"]]["image_id"]


def test_refill_is_explicit_filtered_and_counted(crowd: tuple[Path, str]) -> None:
    work, name = crowd
    filters = {"consistency": {"rank": 1.0}, "same_text": {}}
    plain = RetrieveSettings(encoder=name, filters=filters, candidates=2, skip=1, neighbours=4)
    before = retrieve(plain, work, LocalEngine(1))
    assert before.counts["fewer_than_asked"] == 15
    after = retrieve(override(plain, refill=True), work, LocalEngine(1), overwrite=True)
    rows, pairs = table(work / "neighbours"), pairs_of(work)
    counted(after, rows, plain)
    assert after.counts["refilled"] == after.counts["selected"] - before.counts["selected"] > 0
    assert len({(row["key"], row["neighbour_key"]) for row in rows}) == len(rows)
    assert all(pairs[r["key"]]["image_id"] != pairs[r["neighbour_key"]]["image_id"] for r in rows if r["selected"])
    ranks: dict[str, list[int]] = {}
    for row in rows:
        ranks.setdefault(row["key"], []).append(row["rank"])
    assert all(found == list(range(1, len(found) + 1)) for found in ranks.values())


def test_the_lowest_of_several_truths_can_be_what_counts(crowd: tuple[Path, str]) -> None:
    work, name = crowd
    retrieve(RetrieveSettings(encoder=name, positive="lowest", candidates=3), work, LocalEngine(1))
    rows, pairs = table(work / "neighbours"), pairs_of(work)
    scores = {(row["key"], row["neighbour_key"]): row["score"] for row in rows}
    for row in rows:
        truths = [
            s
            for (key, other), s in scores.items()
            if key == row["key"] != other and pairs[key]["image_id"] == pairs[other]["image_id"]
        ]
        if truths:
            assert row["positive_score"] == pytest.approx(min(truths), abs=1e-6)


# --- the same bytes --------------------------------------------------------------------------------------------------


def content(work: Path) -> list[str]:
    folder = work / "neighbours"
    return [hashlib.sha256((folder / file.file).read_bytes()).hexdigest() for file in load_manifest(folder).files]


@pytest.mark.parametrize(("rows", "product"), [(5, "float32"), (7, "float32"), (1_000, "bfloat16"), (5, "bfloat16")])
def test_tiles_and_products_change_nothing(
    rows: int, product: str, crowd: tuple[Path, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    work, name = crowd
    chosen = RetrieveSettings(
        encoder=name, candidates=6, neighbours=2, sampling="softmax", options={"temperature": 0.1}
    )
    retrieve(chosen, work, LocalEngine(1))
    before = content(work)
    monkeypatch.setattr(stage.Budget, "tile_rows", lambda *_, **__: rows)
    monkeypatch.setattr(stage, "choose_product", lambda pairs: product)
    retrieve(chosen, work, LocalEngine(1), overwrite=True)
    assert content(work) == before


def test_workers_and_a_kill_change_nothing(crowd: tuple[Path, str]) -> None:
    """A run that stopped after its first part, then went on with two workers."""
    work, name = crowd
    chosen = RetrieveSettings(encoder=name, candidates=6, neighbours=2, sampling="uniform", refill=True)
    retrieve(chosen, work, LocalEngine(1))
    before = content(work)

    class Stopped(Exception):
        pass

    class Half(LocalEngine):
        def run(self, phase: Any, folder: Path, parts: Any) -> Any:
            for number, record in enumerate(super().run(phase, folder, parts)):
                yield record
                if folder.name == "neighbours" and number == 0:
                    raise Stopped

    with pytest.raises(Stopped):
        retrieve(chosen, work, Half(1), overwrite=True)
    assert not (work / "neighbours" / "manifest.json").exists()
    retrieve(chosen, work, LocalEngine(2))
    assert content(work) == before
