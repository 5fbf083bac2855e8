"""The whole of ``negmine retrieve`` on real captions and photos."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from negmine.engine.local import LocalEngine
from negmine.errors import InputError, UsageError
from negmine.records import NEIGHBOURS
from negmine.retrieval.filters import FILTERS
from negmine.retrieval.stage import RetrieveSettings, retrieve
from negmine.store import Manifest, load_manifest
from PIL import Image

from tests.pipeline.conftest import SAMPLE


def table(folder: Path) -> list[dict[str, Any]]:
    parts = load_manifest(folder).parts
    return [row for part in parts for row in pq.read_table(folder / part.files[0].file).to_pylist()]


def pairs_of(work: Path) -> dict[str, dict[str, Any]]:
    return {row["key"]: row for row in table(work / "pairs")}


def ready(work: Path, folder: Path, dimensions: int = 16) -> tuple[str, Any]:
    """Ready embeddings of all pairs, in an order of their own."""
    keys = sorted(pairs_of(work))
    rng = np.random.default_rng(0)
    images = {image: rng.normal(size=dimensions) for image in {p["image_id"] for p in pairs_of(work).values()}}
    rows = np.stack([images[pairs_of(work)[key]["image_id"]] + 0.8 * rng.normal(size=dimensions) for key in keys])
    np.save(folder / "vectors.npy", rows.astype(np.float32))
    (folder / "vectors.keys").write_text("\n".join(keys) + "\n")
    return f"npy:{folder}/vectors.npy", dict(zip(keys, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))


def reconciles(manifest: Manifest) -> bool:
    counts = manifest.counts
    refused = sum(n for name, n in counts.items() if name.startswith("refused:"))
    return counts["candidates"] == counts["kept"] + refused and counts["kept"] >= counts["selected"]


def test_ready_embeddings_against_brute_force(small_work: Path, tmp_path: Path) -> None:
    name, vectors = ready(small_work, tmp_path)
    settings = RetrieveSettings(encoder=name, candidates=30, neighbours=5)
    manifest = retrieve(settings, small_work, LocalEngine(1))
    assert reconciles(manifest)
    pairs, rows = pairs_of(small_work), table(small_work / "neighbours")
    assert pq.read_schema(small_work / "neighbours" / "part-00000.parquet").equals(NEIGHBOURS)
    by_key: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_key.setdefault(row["key"], []).append(row)
    assert by_key.keys() == pairs.keys()
    for key, found in by_key.items():
        truth = {other: float(vectors[key] @ vectors[other]) for other in pairs}
        best = sorted(truth.values(), reverse=True)[:30]
        assert [row["rank"] for row in found] == list(range(1, 31))
        np.testing.assert_allclose([row["score"] for row in found], best, atol=1e-5)
        siblings = [truth[o] for o in pairs if o != key and pairs[o]["image_id"] == pairs[key]["image_id"]]
        positive = float(np.mean(siblings))
        for row in found:
            assert row["score"] == pytest.approx(truth[row["neighbour_key"]], abs=1e-5)
            assert row["positive_score"] == pytest.approx(positive, abs=1e-5)
            same = pairs[row["neighbour_key"]]["image_id"] == pairs[key]["image_id"]
            if abs(row["score"] - (positive - 0.05 * abs(positive))) > 1e-5:
                expected = "same_image" if same else "too_similar" if row["score"] >= 0.95 * positive else None
                assert row["reason"] == expected
            assert row["keep"] == (row["reason"] is None)
        kept = [row for row in found if row["keep"]]
        assert [row["selected"] for row in kept] == [True] * min(5, len(kept)) + [False] * max(0, len(kept) - 5)


def content(work: Path, stage: str) -> list[str]:
    folder = work / stage
    return [hashlib.sha256((folder / file.file).read_bytes()).hexdigest() for file in load_manifest(folder).files]


def test_minilm_gives_the_same_bytes_with_any_number_of_workers(small_work: Path) -> None:
    settings = RetrieveSettings(candidates=20, neighbours=5)
    manifest = retrieve(settings, small_work, LocalEngine(1))
    one = content(small_work, "neighbours"), content(small_work, "embeddings/minilm-text")
    retrieve(settings, small_work, LocalEngine(2), overwrite=True)
    assert one == (content(small_work, "neighbours"), content(small_work, "embeddings/minilm-text"))
    assert reconciles(manifest)
    pairs = pairs_of(small_work)
    selected = [row for row in table(small_work / "neighbours") if row["selected"]]
    assert selected
    assert all(pairs[row["key"]]["image_id"] != pairs[row["neighbour_key"]]["image_id"] for row in selected)


def test_captions_of_the_same_thing_are_near() -> None:
    from negmine.retrieval.encoders import make_encoder

    encoder = make_encoder("minilm", "text")
    encoder.load()
    texts = ["a man rides a horse", "a person on a horse", "a bowl of tomato soup"]
    rows = encoder.encode(texts, texts)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.3


def test_pictures_find_pictures_once_each(small_work: Path) -> None:
    settings = RetrieveSettings(direction="i2i", candidates=8, neighbours=2)
    manifest = retrieve(settings, small_work, LocalEngine(1))
    assert reconciles(manifest)
    pairs = pairs_of(small_work)
    seen: dict[str, list[str]] = {}
    for row in table(small_work / "neighbours"):
        seen.setdefault(row["key"], []).append(pairs[row["neighbour_key"]]["image_id"])
        assert row["positive_score"] == 1.0
    assert all(len(set(images)) == len(images) == 8 for images in seen.values())


def test_open_clip_weights_from_a_file(small_work: Path, tmp_path: Path) -> None:
    import open_clip
    import torch

    torch.manual_seed(5)
    model = open_clip.create_model("ViT-S-32-alt").eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    name = f"open_clip:ViT-S-32-alt:{tmp_path}/weights.pt"
    retrieve(RetrieveSettings(name, "t2i", candidates=3, neighbours=1), small_work, LocalEngine(1))
    row = table(small_work / "neighbours")[0]
    pairs = pairs_of(small_work)
    prepare = open_clip.image_transform(model.visual.image_size, is_train=False)
    with torch.inference_mode():
        text = model.encode_text(
            open_clip.get_tokenizer("ViT-S-32-alt")([pairs[row["key"]]["caption"]]), normalize=True
        )
        scores = [
            float(
                text[0] @ model.encode_image(prepare(Image.open(SAMPLE / str(pair["image"])))[None], normalize=True)[0]
            )
            for pair in (pairs[row["key"]], pairs[row["neighbour_key"]])
        ]
    assert [row["positive_score"], row["score"]] == pytest.approx(scores, abs=1e-4)


def test_open_clip_weights_that_are_not_there(small_work: Path) -> None:
    with pytest.raises(UsageError, match="could not be loaded"):
        retrieve(RetrieveSettings("open_clip:RN50:/none.pt", "t2i"), small_work, LocalEngine(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RetrieveSettings(encoder="minilmm"), "no encoder is called"),
        (RetrieveSettings(direction="x2t"), "no direction"),
        (RetrieveSettings(direction="t2i"), "captions and pictures"),
        (RetrieveSettings(encoder="lite0"), "does not read texts"),
        (RetrieveSettings(encoder="open_clip:NoSuchModel"), "knows no model"),
        (RetrieveSettings(encoder="npy:/none.npy"), "no such file"),
    ],
)
def test_wrong_use(small_work: Path, settings: RetrieveSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        retrieve(settings, small_work, LocalEngine(1))


@pytest.mark.parametrize("damage", ["short", "nan", "zero", "missing", "repeated", "pickle", "flat"])
def test_bad_embeddings(small_work: Path, tmp_path: Path, damage: str) -> None:
    name, _ = ready(small_work, tmp_path)
    rows, keys = np.load(tmp_path / "vectors.npy"), (tmp_path / "vectors.keys").read_text().splitlines()
    message = {"short": "differ in length", "nan": "zero or not finite", "zero": "zero or not finite",
               "missing": "have no embedding", "repeated": "several embeddings", "pickle": "not a NumPy array",
               "flat": "must be a float array"}[damage]  # fmt: skip
    if damage == "short":
        rows = rows[:-1]
    elif damage in ("nan", "zero"):
        rows[3] = np.nan if damage == "nan" else 0
    elif damage == "missing":
        keys[3] = "somebody-else"
    elif damage == "repeated":
        keys[3] = keys[4]
    elif damage == "pickle":
        rows = np.array([{"a": 1}] * len(rows), dtype=object)
    else:
        rows = rows.ravel()
    np.save(tmp_path / "vectors.npy", rows, allow_pickle=True)
    (tmp_path / "vectors.keys").write_text("\n".join(keys) + "\n")
    with pytest.raises(InputError, match=message):
        retrieve(RetrieveSettings(encoder=name), small_work, LocalEngine(1))


def test_more_candidates_than_pairs(small_work: Path, tmp_path: Path) -> None:
    name, _ = ready(small_work, tmp_path)
    manifest = retrieve(RetrieveSettings(encoder=name, candidates=1000, neighbours=3), small_work, LocalEngine(1))
    pairs = manifest.counts["pairs"]
    assert manifest.counts["candidates"] == pairs * pairs
    assert reconciles(manifest)
    assert Counter(row["reason"] for row in table(small_work / "neighbours")).keys() <= {None, *FILTERS}
