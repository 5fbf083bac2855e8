"""A balanced `parse` as a whole: counts that add up, edits that hold, hidden phases gone, weights that are heard."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from negmine.contract.records import Edit, apply_edits
from negmine.engine.local import LocalEngine
from negmine.stages.negatives.balanced import Balanced
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import Manifest

CAPTIONS = Path(__file__).parents[3] / "data/sample/captions.jsonl"
MUCH = 0.8
"""Thinning at which what it does shows in a few captions."""


def parsed(work: Path, **options: object) -> Manifest:
    engine = LocalEngine(1)
    ingest(IngestSettings(str(CAPTIONS)), work, engine)
    return parse_pairs(ParseSettings(**options), work, engine, overwrite=True)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("balanced")


@pytest.fixture(scope="module")
def manifest(work: Path) -> Manifest:
    (work / "negatives" / ".mine").mkdir(parents=True)
    return parsed(work, thinning=MUCH)


def test_counts_add_up(manifest: Manifest) -> None:
    counts = manifest.counts

    def total(prefix: str) -> int:
        return sum(n for name, n in counts.items() if name.startswith(prefix))

    assert counts["pairs"] == 590 == counts["with_negatives"] + total("none:")
    chosen_from = counts["negatives"] + counts["not_selected"] + counts["implausible"]
    assert counts["accepted"] == total("accepted:") == chosen_from and counts["implausible"] > 0
    assert total("proposed:") == total("accepted:") + total("rejected:")
    assert counts["negatives"] == total("kind:")


def test_captions_that_get_a_kind_admit_it(manifest: Manifest, work: Path) -> None:
    rows = pq.read_table(work / "negatives/part-00000.parquet", columns=["key", "kind"]).to_pylist()
    got = Counter(kind for _, kind in {(row["key"], row["kind"]) for row in rows})
    assert manifest.counts.under("gets") == dict(sorted(got.items(), key=lambda item: (-item[1], item[0])))
    admits = manifest.counts.under("admits")
    assert all(number <= admits[kind] <= manifest.counts["pairs"] for kind, number in got.items())
    assert admits["replace_count"] > got["replace_count"]  # some are thinned away


def test_rows_are_the_chosen_negatives(manifest: Manifest, work: Path) -> None:
    rows = pq.read_table(work / "negatives/part-00000.parquet").to_pylist()
    assert len(rows) == manifest.counts["negatives"]
    for row in rows:
        assert apply_edits(row["caption"], [Edit(**edit) for edit in row["edits"]]) == row["negative"]
    slots: dict[str, list[int]] = {}
    for row in rows:
        slots.setdefault(row["key"], []).append(row["slot"])
    assert all(found == list(range(len(found))) for found in slots.values())


def test_only_the_hidden_phases_are_removed(manifest: Manifest, work: Path) -> None:
    assert [path.name for path in (work / "negatives").glob(".*") if path.is_dir()] == [".mine"]


def test_a_weight_is_heard(manifest: Manifest, tmp_path: Path) -> None:
    """Even where nearly all candidates are thinned away, as those of counts are, which have no way back."""
    weights = (("replace_attribute", 3.0), ("replace_count", 2.0), ("replace_object", -1.0))
    more = parsed(tmp_path, weights=weights, thinning=MUCH).counts
    assert more["kind:replace_attribute"] > 1.2 * manifest.counts["kind:replace_attribute"]
    assert more["kind:replace_count"] > 1.6 * manifest.counts["kind:replace_count"]
    assert more["kind:replace_object"] < 0.92 * manifest.counts["kind:replace_object"]


def test_thinning_decides_how_many_kinds_there_are(manifest: Manifest, tmp_path: Path) -> None:
    """Less of it gives more of what few captions turn back into, and fewer nouns."""
    none = parsed(tmp_path, thinning=0.0).counts
    assert none["kind:replace_count"] > 1.3 * manifest.counts["kind:replace_count"]
    assert none["kind:replace_relation"] > 1.3 * manifest.counts["kind:replace_relation"]
    assert none["kind:replace_object"] < 0.92 * manifest.counts["kind:replace_object"]


def test_workers_and_an_interruption_change_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In parts of sixty pairs; one run stops behind the phase that judges nouns, and goes on."""

    def tables(name: str, workers: int) -> list[bytes]:
        work, engine = tmp_path / name, LocalEngine(workers)
        ingest(IngestSettings(str(CAPTIONS), part_size=60), work, engine)
        parse_pairs(ParseSettings(), work, engine)
        return [path.read_bytes() for path in sorted((work / "negatives").glob("part-*.parquet"))]

    one = tables("one", 1)
    assert len(one) > 5 and tables("two", 2) == one
    with monkeypatch.context() as patched:
        patched.setattr(Balanced, "_found", _stop)
        with pytest.raises(KeyboardInterrupt):
            tables("stopped", 1)
    assert (tmp_path / "stopped/negatives/.plausible").is_dir()
    assert tables("stopped", 1) == one


def _stop(*_: object) -> None:
    raise KeyboardInterrupt


def test_common_words_flow_both_ways(manifest: Manifest, work: Path) -> None:
    """What is put in is about what is taken out: the differences are 19 % of the flow."""
    out, into = Counter[str](), Counter[str]()
    for row in pq.read_table(work / "negatives/part-00000.parquet", columns=["edits"]).to_pylist():
        for edit in row["edits"]:
            old, new = Counter(edit["old"].lower().split()), Counter(edit["new"].lower().split())
            out, into = out + (old - new), into + (new - old)
    common = [word for word in out | into if out[word] + into[word] >= 40]
    assert len(common) > 10
    assert sum(abs(out[word] - into[word]) for word in common) < 0.22 * sum(out[word] + into[word] for word in common)
