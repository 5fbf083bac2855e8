"""Somebody's own tars and tables, as they are: looked at once, read by workers, nothing written beside them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from ahnpl.cli import train_app
from ahnpl.data import rows
from ahnpl.data.decode import Decoder
from ahnpl.data.images import training_pixels
from ahnpl.data.rows import Reading
from ahnpl.data.shards import ShardSet, open_shards
from ahnpl.data.stream import Stream
from ahnpl.model.clip import load_tokenizer
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import TrainResult, train
from ahnpl.training.plan import make_plan
from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.base.hashing import generator
from negmine.contract.shard_format import INDEX_NAME
from negmine.sources import Columns
from typer.testing import CliRunner

from tests.trainer.conftest import make_sample
from tests.trainer.test_sidecar import losses, write_tar

EACH = 12


def members(number: int, text: bool = True) -> Iterable[tuple[str, bytes]]:
    """As img2dataset writes a sample."""
    key, sample = f"{number // EACH:05d}{number % EACH:04d}", make_sample(number)
    yield f"{key}.{sample.extension}", sample.image
    if text:
        yield f"{key}.txt", sample.caption.encode()
    yield f"{key}.json", json.dumps({"key": key, "url": "https://x", "status": "success"}).encode()


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    folder = tmp_path / "theirs"
    folder.mkdir()
    for tar in range(2):
        write_tar(folder / f"{tar:05d}.tar", (one for n in range(tar * EACH, (tar + 1) * EACH) for one in members(n)))
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """As open_clip takes it: tabs, `filepath` and `title`."""
    (tmp_path / "images").mkdir()
    lines = ["filepath\ttitle"]
    for number in range(24):
        sample = make_sample(number)
        (tmp_path / "images" / f"{number}.jpg").write_bytes(sample.image)
        lines.append(f"images/{number}.jpg\t{sample.caption}")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def batches(found: ShardSet, workers: int = 0, skip: int = 0) -> list[tuple[list[str], bytes, bytes]]:
    decoder = Decoder(partial(load_tokenizer, "tiny"), 32, 0, 0, seed=5)
    stream = Stream(found, decoder, batch_size=4, seed=5, workers=workers, window=9, max_bad=0.5)
    made = [(b.keys, b.images.numpy().tobytes(), b.texts.numpy().tobytes()) for b in stream.batches(0, skip)]
    stream.close()
    return made


def run(micro: str, out: Path, *shards: str, **options: Any) -> TrainResult:
    given = {"recipe": "clip", "steps": 4, "batch_size": 8, "lr": 1e-3, "workers": 0, "log_every": 1, **options}
    return train(make_plan(TrainConfig(shards=shards, model=micro, out=str(out), **given)))


def sums(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_tars_of_img2dataset(theirs: Path, tmp_path: Path, micro: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = sums(theirs)
    result = run(micro, tmp_path / "run", f"{theirs}/*.tar", eval_shards=(f"{theirs}/00001.tar",), epochs=1)
    assert len(losses(tmp_path / "run")) == 4 and not result.bad and result.report is not None
    assert sums(theirs) == before
    with monkeypatch.context() as patch:  # the index is there
        patch.setattr(rows, "_write", lambda *_: pytest.fail("looked again"))
        found = open_shards([f"{theirs}/*.tar"], reading=Reading(tmp_path / "run" / "rows"))
    assert [shard.samples for shard in found.shards] == [EACH, EACH]
    whole = batches(found)
    assert batches(found, workers=1) == whole and batches(found, skip=2) == whole[2:]
    samples = {key: number for number in range(2 * EACH) for key in [f"{number // EACH:05d}{number % EACH:04d}"]}
    assert sorted(key for keys, _, _ in whole for key in keys) == sorted(samples)
    for keys, images, texts in whole:
        own = [make_sample(samples[key]) for key in keys]
        pixels = [training_pixels(s.image, 32, generator(5, "crop", 0, k)) for k, s in zip(keys, own, strict=True)]
        assert images == b"".join(one.numpy().tobytes() for one in pixels)
        assert texts == load_tokenizer("tiny")([sample.caption for sample in own]).numpy().tobytes()


def test_a_table_as_open_clip_takes_it(table: Path, micro: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(table.parent)
    run(micro, table.parent / "a", str(table))
    run(micro, table.parent / "b", str(table), images=str(table.parent), workers=1)
    renamed = table.with_name("other.csv")
    renamed.write_text(table.read_text().replace("filepath\ttitle", "where,said").replace("jpg\t", "jpg,"))
    options = {"image_column": "where", "caption_column": "said", "delimiter": ","}
    run(micro, table.parent / "c", str(renamed), **options)
    assert losses(table.parent / "a") == losses(table.parent / "b") and len(losses(table.parent / "a")) == 4
    assert open_shards([str(table)], reading=Reading(table.parent / "d")).samples == 24


def test_what_cannot_be_used_is_counted(theirs: Path, tmp_path: Path, table: Path, micro: str) -> None:
    spoiled = dict(one for number in range(EACH) for one in members(number, text=number != 3))
    spoiled["000000005.jpg"] = b"no picture"
    write_tar(theirs / "00000.tar", [*spoiled.items(), *members(1)])
    with pytest.raises(InputError, match=r"2 of 13 rows(.|\n)*00000\.tar(.|\n)*members_not_adjacent 1, no_caption 1"):
        run(micro, tmp_path / "strict", f"{theirs}/*.tar")
    result = run(micro, tmp_path / "run", f"{theirs}/*.tar", max_bad=0.2, steps=1, batch_size=2 * EACH - 1)
    assert result.bad == {"image that cannot be decoded": 1}
    found = open_shards([f"{theirs}/*.tar"], reading=Reading(tmp_path / "run" / "rows", max_bad=0.2))
    assert found.refused == {"members_not_adjacent": 1, "no_caption": 1} and found.samples == 2 * EACH - 1

    text = table.read_text().splitlines()
    table.write_text("\n".join([*text, text[1], "images/2.jpg\t", "images/none.jpg\ta dog", "../up.jpg\ta cat"]))
    read = Reading(tmp_path / "rows", images=str(table.parent), max_bad=0.2)
    found = open_shards([str(table)], reading=read)
    assert found.refused == {"duplicate_pair": 1, "empty_caption": 1} and found.samples == 26
    decoder = Decoder(partial(load_tokenizer, "tiny"), 32, 0, 0, seed=5)
    (batch,) = Stream(found, decoder, batch_size=26, seed=5, max_bad=0.2).batches(0)
    assert sorted(bad.kind for bad in batch.bad) == ["missing_image", "path_outside"]
    heads = table.with_name("heads.csv")
    heads.write_text(text[0] + "\n")
    with pytest.raises(InputError, match=r"there are no rows(.|\n)*heads\.csv"):
        open_shards([str(heads)], reading=Reading(tmp_path / "none"))
    (tmp_path / "rows").rename(tmp_path / "moved")
    moved = open_shards([str(table)], reading=replace(read, folder=tmp_path / "moved"))
    assert moved.fingerprint == found.fingerprint and moved.shards[0].rows is not None
    assert moved.shards[0].rows.read(0)[1] is None


def test_recipes_that_need_negatives_say_what_to_do(theirs: Path, tmp_path: Path, micro: str) -> None:
    with pytest.raises(UsageError, match=r"recipe ahnpl needs text negatives(.|\n)*negmine shard --sidecar"):
        run(micro, tmp_path / "run", f"{theirs}/*.tar", recipe="ahnpl")


def test_our_own_tars_without_their_index_are_still_refused(shards: Path, tmp_path: Path, micro: str) -> None:
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "a.tar").write_bytes((shards / "00000.tar").read_bytes())
    with pytest.raises(DamagedError, match=INDEX_NAME):
        run(micro, tmp_path / "run", f"{copy}/*.tar")


def test_another_file_has_another_index(table: Path, tmp_path: Path) -> None:
    reading = Reading(tmp_path / "rows", images=str(table.parent))
    before = open_shards([str(table)], reading=reading)
    table.write_text(table.read_text().replace("images/0.jpg", "images/1.jpg"))
    after = open_shards([str(table)], reading=reading)
    assert before.fingerprint != after.fingerprint and len([*(tmp_path / "rows").glob("*.arrow")]) == 2
    for record in (tmp_path / "rows").glob("*.json"):
        record.write_text("{}")
    with pytest.raises(DamagedError, match=r"index of rows(.|\n)*delete"):
        open_shards([str(table)], reading=reading)


def test_from_another_folder_images_are_those_of_that_folder(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    wrong = {}
    for folder in ("elsewhere", "."):
        monkeypatch.chdir(tmp_path / folder)
        shard = open_shards([str(table)], reading=Reading(tmp_path / "rows")).shards[0]
        assert shard.rows is not None
        wrong[folder] = shard.rows.read(0)[1] is not None
        monkeypatch.chdir(tmp_path)
    assert wrong == {"elsewhere": True, ".": False}


def test_other_captions_of_the_same_table_are_another_set(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    table.write_text("\n".join([f"{lines[0]}\tother", *(f"{line} again\t{line[-9:]}" for line in lines[1:])]))
    read = [
        Reading(tmp_path / "rows", Columns(name, delimiter="\t"), str(tmp_path)) for name in (None, "title", "other")
    ]
    found = [open_shards([str(table)], reading=one).fingerprint for one in read]
    assert found[0] == found[1] != found[2]


def test_a_dry_run_writes_nothing(theirs: Path, tmp_path: Path, micro: str) -> None:
    out = tmp_path / "run"
    arguments = ["--shards", f"{theirs}/*.tar", "--model", micro, "--recipe", "clip", "--batch-size", "8"]
    said = CliRunner().invoke(train_app, [*arguments, "--out", str(out), "--dry-run", "--json"])
    assert said.exit_code == 0, said.output
    assert json.loads(said.stdout)["figures"]["samples"] == 2 * EACH and not out.exists()
