"""``negmine render`` as a user runs it: killed and resumed, handed on to every later command, refused with a reason."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.e2e.harness import hashes, leftovers, negmine, refused, start, succeed

GROUPS = 540
"""In two parts."""

ORDER = ("render", "--domain", "scenes", "--difficulty", 1, "--count", GROUPS, "--negatives", 1, "--size", 48)


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    work = tmp_path_factory.mktemp("render") / "work"
    outcome = succeed(*ORDER, "--work", work, "--workers", 2, "--json")
    assert outcome.figures["groups"] == GROUPS
    assert outcome.figures["images"] == GROUPS + outcome.figures["negatives"]
    return work


def test_killed_and_typed_again_gives_the_same_bytes(drawn: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    running = start(*ORDER, "--work", work, "--workers", 1)
    assert running.wait_until((work / "figures" / "part-00000.parquet").exists)
    running.signal_group(signal.SIGKILL)
    running.process.wait()
    assert not (work / "figures" / "manifest.json").exists()
    succeed(*ORDER, "--work", work, "--workers", 1)
    for stage in ("figures", "negatives"):
        assert hashes(work / stage) == hashes(drawn / stage)
    assert not leftovers(work)


def test_later_commands_take_figures_for_any_pairs(drawn: Path, tmp_path: Path) -> None:
    succeed("verify", drawn)
    made = succeed("shard", "--work", drawn, "--out", tmp_path / "data", "--negatives", 1, "--json").figures
    samples = sum(made[split]["samples"] for split in ("train", "heldout"))
    assert samples == GROUPS
    assert all(made[split]["negatives"] == made[split]["image negatives"] > 0 for split in ("train", "heldout"))
    succeed("verify", tmp_path / "data")
    audit = json.loads(succeed("audit", "--work", drawn, "--out", tmp_path / "audit", "--json").out)
    assert audit
    rows = succeed("export", "jsonl", "--work", drawn, "--out", tmp_path / "n.jsonl", "--json").figures
    assert rows["rows written"] == made["train"]["negatives"] + made["heldout"]["negatives"]


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    outcome = succeed("render", "--count", 20, "--size", 64, "--dry-run", "--work", tmp_path / "work", "--json")
    assert outcome.figures["groups"] == 20
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("options", "status", "words"),
    [
        (("--count", 0), 2, "--count is 0"),
        (("--size", 8), 2, "48 to 1024"),
        (("--negatives", 99), 2, "1 to 31"),
        (("--difficulty", 9), 2, "1 to 5"),
        (("--domain", "chemistry"), 2, "geometry, geometry3k, scenes"),
        (("--domain", "geometry3k", "--records", "/no/such.json"), 3, "No such file"),
    ],
)
def test_impossible_orders(options: tuple[object, ...], status: int, words: str, tmp_path: Path) -> None:
    refused(negmine("render", *options, "--work", tmp_path / "work"), status, words)
    assert not (tmp_path / "work").exists()
