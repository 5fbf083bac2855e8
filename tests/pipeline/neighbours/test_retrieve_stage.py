"""The whole of ``negmine retrieve`` on real captions and photos."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.recipe import load_recipe, override, recipe_names
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.store import load_manifest
from PIL import Image

from tests.pipeline.conftest import SAMPLE
from tests.pipeline.neighbours.conftest import pairs_of, reconciles, table


def ready(work: Path, folder: Path, dimensions: int = 16) -> tuple[str, Any]:
    """Ready embeddings of all pairs, in an order of their own."""
    keys = sorted(pairs_of(work))
    rng = np.random.default_rng(0)
    images = {image: rng.normal(size=dimensions) for image in {p["image_id"] for p in pairs_of(work).values()}}
    rows = np.stack([images[pairs_of(work)[key]["image_id"]] + 0.8 * rng.normal(size=dimensions) for key in keys])
    np.save(folder / "vectors.npy", rows.astype(np.float32))
    (folder / "vectors.keys").write_text("\n".join(keys) + "\n")
    return f"npy:{folder}/vectors.npy", dict(zip(keys, rows / np.linalg.norm(rows, axis=1, keepdims=True), strict=True))


def content(work: Path, stage: str) -> list[str]:
    folder = work / stage
    return [hashlib.sha256((folder / file.file).read_bytes()).hexdigest() for file in load_manifest(folder).files]


def test_minilm_gives_the_same_bytes_with_any_number_of_workers(small_work: Path) -> None:
    settings = override(load_recipe("default").settings, candidates=20, neighbours=5)
    manifest = retrieve(settings, small_work, LocalEngine(1))
    one = content(small_work, "neighbours"), content(small_work, "embeddings/minilm-text")
    shutil.rmtree(small_work / "embeddings")
    retrieve(settings, small_work, LocalEngine(2), overwrite=True)
    assert one == (content(small_work, "neighbours"), content(small_work, "embeddings/minilm-text"))
    assert reconciles(manifest)
    pairs = pairs_of(small_work)
    selected = [row for row in table(small_work / "neighbours") if row["selected"]]
    assert selected
    assert all(pairs[row["key"]]["image_id"] != pairs[row["neighbour_key"]]["image_id"] for row in selected)


def test_captions_of_the_same_thing_are_near() -> None:
    from negmine.encoders import make_encoder

    encoder = make_encoder("minilm", "text")
    encoder.load()
    texts = ["a man rides a horse", "a person on a horse", "a bowl of tomato soup"]
    rows = encoder.encode(texts, texts)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-5)
    assert rows[0] @ rows[1] > rows[0] @ rows[2] + 0.3


def test_images_find_images_once_each(small_work: Path) -> None:
    settings = RetrieveSettings(("i2i",), candidates=8, neighbours=2)
    manifest = retrieve(settings, small_work, LocalEngine(1))
    assert reconciles(manifest)
    pairs = pairs_of(small_work)
    seen: dict[str, list[str]] = {}
    for row in table(small_work / "neighbours"):
        seen.setdefault(row["key"], []).append(pairs[row["neighbour_key"]]["image_id"])
        assert row["positive_score"] == 1.0
    assert all(len(set(images)) == len(images) == 9 for images in seen.values())


def test_open_clip_weights_from_a_file(small_work: Path, tmp_path: Path) -> None:
    import open_clip
    import torch

    torch.manual_seed(5)
    model = open_clip.create_model("ViT-S-32-alt").eval()
    torch.save(model.state_dict(), tmp_path / "weights.pt")
    name = f"open_clip:ViT-S-32-alt:{tmp_path}/weights.pt"
    retrieve(RetrieveSettings(("t2i",), encoder=name, candidates=3, neighbours=1), small_work, LocalEngine(1))
    row = next(row for row in table(small_work / "neighbours") if row["keep"])
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
        retrieve(RetrieveSettings(("t2i",), encoder="open_clip:RN50:/none.pt"), small_work, LocalEngine(1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (RetrieveSettings(encoder="minilmm"), "unknown encoder"),
        (RetrieveSettings(("x2t",)), "unknown direction"),
        (RetrieveSettings(("t2i",)), "captions and images"),
        (RetrieveSettings(("nothing*t2t",)), "is no weight"),
        (RetrieveSettings(("t2t:bm25", "t2t")), "cannot be summed"),
        (RetrieveSettings(("i2t:bm25",)), "does not score i2t"),
        (RetrieveSettings(("t2i:cross:f.py:score",)), "cannot search"),
        (RetrieveSettings(rerank="t2t:cross:/none.py:score"), "no such file"),
        (RetrieveSettings(encoder="lite0"), "does not read texts"),
        (RetrieveSettings(encoder="open_clip:NoSuchModel"), "knows no model"),
        (RetrieveSettings(encoder="npy:/none.npy"), "no such file"),
    ],
)
def test_wrong_use(small_work: Path, settings: RetrieveSettings, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        retrieve(settings, small_work, LocalEngine(1))


@pytest.mark.parametrize("damage", ["short", "nan", "zero", "missing", "repeated", "pickle", "flat", "cut"])
def test_bad_embeddings(small_work: Path, tmp_path: Path, damage: str) -> None:
    name, _ = ready(small_work, tmp_path)
    rows, keys = np.load(tmp_path / "vectors.npy"), (tmp_path / "vectors.keys").read_text().splitlines()
    message = {
        "short": "differ in length",
        "nan": "zero or not finite",
        "zero": "zero or not finite",
        "missing": "have no embedding",
        "repeated": "several embeddings",
        "pickle": "not a NumPy array",
        "flat": "must be a float array",
        "cut": "not a NumPy array",
    }[damage]
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
    elif damage == "flat":
        rows = rows.ravel()
    np.save(tmp_path / "vectors.npy", rows, allow_pickle=True)
    if damage == "cut":
        (tmp_path / "vectors.npy").write_bytes((tmp_path / "vectors.npy").read_bytes()[:-100])
    (tmp_path / "vectors.keys").write_text("\n".join(keys) + "\n")
    with pytest.raises(InputError, match=message):
        retrieve(RetrieveSettings(encoder=name), small_work, LocalEngine(1))


# --- sources ---------------------------------------------------------------------------------------------------------


def by_query(rows: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    found: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        found.setdefault(row["key"], []).append(row)
    return found


def test_a_sum_of_sources_is_the_weighted_sum_of_their_scores(small_work: Path, tmp_path: Path) -> None:
    name, vectors = ready(small_work, tmp_path)
    (tmp_path / "other").mkdir()
    second, others = ready(small_work, tmp_path / "other", dimensions=5)
    retrieve(RetrieveSettings((f"0.7*t2t:{name}", f"2*t2t:{second}"), candidates=9), small_work, LocalEngine(1))
    pairs = pairs_of(small_work)
    for key, found in list(by_query(table(small_work / "neighbours")).items())[:20]:
        truth = {o: 0.7 * (vectors[key] @ vectors[o]) + 2 * (others[key] @ others[o]) for o in vectors}
        best = sorted(truth.values(), reverse=True)[: len(found)]
        np.testing.assert_allclose([row["score"] for row in found], best, atol=1e-5)
        siblings = [o for o in pairs if pairs[o]["image_id"] == pairs[key]["image_id"] and o != key]
        assert found[0]["positive_score"] == pytest.approx(np.mean([truth[o] for o in siblings]), abs=1e-5)


@pytest.mark.parametrize("scores", [("t2t", "i2i"), ("i2i", "t2t")])
def test_captions_and_images_together_search_every_pair(
    scores: tuple[str, ...], small_work: Path, tmp_path: Path
) -> None:
    name, vectors = ready(small_work, tmp_path)
    retrieve(RetrieveSettings(tuple(f"{s}:{name}" for s in scores), candidates=30), small_work, LocalEngine(1))
    row = next(row for row in table(small_work / "neighbours") if row["keep"])
    assert row["score"] == pytest.approx(2 * vectors[row["key"]] @ vectors[row["neighbour_key"]], abs=1e-5)
    found = {row["neighbour_key"] for row in table(small_work / "neighbours")}
    assert len(found) > 150  # not the first captions of 40 images only


def test_bm25_ranks_by_rare_words(tmp_path: Path) -> None:
    from tests.pipeline.neighbours.conftest import make_work

    captions = ["a red zebra", "a red car", "the zebra sleeps", "a car and a car", "nothing alike here"]
    make_work(tmp_path, list("abcde"), captions, np.ones((5, 2)))
    manifest = retrieve(RetrieveSettings(("t2t:bm25",), candidates=10), tmp_path / "work", LocalEngine(1))
    assert reconciles(manifest)
    found = by_query(table(tmp_path / "work" / "neighbours"))
    assert [row["neighbour_key"] for row in found["k0"]] == ["k0", "k1", "k2", "k3"]  # k4 has no word in common
    from math import log

    length, average = 3, 17 / 5  # Lucene's BM25, k1 = 1.5, b = 0.75, of "zebra", in 2 of 5 captions, once in k2
    weight = log(1 + (5 - 2 + 0.5) / (2 + 0.5)) * 1 / (1 + 1.5 * (1 - 0.75 + 0.75 * length / average))
    assert found["k0"][2]["score"] == pytest.approx(weight, abs=1e-5)


def test_bm25_orders_what_an_encoder_found_by_the_scores_it_searches_with(tmp_path: Path) -> None:
    from tests.pipeline.neighbours.conftest import make_work

    captions = ["a red zebra", "a red car", "the zebra sleeps", "a car and a car", "nothing alike here"]
    name = make_work(tmp_path, list("abcde"), captions, np.ones((5, 2)))
    work = tmp_path / "work"
    retrieve(RetrieveSettings(("t2t:bm25",), candidates=10), work, LocalEngine(1))
    searched = {(row["key"], row["neighbour_key"]): row["score"] for row in table(work / "neighbours")}
    chosen = RetrieveSettings((f"t2t:{name}",), rerank="t2t:bm25", candidates=10)
    retrieve(chosen, work, LocalEngine(1), overwrite=True)
    ordered = {(row["key"], row["neighbour_key"]): row["score"] for row in table(work / "neighbours")}
    assert len(ordered) == 25 > len(searched)
    assert ordered == {pair: searched.get(pair, 0.0) for pair in ordered}


SCORER = """
def score(queries, candidates):
    return [-abs(len(q.caption) - len(c.caption)) for q, c in zip(queries, candidates)]

def broken(queries, candidates):
    return [float("nan")] * len(queries)
"""


def test_a_cross_scorer_orders_the_candidates_anew(small_work: Path, tmp_path: Path) -> None:
    name, _ = ready(small_work, tmp_path)
    (tmp_path / "lengths.py").write_text(SCORER)
    chosen = RetrieveSettings(encoder=name, candidates=12, filters={"percentage": {"share": 0.5}})
    retrieve(override(chosen), small_work, LocalEngine(1))
    before = by_query(table(small_work / "neighbours"))
    reranked = override(chosen, rerank=f"t2t:cross:{tmp_path}/lengths.py:score")
    assert reconciles(retrieve(reranked, small_work, LocalEngine(1), overwrite=True))
    pairs = pairs_of(small_work)
    size = {key: len(pair["caption"]) for key, pair in pairs.items()}
    for key, found in by_query(table(small_work / "neighbours")).items():
        assert {row["neighbour_key"] for row in found} == {row["neighbour_key"] for row in before[key]}
        assert [row["score"] for row in found] == sorted((row["score"] for row in found), reverse=True)
        assert all(row["score"] == -abs(size[key] - size[row["neighbour_key"]]) for row in found)
        siblings = [o for o in pairs if pairs[o]["image_id"] == pairs[key]["image_id"] and o != key]
        positive = np.mean([-abs(size[key] - size[o]) for o in siblings])
        assert found[0]["positive_score"] == pytest.approx(positive, abs=1e-5)
    with pytest.raises(InputError, match="finite number"):
        broken = override(chosen, rerank=f"t2t:cross:{tmp_path}/lengths.py:broken")
        retrieve(broken, small_work, LocalEngine(1), overwrite=True)


# --- recipes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_mines(name: str, small_work: Path, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    if any(score.startswith("t2t") and ":" not in score for score in recipe.settings.scores):
        recipe_settings = override(recipe.settings, encoder=ready(small_work, tmp_path)[0])
    else:
        recipe_settings = override(
            recipe.settings,
            rerank=recipe.settings.rerank and f"t2t:{ready(small_work, tmp_path)[0]}",
            scores=tuple(
                f"{score}:{ready(small_work, tmp_path)[0]}" if score == "i2i" else score
                for score in recipe.settings.scores
            ),
        )
    manifest = retrieve(recipe_settings, small_work, LocalEngine(1))
    assert reconciles(manifest)
    rows, pairs = table(small_work / "neighbours"), pairs_of(small_work)
    others = {
        key: sum(r["reason"] not in ("itself", "same_image") for r in found) for key, found in by_query(rows).items()
    }
    most = recipe_settings.candidates
    assert max(others.values()) <= most
    assert all(sum(r["selected"] for r in found) <= recipe_settings.neighbours for found in by_query(rows).values())
    assert all(pairs[r["key"]]["image_id"] != pairs[r["neighbour_key"]]["image_id"] for r in rows if r["selected"])


def test_options_replace_what_a_recipe_sets(tmp_path: Path) -> None:
    chosen = override(
        load_recipe("nv_retriever").settings,
        filters=["percentage=0.9", "near_text"],
        without=["same_words"],
        sampling="softmax:temperature=0.1",
        neighbours=9,
    )
    assert chosen.filters == {"same_text": {}, "percentage": {"share": 0.9}, "near_text": {"overlap": 0.8}}
    assert (chosen.sampling, chosen.options, chosen.neighbours) == ("softmax", {"temperature": 0.1}, 9)
    assert chosen.positive == "lowest"
    assert load_recipe("cornstack", progress=0.0).settings.options == {"temperature": 0.2}
    (tmp_path / "mine.yaml").write_text("candidates: 7\nsampling: {simans: {b: 0.1}}\n")
    mine = load_recipe(str(tmp_path / "mine.yaml")).settings
    assert (mine.candidates, mine.options) == (7, {"a": 100.0, "b": 0.1})
    for text, message in (
        ("typo: 3", "unknown field .* 'typo'"),
        ("- a", "is a table"),
        ("skip: 100", "are skipped"),
        ("a: [", "no YAML"),
        ("positive: best", "unknown --positive"),
        ("filters: {best: }", "unknown filter"),
    ):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(UsageError, match=message):
            load_recipe(str(tmp_path / "bad.yaml"))
    with pytest.raises(UsageError, match="nv_retriever"):
        load_recipe("nv_retreiver")
    with pytest.raises(UsageError, match="unknown filter 'percent'"):
        override(mine, without=["percent"])


# --- what is kept, what is refused -----------------------------------------------------------------------------------


def test_other_settings_are_refused_before_anything_is_embedded(small_work: Path, tmp_path: Path) -> None:
    name, _ = ready(small_work, tmp_path)
    retrieve(RetrieveSettings(encoder=name), small_work, LocalEngine(1))
    with pytest.raises(DamagedError, match=r"settings\.neighbours: 10 -> 3"):
        retrieve(RetrieveSettings(("i2i",), neighbours=3), small_work, LocalEngine(1))
    assert [folder.name.endswith("-text") for folder in (small_work / "embeddings").iterdir()] == [True]


def test_overwrite_mines_anew_and_keeps_embeddings_that_still_hold(small_work: Path, tmp_path: Path) -> None:
    name, _ = ready(small_work, tmp_path)
    retrieve(RetrieveSettings(encoder=name), small_work, LocalEngine(1))
    embedding = next((small_work / "embeddings").glob("*/part-00000.npy"))
    before = embedding.stat().st_mtime_ns
    retrieve(RetrieveSettings(encoder=name, neighbours=3), small_work, LocalEngine(1), overwrite=True)
    assert embedding.stat().st_mtime_ns == before
    rows = np.load(tmp_path / "vectors.npy")
    np.save(tmp_path / "vectors.npy", rows[:, ::-1])
    with pytest.raises(DamagedError, match="weights"):
        retrieve(RetrieveSettings(encoder=name, neighbours=3), small_work, LocalEngine(1))
    retrieve(RetrieveSettings(encoder=name, neighbours=3), small_work, LocalEngine(1), overwrite=True)
    assert embedding.stat().st_mtime_ns > before
