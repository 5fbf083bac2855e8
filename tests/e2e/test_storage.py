"""Where results are kept: damage, other settings, two runs, full disks, and folders that may not be written."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from negmine.base.seal import seal
from negmine.store import locked

from tests.e2e.harness import (
    CAPTIONS,
    NEGMINE,
    SAMPLE,
    copy,
    hashes,
    leftovers,
    negmine,
    refused,
    start,
    succeed,
    times,
)


def _shard(work: Path, out: Path, *more: object) -> list[object]:
    return ["shard", "--work", work, "--out", out, "--shard-size", 200, "--workers", 1, *more]


# --- damage ----------------------------------------------------------------------------------------------------------


def _members_end(tar: Path) -> int:
    """Where a sample in the middle of a tar begins."""
    with tarfile.open(tar) as members:
        return next(m.offset for m in list(members)[300:] if m.name.endswith("jpg"))


def _flip(path: Path, at: int | None = None, bit: int = 1) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2 if at is None else at] ^= bit
    path.write_bytes(content)


DAMAGE: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "cut inside a member": (
        "shards",
        lambda f: os.truncate(f / "shard-00001.tar", 100_001),
        "shard-00001.tar has 100,001",
    ),
    "cut between members": (
        "shards",
        lambda f: os.truncate(f / "shard-00001.tar", _members_end(f / "shard-00001.tar")),
        "shard-00001.tar has",
    ),
    "flipped bit in a shard": ("shards", lambda f: _flip(f / "shard-00000.tar"), "shard-00000.tar has another content"),
    "flipped bit in a held-out shard": (
        "shards",
        lambda f: _flip(f / "heldout/shard-00000.tar"),
        "heldout: shard-00000.tar has another content",
    ),
    "missing shard": ("shards", lambda f: (f / "shard-00002.tar").unlink(), "shard-00002.tar is missing"),
    "extra shard": (
        "shards",
        lambda f: shutil.copy(f / "shard-00002.tar", f / "shard-00007.tar"),
        "shard-00007.tar is not listed",
    ),
    "renamed shard": (
        "shards",
        lambda f: (f / "shard-00002.tar").rename(f / "other.tar"),
        "shard-00002.tar is missing; ",
    ),
    "missing index": ("shards", lambda f: (f / "index.json").unlink(), "index.json is missing"),
    "edited index": ("shards", lambda f: _edit(f / "index.json", 'sample": 4', 'sample": 5'), "edited"),
    "flipped bit in the index": ("shards", lambda f: _flip(f / "index.json", 60, 0x80), "index.json"),
    "flipped bit in pairs": (
        "work",
        lambda f: _flip(f / "pairs/part-00000.parquet"),
        "pairs: part-00000.parquet has another",
    ),
    "flipped bit in embeddings": (
        "work",
        lambda f: _flip(next((f / "embeddings").rglob("*.npy"))),
        "part-00000.npy has another content",
    ),
    "missing part": (
        "work",
        lambda f: (f / "negatives/part-00000.parquet").unlink(),
        "negatives: part-00000.parquet is",
    ),
    "extra part": ("work", lambda f: (f / "neighbours/part-00001.parquet").touch(), "part-00001.parquet is not listed"),
    "missing manifest": ("work", lambda f: (f / "pairs/manifest.json").unlink(), "there is no finished stage here"),
    "edited manifest": (
        "work",
        lambda f: _edit(f / "pairs/manifest.json", '"part_size": 4096', '"part_size": 80'),
        "edited",
    ),
    "edited counts": ("work", lambda f: _edit(f / "pairs/manifest.json", '"pairs": 590', '"pairs": 591'), "edited"),
    "manifest that is no UTF-8": ("work", lambda f: _flip(f / "pairs/manifest.json", 60, 0x80), "manifest.json"),
    "cut manifest": ("work", lambda f: os.truncate(f / "pairs/manifest.json", 100), "this file is damaged"),
}


def _edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize("name", DAMAGE)
def test_verify_finds_damage(name: str, root: Path, tmp_path: Path) -> None:
    folder, damage, words = DAMAGE[name]
    mine = copy(root / folder, tmp_path / folder)
    damage(mine)
    refused(negmine("verify", mine), 4, words, "--overwrite")


def test_verify_names_every_problem_as_json(root: Path, tmp_path: Path) -> None:
    copy(root / "shards", tmp_path / "shards")
    (tmp_path / "shards" / "shard-00000.tar").unlink()
    _flip(tmp_path / "shards" / "shard-00001.tar")
    outcome = negmine("verify", tmp_path / "shards", "--json")
    assert outcome.status == 4
    assert len(outcome.summary["problems"]) == 2
    assert "2 problems found" in outcome.err
    fast = negmine("verify", tmp_path / "shards", "--fast", "--json")
    assert len(fast.summary["problems"]) == 1  # the flipped bit changes no size


def test_what_verify_can_look_at(root: Path, tmp_path: Path) -> None:
    refused(negmine("verify", root / "shards" / "shard-00000.tar"), 2, "whole folders are verified")
    refused(negmine("verify", tmp_path / "absent"), 2, "no such folder")
    refused(negmine("verify", tmp_path), 2, "no work folder, stage or shard set here")
    figures = succeed("verify", root / "work", "--json").figures
    assert sorted(Path(folder).parent.name for folder in figures) == ["embeddings", "work", "work", "work"]


@pytest.mark.parametrize("stage", ["pairs", "negatives", "neighbours"])
def test_a_damaged_part_stops_the_next_stage(stage: str, work: Path, tmp_path: Path) -> None:
    copy(work, tmp_path / "work")
    part = tmp_path / "work" / stage / "part-00000.parquet"
    content = bytearray(part.read_bytes())
    content[4:-4] = bytes(len(content) - 8)  # the size stays
    part.write_bytes(content)
    refused(negmine(*_shard(tmp_path / "work", tmp_path / "out")), 4, part, "cannot be read")


def test_a_deleted_shard_is_written_again(work: Path, shards: Path, tmp_path: Path) -> None:
    mine = copy(shards, tmp_path / "shards")
    before = times(mine)
    (mine / "shard-00001.tar").unlink()
    succeed(*_shard(work, mine))
    assert hashes(mine) == hashes(shards)
    assert times(mine)["shard-00000.tar"] == before["shard-00000.tar"]


@pytest.mark.parametrize(("file", "folder"), [("work/pairs/manifest.json", "work"), ("shards/index.json", "shards")])
def test_results_of_another_version(file: str, folder: str, root: Path, tmp_path: Path) -> None:
    copy(root, tmp_path / "all")
    body = json.loads((tmp_path / "all" / file).read_text())
    del body["checksum"]
    (tmp_path / "all" / file).write_text(seal(body | {"version": 99}))
    refused(negmine("verify", tmp_path / "all" / folder), 4, "version 99, this negmine reads")
    if folder == "work":
        refused(negmine(*_shard(tmp_path / "all" / "work", tmp_path / "out")), 4, "version 99, this negmine reads")


# --- other settings, other input -------------------------------------------------------------------------------------


def test_changed_settings_are_refused_and_named(work: Path, encoder: str, shards: Path) -> None:
    before = times(work.parent)
    parse = ["parse", CAPTIONS, "--images", SAMPLE, "--work", work]
    mine = ["retrieve", "--work", work, "--encoder", encoder]
    refused(negmine(*parse, "--per-caption", 2), 4, "settings.per_caption: 4 -> 2", work / "negatives", "--overwrite")
    refused(negmine(*parse, "--limit", 100), 4, "settings.limit: null -> 100", work / "pairs")
    refused(negmine(*mine, "--seed", 1), 4, "settings.seed: 0 -> 1", "settings.filters.percentage.share: 1.0 -> 0.95")
    refused(negmine(*_shard(work, shards, "--image-size", 64)), 4, "settings.image_size: null -> 64")
    assert times(work.parent) == before


def test_other_input_is_refused(work: Path, tmp_path: Path) -> None:
    other = tmp_path / "captions.jsonl"
    other.write_text(CAPTIONS.read_text().replace("cake", "pie"))
    refused(negmine("parse", other, "--images", SAMPLE, "--work", work), 4, "inputs.source: not what it was")


def test_stages_of_other_pairs_do_not_mix(work: Path, tmp_path: Path) -> None:
    mine = copy(work, tmp_path / "work")
    shutil.rmtree(mine / "negatives")
    succeed("parse", CAPTIONS, "--images", SAMPLE, "--work", mine, "--limit", 50, "--overwrite", "--workers", 1)
    refused(negmine(*_shard(mine, tmp_path / "out")), 4, "the neighbours were made from other pairs")


# --- two runs --------------------------------------------------------------------------------------------------------


def test_two_runs_on_one_folder(work: Path, tmp_path: Path) -> None:
    command = _shard(work, tmp_path / "out", "--image-size", 200)
    first = start(*command)
    assert first.wait_until(lambda: any((tmp_path / "out").rglob(".tmp-*")))
    first.process.send_signal(signal.SIGSTOP)  # it must not end before the second begins
    second = negmine(*command)
    refused(second, 5, "another run is using this folder", socket.gethostname(), first.process.pid, tmp_path / "out")
    first.process.send_signal(signal.SIGCONT)
    assert first.end().status == 0
    succeed(*command)


def test_a_reader_is_named_too(work: Path) -> None:
    """Pairs that a stage reads must not be rewritten under it."""
    with locked(work / "pairs", shared=True):
        again = negmine("parse", CAPTIONS, "--images", SAMPLE, "--work", work)
        refused(again, 5, "another run is using this folder", f"process {os.getpid()}")


# --- no space, no permission -----------------------------------------------------------------------------------------


def test_a_full_disk(work: Path, shards: Path, tmp_path: Path) -> None:
    """No file may grow beyond a megabyte: what a full disk looks like to a writer."""
    out = tmp_path / "shards"
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # noqa: E731
    refused(negmine(*_shard(work, out), prepare=limit), 5, "no space left", out / "shard-00000.tar", "it resumes")
    assert list(out.glob("*.tar")) == leftovers(out) == []
    succeed(*_shard(work, out))
    assert hashes(out) == hashes(shards)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 200 KB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True).returncode != 0:
        pytest.skip("needs the right to mount a tmpfs")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_full_disk_while_reading_and_parsing(small_disk: Path, work: Path) -> None:
    command = ["parse", CAPTIONS, "--images", SAMPLE, "--work", small_disk, "--workers", 1]
    refused(negmine(*command), 5, "no space left", small_disk, "it resumes")
    subprocess.run(["mount", "-o", "remount,size=20m", str(small_disk)], check=True)
    succeed(*command)
    made = {name: digest for name, digest in hashes(work).items() if "pairs" in name or "negatives" in name}
    assert list(hashes(small_disk).values()) == list(made.values())
    assert leftovers(small_disk) == []


def _without_privilege() -> None:
    """Root may write everywhere; without these capabilities it may not."""
    libc = ctypes.CDLL(None)
    for capability in (1, 2):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH
        libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP: takes effect at exec


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_full_disk_behind_what_is_said(stream: str, work: Path) -> None:
    """Once in words, and of messages not even that: there is nowhere to write it."""
    with Path("/dev/full").open("w") as full:
        streams: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, stream: full}
        path = work if stream == "stdout" else work / "nothing"
        done = subprocess.run([NEGMINE, "verify", path], text=True, **streams)
    assert done.returncode == {"stdout": 5, "stderr": 2}[stream]
    assert stream == "stderr" or ("no space left" in done.stderr and "Traceback" not in done.stderr)


def test_no_permission_to_write(work: Path, tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir()
    closed.chmod(0o555)
    refused(negmine(*_shard(work, closed / "out"), prepare=_without_privilege), 5, "no permission to write", closed)
    refused(negmine(*_shard(work, closed), prepare=_without_privilege), 5, "no permission to write", closed)


def test_no_permission_to_read(tmp_path: Path) -> None:
    captions = tmp_path / "captions.jsonl"
    captions.write_text(CAPTIONS.read_text())
    captions.chmod(0)
    outcome = negmine("parse", captions, "--work", tmp_path / "work", prepare=_without_privilege)
    refused(outcome, 2, "may not be read", captions)


def test_outputs_among_what_they_are_made_of(work: Path, tmp_path: Path) -> None:
    mine = copy(work, tmp_path / "work")
    before = hashes(mine)
    for name in ("pairs/manifest.json", "pairs/part-00000.parquet"):
        refused(negmine("export", "jsonl", "--work", mine, "--out", mine / name), 2, "a finished stage", name)
    refused(negmine(*_shard(mine, mine / "negatives")), 2, "what they are made of")
    assert hashes(mine) == before


def test_a_file_in_place_of_the_folder(work: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("I am no folder")
    refused(negmine(*_shard(work, tmp_path / "file")), 5, tmp_path / "file")
    refused(negmine("parse", CAPTIONS, "--work", tmp_path / "file"), 5, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "I am no folder"
