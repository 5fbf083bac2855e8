"""Weights in parts (``--fsdp``): the run of two processes with whole weights, in checkpoints that one process reads."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.multiprocessing as mp
from ahnpl.model.checkpoint import list_checkpoints
from ahnpl.model.clip import load_checkpoint
from ahnpl.training.config import TrainConfig
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from negmine.contract.training_runs import read_metrics
from safetensors.torch import load_file

from tests.trainer.test_hugging_face import write_clip, write_siglip
from tests.trainer.test_ranks import free_port

pytestmark = [pytest.mark.full, pytest.mark.timeout(900)]

CASES: dict[str, dict[str, Any]] = {
    "ahnpl": {},
    "local": {"recipe": "negclip", "local_loss": True},
    "heads": {"recipe": "amcl"},
    "teacher": {"recipe": "ahnpl_degla"},
    "lock": {"lock": "image"},
    "lora": {"lora": 2},
    "ema": {"ema": 0.9},
    "scored": {"eval_shards": True},
    "chunks": {"grad_cache_chunks": 2},
    "again": {"grad_checkpointing": True},
    "clip": {"model": "clip"},
    "siglip": {"model": "siglip", "recipe": "siglip_hard"},
}


def config_of(case: str, fsdp: bool, folder: Path, shards: Path, micro: str, **options: Any) -> TrainConfig:
    given = {"recipe": "ahnpl", "model": micro, **CASES[case], **options}
    if given["model"] != micro:
        given["model"] = f"hf:{folder / given['model']}"
    if given["recipe"] == "amcl":
        given["recipe"] = str(folder / "amcl_narrow.yaml")
    if "eval_shards" in given:
        given["eval_shards"] = (f"{shards}/00000.tar",)
    given = {"out": str(folder / f"{case}-{'parts' if fsdp else 'whole'}"), **given}
    return TrainConfig(
        shards=(f"{shards}/*.tar",),
        steps=3,
        batch_size=16,
        canonical_ranks=2,
        lr=1e-3,
        workers=0,
        log_every=1,
        save_every=1,
        keep=9,
        fsdp=fsdp,
        **given,
    )


def go(rank: int, ports: list[int], folder: Path, shards: Path, micro: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1"}
    for port, (case, fsdp) in zip(ports, [(case, fsdp) for case in CASES for fsdp in (True, False)], strict=False):
        os.environ["MASTER_PORT"] = str(port)
        train(make_plan(config_of(case, fsdp, folder, shards, micro)))
    again = folder / "again"
    if rank == 0:
        shutil.copytree(folder / "ahnpl-parts", folder / "part", dirs_exist_ok=True)
        for checkpoint in list_checkpoints(folder / "part")[1:]:  # as if it had been killed after the first
            shutil.rmtree(checkpoint)
        (folder / "part").rename(again)
    while not again.exists():
        pass
    os.environ["MASTER_PORT"] = str(ports[-1])
    train(make_plan(config_of("ahnpl", True, folder, shards, micro, out=str(again))))


@pytest.fixture(scope="module")
def runs(micro: str, shards: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sharded")
    write_clip(folder / "clip"), write_siglip(folder / "siglip")
    (folder / "amcl_narrow.yaml").write_text("extends: amcl\nwidth: 32\n")
    ports = [free_port() for _ in range(2 * len(CASES) + 1)]
    mp.spawn(go, (ports, folder, shards, micro), nprocs=2)  # type: ignore[no-untyped-call]
    return folder


def losses(run: Path) -> list[float]:
    return [row["loss"] for row in read_metrics(run) if "loss" in row]


def scores(run: Path) -> list[float]:
    return [row["eval/accuracy"] for row in read_metrics(run) if "eval/accuracy" in row]


def weights(run: Path) -> dict[str, torch.Tensor]:
    return dict(load_checkpoint(list_checkpoints(run)[-1]).network.state_dict())


@pytest.mark.parametrize("case", list(CASES))
def test_it_is_the_run_with_whole_weights(runs: Path, case: str) -> None:
    parts, whole = runs / f"{case}-parts", runs / f"{case}-whole"
    assert len(losses(parts)) == 3 and losses(parts) == pytest.approx(losses(whole), rel=1e-5)
    one, other = weights(parts), weights(whole)
    for name, tensor in other.items():
        torch.testing.assert_close(one[name], tensor, rtol=1e-5, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")
    kept = [load_file(list_checkpoints(run)[-1] / "training.safetensors") for run in (parts, whole)]
    assert {n: t.shape for n, t in kept[0].items()} == {n: t.shape for n, t in kept[1].items()}
    if case == "scored":
        assert scores(parts) == scores(whole) and len(scores(whole)) == 2


def test_killed_and_resumed(runs: Path) -> None:
    assert losses(runs / "again") == losses(runs / "ahnpl-parts")
    again, once = weights(runs / "again"), weights(runs / "ahnpl-parts")
    assert all(torch.equal(again[name], tensor) for name, tensor in once.items())


def test_one_process_goes_on(runs: Path, shards: Path, micro: str, tmp_path: Path) -> None:
    run = Path(shutil.copytree(runs / "ahnpl-parts", tmp_path / "run"))
    for checkpoint in list_checkpoints(run)[1:]:
        shutil.rmtree(checkpoint)
    train(make_plan(config_of("ahnpl", False, runs, shards, micro, out=str(run))))
    assert losses(run) == pytest.approx(losses(runs / "ahnpl-whole"), rel=1e-5)
