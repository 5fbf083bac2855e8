"""Small work folders out of the real sample, made by the real commands' code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from negmine.contract.records import NEGATIVES
from negmine.engine.local import LocalEngine
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import PartRecord, Spec, Store, load_manifest, part_name, write_table

SAMPLE = Path(__file__).parents[2] / "data" / "sample"


@pytest.fixture
def sample() -> Path:
    """The folder of real photos and captions that the repository ships."""
    return SAMPLE


@pytest.fixture
def small_work(tmp_path: Path) -> Path:
    """A work folder with pairs of 40 photos in three parts."""
    lines = (SAMPLE / "captions.jsonl").read_text().splitlines()[:200]
    source = tmp_path / "captions.jsonl"
    source.write_text("\n".join(lines) + "\n")
    work = tmp_path / "work"
    ingest(IngestSettings(str(source), images=str(SAMPLE), part_size=80), work, LocalEngine(1))
    return work


def add_negatives(work: Path, per_caption: int = 2) -> None:
    """A negatives stage with simple but true records, so that shards can be tested without a parser."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    pairs = load_manifest(work / "pairs")
    with Store.open(work / "negatives", Spec("negatives", {"test": True}, {"pairs": pairs.digest})) as store:
        for part in pairs.parts:
            rows = [
                {
                    "key": pair["key"],
                    "image_id": pair["image_id"],
                    "caption": pair["caption"],
                    "negative": f"no {pair['caption']}",
                    "kind": "negate",
                    "rule": "test",
                    "edits": [{"start": 0, "end": 0, "old": "", "new": "no "}],
                    "score": None,
                    "slot": slot,
                }
                for pair in pq.read_table(work / "pairs" / part_name(part.index)).to_pylist()
                for slot in range(per_caption)
            ]
            table = pa.Table.from_pylist(rows, schema=NEGATIVES)
            file = write_table(work / "negatives", part_name(part.index), table)
            store.commit(PartRecord(part.index, (file,), {"negatives": len(rows), "kind:negate": len(rows)}))
        store.finish()


def rows_of(path: Path) -> list[dict[str, object]]:
    """A JSONL file's objects."""
    return [json.loads(line) for line in path.read_text().splitlines()]
