"""A place is the same however it is named: every command, from elsewhere and under odd names, writes equal bytes."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ahnpl.cli import eval_app, export_app, train_app
from negmine.cli.app import app
from typer import Typer
from typer.testing import CliRunner

from tests.e2e.harness import CAPTIONS, SAMPLE, hashes

PAIRS = 24
TRAIN = ("--recipe", "clip", "--batch-size", "4", "--steps", "1", "--workers", "0")
ODD = "a b%20#?*[v1]{x,y};'$é写"


def run(command: Typer, *arguments: object) -> str:
    """A command in this process, which has loaded everything once."""
    done = CliRunner().invoke(command, [str(one) for one in arguments], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def every_command(at: str, images: str) -> None:
    """All commands once; `at` and what follows it is how their places are named."""
    work, data = ("--work", f"{at}work"), f"{at}data"
    run(app, "parse", f"{at}in/captions.jsonl", "--images", images, *work, "--preset", "negclip", "--workers", 1)
    mined = ("retrieve", *work, "--encoder", f"npy:{at}in/rows.npy", "--filter", "percentage=1", "--workers", 1)
    run(app, *mined, "--recipe", f"{at}in/recipe.yaml")
    cut = ("--shard-size", 8, "--train-fraction", 0.6)
    run(app, "shard", *work, "--out", data, "--images", images, *cut, "--workers", 1)
    run(app, "export", "jsonl", *work, "--out", f"{at}exported.jsonl")
    run(app, "verify", f"{at}work")
    run(app, "verify", data, "--fast")
    run(train_app, "--shards", f"{data}/*.tar", "--out", f"{at}run", *TRAIN)
    run(eval_app, "--checkpoint", f"{at}run", "--shards", f"{data}/heldout/*.tar", "--limit", 2, "--workers", 1)


def the_other_commands(at: str) -> None:
    """Those that write what names places, or that take long."""
    run(export_app, "--checkpoint", f"{at}run", "--out", f"{at}weights.safetensors")
    run(app, "render", "--count", 3, "--size", 64, "--difficulty", 1, "--work", f"{at}drawn", "--workers", 1)
    audit = ("audit", "--work", f"{at}work", "--attackers", "word", "--sample", 50, "--workers", 1)
    run(app, *audit, "--out", f"{at}audit")
    run(app, "report", f"{at}run", "--work", f"{at}work", "--out", f"{at}page.html", "--examples", 3)
    parse = ("parse", f"{at}in/captions.jsonl", "--preset", "negclip", "--work", f"{at}shared", "--workers", 1)
    for _ in range(2):  # the phases before a merge, and after it
        for rank in range(2):
            run(app, *parse, "--rank", rank, "--world-size", 2)
        run(app, "merge", *parse)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Captions, their images, embeddings and a recipe; not yet under the names they are read by."""
    folder = tmp_path_factory.mktemp("data") / "in"
    folder.mkdir()
    (folder / "captions.jsonl").write_text("".join(CAPTIONS.read_text().splitlines(keepends=True)[:PAIRS]))
    shutil.copytree(SAMPLE / "images", folder / "images")
    (folder / "recipe.yaml").write_text("scores: [t2t]\nneighbours: 3\n")
    work = folder.parent / "work"
    run(app, "parse", folder / "captions.jsonl", "--work", work, "--preset", "negclip", "--workers", 1)
    keys = pq.read_table(folder.parent / "work" / "pairs" / "part-00000.parquet")["key"].to_pylist()
    np.save(folder / "rows.npy", np.random.default_rng(0).normal(size=(len(keys), 8)).astype(np.float32))
    (folder / "rows.keys").write_text("\n".join(keys) + "\n")
    return folder


RESULTS = ("work", "data", "drawn", "audit", "shared", "run/checkpoints")


def results(root: Path) -> dict[str, str]:
    """Digests of all that commands wrote, what holds times aside."""
    shutil.rmtree(root / "run" / "logs", ignore_errors=True)
    found = hashes(*(root / name for name in RESULTS if (root / name).is_dir()))
    files = [root / name for name in ("exported.jsonl", "weights.safetensors") if (root / name).is_file()]
    return found | {path.name: str(path.read_bytes()) for path in files}


def test_every_command_from_a_folder_beside_its_data(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    found = []
    for at, images, folder in ((f"{root}/", f"{root}/in", tmp_path), ("../", "..//in/.", root / "beside")):
        shutil.copytree(data, root / "in")
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        every_command(at, images)
        the_other_commands(at)
        found.append(results(root))
        monkeypatch.chdir(tmp_path)
        shutil.rmtree(root)
    assert len(found[0]) > 30
    assert found[0] == found[1]


@pytest.fixture(scope="module")
def plain(data: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    root = tmp_path_factory.mktemp("plain")
    shutil.copytree(data, root / "in")
    every_command(f"{root}/", f"{root}/in")
    return _contents(root)


def _contents(root: Path) -> dict[str, str]:
    """`results` without what names places: manifests, the indexes that name those, folders of ready embeddings."""
    found = {name: it for name, it in results(root).items() if not name.endswith(("manifest.json", "index.json"))}
    return {name.replace(_embeddings(name), "ready"): it for name, it in found.items()}


def _embeddings(name: str) -> str:
    return name.split("/")[2] if name.startswith("work/embeddings/") else "ready"


NAMES = [
    "a b",
    "50%",
    "%20",
    "a#b",
    "a?b",
    "a*b",
    "[v1]",
    "{x}",
    "{a,b}",
    "{",
    "a::b",
    "a;b",
    "it's",
    "$HOME",
    "é写",
    "~x",
    "back\\slash",
    "s3:",
    "new\nline",
    "negmine-mirror-x",
    "negmine-mirror-0123456789abcdef",
    "[bold]",
    "[/b]",
]


@pytest.mark.parametrize("name", [ODD, *(pytest.param(name, marks=pytest.mark.full) for name in NAMES)])
def test_odd_names(name: str, data: Path, plain: dict[str, str], tmp_path: Path) -> None:
    root = tmp_path / name
    shutil.copytree(data, root / "in")
    every_command(f"{root}/", f"{root}/in")
    assert _contents(root) == plain


def test_a_leading_dash(data: Path, plain: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(data, tmp_path / "-dash" / "in")
    work = ("--work", "-dash/work")
    told = run(
        app,
        "parse",
        *work,
        "--images",
        "-dash/in",
        "--preset",
        "negclip",
        "--workers",
        1,
        "--",
        "-dash/in/captions.jsonl",
    )
    assert "negmine report --work ./-dash/work" in told
    told = run(app, "shard", *work, "--out", "-dash/data", "--shard-size", 8, "--workers", 1)
    assert "ahnpl-train --shards ./-dash/data/*.tar --eval-shards ./-dash/data/heldout/*.tar" in told
    run(train_app, "--shards", "./-dash/data/*.tar", "--out", "-dash/run", *TRAIN, "--dry-run")


@pytest.mark.full
@pytest.mark.parametrize("spelling", ["link/", "link/../", "file://", "~/", "deep/../", "./deep//..//./"])
def test_other_spellings(
    spelling: str, data: Path, plain: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, here = tmp_path / "root", tmp_path / "here"
    shutil.copytree(data, root / "in")
    (root / "deep").mkdir()
    here.mkdir()
    (here / "link").symlink_to(root / "deep" if spelling == "link/../" else root)
    monkeypatch.chdir(root if "deep" in spelling else here)
    monkeypatch.setenv("HOME", str(root))
    at = f"file://{root}/" if spelling == "file://" else spelling
    every_command(at, f"{at}in")
    (root / "deep").rmdir()
    assert _contents(root) == plain


# --- what later commands, and other people, make of it ---------------------------------------------------------------


@pytest.fixture
def parsed(data: Path, tmp_path: Path) -> Iterator[Path]:
    """A project: ``in`` and ``work``, made with relative paths from within."""
    shutil.copytree(data, tmp_path / "in")
    before = Path.cwd()
    os.chdir(tmp_path)
    run(app, "parse", "in/captions.jsonl", "--images", "in", "--preset", "negclip", "--workers", 1)
    yield tmp_path
    os.chdir(before)


def test_a_later_command_from_another_folder_finds_the_same_images(parsed: Path) -> None:
    """And not those of the same names that lie there."""
    other = parsed / "other"
    shutil.copytree(parsed / "in", other / "in")
    photos = sorted((other / "in" / "images").iterdir())
    for photo in photos:
        photo.write_bytes(photos[0].read_bytes())
    run(app, "shard", "--work", "work", "--out", "here", "--workers", 1)
    os.chdir(other)
    run(app, "shard", "--work", "../work", "--out", "../there", "--workers", 1)
    assert list(hashes(parsed / "here").values()) == list(hashes(parsed / "there").values())


def test_a_moved_project_is_told_where_its_images_are(parsed: Path, tmp_path: Path) -> None:
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("in", "work"):
        (tmp_path / name).rename(moved / name)
    os.chdir(moved)
    lost = CliRunner().invoke(app, ["shard", "--out", "data", "--workers", "1"])
    assert "there is no such folder of images" in str(lost.exception) and "--images" in str(lost.exception)
    run(app, "shard", "--out", "data", "--images", "in", "--workers", 1)
    run(app, "parse", "in/captions.jsonl", "--images", "in", "--preset", "negclip", "--workers", 1)  # is told for good
    run(app, "shard", "--out", "again", "--workers", 1)
    assert list(hashes(moved / "again").values()) == list(hashes(moved / "data").values())
