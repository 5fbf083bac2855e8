"""Approximate search says how much it misses, whatever it misses; what it finds is scored and ordered as ever."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from negmine.base.errors import UsageError
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours import approximate
from negmine.stages.neighbours.recipe import override
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.neighbours.summary import mined
from negmine.store import load_manifest

from tests.pipeline.neighbours.conftest import make_work, reconciles, table, unit


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, RetrieveSettings]:
    rng = np.random.default_rng(0)
    vectors = np.repeat(unit(rng, 300, 16), 2, axis=0) + 0.2 * unit(rng, 600, 16)
    name = make_work(tmp_path, [f"i{n // 2}" for n in range(600)], [f"text {n}" for n in range(600)], vectors, 100)
    return tmp_path / "work", RetrieveSettings(encoder=name, candidates=10, neighbours=3)


@pytest.mark.parametrize("index", ["Flat", "hnsw", "ivf", "IVF8,Flat:nprobe=1", "IVF8,SQ8:nprobe=8"])
def test_recall_is_what_the_table_misses(
    index: str, corpus: tuple[Path, RetrieveSettings], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(approximate, "PARTS", 4)  # two indexes
    work, chosen = corpus
    retrieve(chosen, work, LocalEngine(1))
    exact = {(row["key"], row["neighbour_key"]): row["score"] for row in table(work / "neighbours")}
    chosen = override(chosen, index=index)
    manifest = retrieve(chosen, work, LocalEngine(1), overwrite=True)
    rows = table(work / "neighbours")
    assert reconciles(manifest)
    for row in rows:
        assert row["score"] == exact.get((row["key"], row["neighbour_key"]), row["score"])
    found = sum((row["key"], row["neighbour_key"]) in exact for row in rows) / len(exact)
    counts = manifest.counts
    recall = counts["recall_found"] / counts["recall_exact"]
    assert recall == pytest.approx(found, abs=0.03)  # measured with the candidates that are cut off afterwards
    assert (recall == 1.0) if index == "Flat" else (recall > (0.3 if "nprobe=1" in index else 0.9))
    assert f"recall@10 of --index {index}" in mined(manifest, chosen, work)
    assert sorted(path.name for path in (work / "neighbours").iterdir() if path.is_dir()) == []


def test_indexes_are_the_same_each_time(corpus: tuple[Path, RetrieveSettings]) -> None:
    work, chosen = corpus
    chosen = override(chosen, index="hnsw")
    made = []
    for workers in (1, 2):
        retrieve(chosen, work, LocalEngine(workers), overwrite=True)
        files = load_manifest(work / "neighbours").files
        made.append([hashlib.sha256((work / "neighbours" / file.file).read_bytes()).hexdigest() for file in files])
    assert made[0] == made[1]


@pytest.mark.parametrize(
    ("index", "message"),
    [("theirs.faiss", "index files of others"), ("IVFlat", "FAISS knows no index"), ("cagra", "CAGRA needs a GPU")],
)
def test_what_cannot_be_built_is_refused(index: str, message: str, corpus: tuple[Path, RetrieveSettings]) -> None:
    work, chosen = corpus
    with pytest.raises(UsageError, match=message):
        retrieve(override(chosen, index=index), work, LocalEngine(1))
    assert not (work / "embeddings").exists()
