"""Tiny corpora as work folders, and candidates without any folder."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.filters import Candidates
from negmine.stages.neighbours.pair_features import PAIR_FEATURE
from negmine.stages.neighbours.word_sets import Sets as WordSets
from negmine.stages.neighbours.word_sets import Texts, plain_sets, to_columns
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import Manifest, load_manifest


def unit(rng: np.random.Generator, n: int, d: int) -> Any:
    rows = rng.normal(size=(n, d)).astype(np.float32)
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


def table(folder: Path) -> list[dict[str, Any]]:
    parts = load_manifest(folder).parts
    return [row for part in parts for row in pq.read_table(folder / part.files[0].file).to_pylist()]


def pairs_of(work: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in table(work / "pairs")}


def make_work(folder: Path, images: Sequence[str], captions: Sequence[str], vectors: Any, part_size: int = 4) -> str:
    """A work folder ``folder/work`` with text-only pairs k0, k1, ...; returns what ``encoder`` calls the vectors."""
    keys = [f"k{number}" for number in range(len(images))]
    rows = [{"key": k, "image": i, "caption": c} for k, i, c in zip(keys, images, captions, strict=True)]
    (folder / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    ingest(
        IngestSettings(str(folder / "pairs.jsonl"), part_size=part_size, max_bad=0.9), folder / "work", LocalEngine(1)
    )
    np.save(folder / "vectors.npy", np.asarray(vectors, dtype=np.float32))
    (folder / "vectors.keys").write_text("".join(f"{key}\n" for key in keys))
    return f"npy:{folder}/vectors.npy"


def reconciles(manifest: Manifest) -> bool:
    counts = manifest.counts
    refused = sum(n for name, n in counts.items() if name.startswith("refused:"))
    return counts["candidates"] == counts["kept"] + refused and counts["kept"] >= counts["selected"]


def candidates(
    score: Sequence[Sequence[float]],
    positive: Sequence[float],
    *,
    theirs: Mapping[str, Any] | None = None,
    own: Mapping[str, Any] | None = None,
    captions: tuple[Sequence[str], Sequence[str]] | None = None,
    to_truth: Any = None,
    alike: Any = None,
) -> Candidates:
    """Candidates [Q, C] that share nothing with their queries, but for what is given."""
    scores = np.array(score, dtype=np.float32)
    queries, width = scores.shape
    mine, others = np.zeros(queries, dtype=PAIR_FEATURE), np.zeros(scores.shape, dtype=PAIR_FEATURE)
    for name in ("key", "image", "text", "words"):
        mine[name] = np.arange(queries)
        others[name] = np.arange(queries * width).reshape(scores.shape) + 1000
    for features, given in ((mine, own), (others, theirs)):
        for name, value in (given or {}).items():
            features[name] = value
    texts = captions or (["a"] * queries, ["b"] * scores.size)
    sets = [WordSets.of(to_columns(plain_sets(some))["words"]) for some in texts]
    words = Texts(lambda name: sets[0], lambda name: sets[1], (queries, width))
    found = np.isfinite(scores)
    return Candidates(
        scores,
        np.array(positive, dtype=np.float32),
        found,
        mine,
        others,
        words,
        lambda: to_truth,
        lambda row, at: alike,
    )
