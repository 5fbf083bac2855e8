"""Files of a run that were cut, edited or moved: each is refused by its name, before anything is trained on it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from ahnpl.cli.models import load_any
from ahnpl.data.shards import open_shards
from ahnpl.model.checkpoint import (
    STATE_NAME,
    WEIGHTS_NAME,
    list_checkpoints,
    prune,
    read_best,
    read_state,
    remove_unfinished,
)
from ahnpl.model.clip import ModelSpec, load_model
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.base.errors import DamagedError
from negmine.base.seal import seal
from negmine.contract.training_runs import read_metrics
from negmine.outputs.verify import verify

STEP = "step-00000002"


@pytest.fixture(scope="module")
def finished(shards: Path, micro: str, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    """Two steps in half precision, so that the scaler has a state."""
    config = TrainConfig(
        shards=(f"{shards}/*.tar",),
        recipe="clip",
        model=micro,
        out=str(tmp_path_factory.mktemp("damage") / "run"),
        steps=2,
        batch_size=8,
        workers=0,
        precision="fp16",
    )
    train(make_plan(config))
    return config


@pytest.fixture
def run(finished: TrainConfig, tmp_path: Path) -> TrainConfig:
    """A copy to damage."""
    shutil.copytree(finished.out, tmp_path / "run")
    return TrainConfig(**{**vars(finished), "out": str(tmp_path / "run")})


def resumed(config: TrainConfig) -> int:
    return train(make_plan(config)).resumed


def state_of(config: TrainConfig) -> Path:
    return Path(config.out) / "checkpoints" / STEP / STATE_NAME


def flip(path: Path) -> None:
    """One bit in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_whole_one_goes_on(run: TrainConfig) -> None:
    assert resumed(run) == 2
    assert set(read_state(state_of(run).parent)) >= {"step", "model", "settings", "scaler", "sha256"}


@pytest.mark.parametrize("name", [WEIGHTS_NAME, "training.safetensors"])
def test_one_bit_of_the_tensors(run: TrainConfig, name: str) -> None:
    flip(state_of(run).parent / name)
    with pytest.raises(DamagedError, match=rf"{name}(.|\n)*checksum differs"):
        resumed(run)


def test_one_bit_where_it_is_evaluated_or_continued(run: TrainConfig) -> None:
    folder = state_of(run).parent
    flip(folder / WEIGHTS_NAME)
    for load in (lambda: load_any(run.out), lambda: load_model(ModelSpec(run.model, run.out))):
        with pytest.raises(DamagedError, match=rf"{WEIGHTS_NAME}(.|\n)*checksum differs"):
            load()


@pytest.mark.parametrize(
    "change",
    [
        {"step": 1},
        {"step": "2"},
        {"step": None},
        {"step": True},
        {"settings": None},
        {"settings": []},
        {"scaler": None},
        {"model": None},
        {"model": 5},
        {"sha256": 3},
        {"scaler": {"scale": "x"}},
        {"version": 2},
    ],
)
@pytest.mark.parametrize("write", [lambda body: seal(body), lambda body: json.dumps(body)], ids=["sealed", "earlier"])
def test_a_state_that_lacks_or_lies(
    run: TrainConfig, change: dict[str, Any], write: Callable[[dict[str, Any]], str]
) -> None:
    """Also where its checksum was made again, or as earlier versions wrote it, without one."""
    path = state_of(run)
    body = json.loads(path.read_text())
    body.pop("checksum")
    path.write_text(write({key: value for key, value in {**body, **change}.items() if value is not None}))
    with pytest.raises(DamagedError, match=STEP):
        resumed(run)


def test_an_edited_state(run: TrainConfig) -> None:
    path = state_of(run)
    path.write_text(path.read_text().replace('"step": 2', '"step": 1'))
    with pytest.raises(DamagedError, match=r"state\.json(.|\n)*checksum differs"):
        resumed(run)


def test_what_earlier_versions_wrote_is_read(run: TrainConfig) -> None:
    path = state_of(run)
    body = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in body.items() if key not in {"checksum", "sha256"}}))
    assert resumed(run) == 2


@pytest.mark.parametrize(
    "body",
    [
        "{}",
        "[]",
        "{",
        '{"checkpoint": 3, "score": 1}',
        '{"checkpoint": "../../x", "score": 1}',
        '{"checkpoint": "step-00000002", "score": "1"}',
        '{"checkpoint": "step-00000009", "score": 0.5}',
    ],
)
def test_the_best_that_is_none(run: TrainConfig, body: str) -> None:
    (Path(run.out) / "best.json").write_text(body)
    with pytest.raises(DamagedError, match=r"best\.json"):
        load_any(run.out)


def test_the_case_of_a_best(run: TrainConfig) -> None:
    shutil.copy(Path(__file__).parents[1] / "cases/attack/best_m00042.json", Path(run.out) / "best.json")
    with pytest.raises(DamagedError, match=r"best\.json"):
        read_best(Path(run.out))


@pytest.mark.parametrize(
    "body", ["{}", '{"config": 3}', '{"config": {"model": 3, "pretrained": null, "seed": 0}}', "{", "\xff"]
)
def test_a_record_of_the_start_that_is_none(run: TrainConfig, body: str) -> None:
    from ahnpl.model.export import load_start

    (Path(run.out) / "run.json").write_text(body, encoding="latin-1")
    with pytest.raises(DamagedError, match=r"run\.json"):
        load_start(Path(run.out))


def test_tensors_of_another_run(run: TrainConfig) -> None:
    """Whole, but not what the run needs."""
    from safetensors.torch import load_file, save_file

    path = state_of(run)
    tensors = load_file(path.parent / WEIGHTS_NAME)
    tensors["logit_scale"] = torch.zeros(3)
    save_file(tensors, path.parent / WEIGHTS_NAME)
    body = {key: value for key, value in json.loads(path.read_text()).items() if key not in {"checksum", "sha256"}}
    path.write_text(json.dumps(body))
    with pytest.raises(DamagedError, match=f"does not hold this run(.|\n)*{STEP}(.|\n)*logit_scale"):
        resumed(run)


def test_shards_that_git_lfs_did_not_download_are_named_as_such(shards: Path, tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"
    folder = shutil.copytree(shards, tmp_path / "shards")
    first = min(folder.glob("*.tar"))
    first.write_text(pointer)
    with pytest.raises(DamagedError, match=r"Git LFS pointer[^\0]*git lfs pull"):
        open_shards([str(folder / "*.tar")])
    problems = [problem for found in verify(folder) for problem in found.problems]
    assert any(problem.startswith(first.name) and "git lfs pull" in problem for problem in problems)
    (folder / "index.json").write_text(pointer)
    with pytest.raises(DamagedError, match=r"Git LFS pointer[^\0]*git lfs pull"):
        open_shards([str(folder / "*.tar")])


def test_what_was_learnt_before_a_shard_was_found_damaged_is_saved(
    run: TrainConfig, shards: Path, tmp_path: Path
) -> None:
    copied = shutil.copytree(shards, tmp_path / "copied")
    path = sorted(copied.glob("*.tar"))[-1]
    path.write_bytes(path.read_bytes().replace(b"circle", b"cirkle", 1))
    config = replace(
        run, shards=(f"{copied}/*.tar",), out=str(tmp_path / "new"), steps=200, save_every=None, log_every=1
    )
    with pytest.raises(DamagedError, match=path.name):
        train(make_plan(config))
    last = max(row["step"] for row in read_metrics(tmp_path / "new"))
    assert read_state(list_checkpoints(tmp_path / "new")[-1])["step"] == last > 0


# --- links in the place of folders -----------------------------------------------------------------------------------


def test_links_in_a_run_folder_are_removed_and_what_they_lead_to_is_not(run: TrainConfig, tmp_path: Path) -> None:
    """Of checkpoints, of unfinished ones, and of all when a run is made anew."""
    folder, precious = Path(run.out) / "checkpoints", tmp_path / "precious"
    shutil.copytree(folder, precious)
    shutil.rmtree(folder / STEP)
    (folder / STEP).symlink_to(precious / STEP)
    (folder / ".step-00000003.new").symlink_to(precious)
    remove_unfinished(folder.parent)
    assert [path.name for path in folder.iterdir()] == [STEP]
    longer = replace(run, steps=4, save_every=1, keep=1)
    train(make_plan(longer), overwrite=True)
    assert not folder.is_symlink() and len(list(folder.iterdir())) == 1
    shutil.rmtree(folder)
    folder.symlink_to(precious)
    with pytest.raises(DamagedError, match=r"is a link(.|\n)*--out"):
        train(make_plan(longer))
    assert load_any(run.out)  # who only reads may follow it
    train(make_plan(longer), overwrite=True)
    assert not folder.is_symlink()
    assert (precious / STEP / STATE_NAME).is_file() and len(list(precious.iterdir())) == 1


def test_pruning_removes_a_link_and_not_what_it_leads_to(run: TrainConfig, tmp_path: Path) -> None:
    folder, precious = Path(run.out) / "checkpoints", tmp_path / "precious"
    shutil.copytree(folder / STEP, precious)
    (folder / "step-00000001").symlink_to(precious)
    prune(folder.parent, keep=1)
    assert [path.name for path in folder.iterdir()] == [STEP]
    assert (precious / STATE_NAME).is_file()
