"""Batches of hard neighbours, from the command that plans them to the trainer that meets them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq

from tests.e2e.harness import PATIENCE, copy, negmine, refused, succeed

TRAIN = str(Path(sys.executable).with_name("ahnpl-train"))


def test_training_on_planned_shards(work: Path, encoder: str, tmp_path: Path) -> None:
    mine = copy(work, tmp_path / "work")
    options = ["--encoder", encoder, "--without", "percentage", "--overwrite", "--workers", 1]
    planned = succeed("retrieve", "--work", mine, *options, "--plan", "mutual", "--batch-size", 16, "--json")
    plan = planned.figures["plan: mutual"]
    assert plan["left over"] == plan["pairs for training"] % 16
    assert plan["mean similarity in a batch"] > plan["the same in random batches"]
    assert planned.summary["next_steps"][0] == f"negmine shard --work {mine} --plan"
    out = tmp_path / "data"
    made = succeed(
        "shard", "--work", mine, "--out", out, "--plan", "--image-negatives", 1, "--shard-size", 100, "--json"
    )
    assert made.figures["train"]["samples"] == plan["planned"]
    assert "--batch-size 16" in made.summary["next_steps"][0]
    train = [TRAIN, "--shards", f"{out}/*.tar", "--recipe", "clip", "--epochs", "1", "--out", f"{tmp_path}/run"]
    done = run(*train, "--batch-size", "16", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["figures"]["steps"] == plan["batches"]
    other = run(*train, "--batch-size", "10", "--overwrite")
    assert other.returncode == 2
    assert "planned for batches of 16" in other.stderr
    groups = ["--recipe", "mmclip", "--model", "tiny-conv", "--steps", "2", "--batch-size", "16"]
    images = run(TRAIN, "--shards", f"{out}/*.tar", *groups, "--out", f"{tmp_path}/images", "--log-every", "1")
    assert images.returncode == 0, images.stderr
    rows = [json.loads(line) for line in (tmp_path / "images" / "metrics.jsonl").read_text().splitlines()]
    assert all(row["loss/image"] > 0 for row in rows)  # it would be 0 without images of neighbours
    succeed("verify", mine)
    succeed("verify", out)


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, "--workers", "0"], capture_output=True, text=True, timeout=PATIENCE)


def test_a_memory_that_is_too_small_is_refused_with_numbers(work: Path, encoder: str) -> None:
    command = ["retrieve", "--work", work, "--encoder", encoder, "--candidates", 7, "--overwrite", "--dry-run"]
    refused(negmine(*command, "--memory", "90M", "--workers", 1), 5, "90 MiB for 1 worker", "take at least", "--memory")
    refused(negmine(*command, "--memory", "lots"), 2, "'lots' is no size", "4G")


def test_a_recipe_that_plans(work: Path, encoder: str, tmp_path: Path) -> None:
    mine = copy(work, tmp_path / "work")
    command = ["retrieve", "--work", mine, "--recipe", "sample4geo", "--score", f"i2i:{encoder}", "--batch-size", 8]
    refused(negmine(*command), 4, "settings.scores")
    assert "plan: neighbours" in succeed(*command, "--overwrite", "--json").figures
    assert pq.read_table(mine / "plan" / "part-00000.parquet").num_rows == 525
