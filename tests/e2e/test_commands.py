"""What every command owes its user: it resumes, it can be stopped, it answers quickly, and programs can read it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from negmine import __version__

from tests.e2e.harness import (
    CAPTIONS,
    NEGMINE,
    SAMPLE,
    Outcome,
    copy,
    hashes,
    leftovers,
    negmine,
    refused,
    start,
    succeed,
    times,
)

COMMANDS = ("parse", "retrieve", "shard", "verify")


@pytest.fixture(scope="module")
def again(root: Path, work: Path, shards: Path, encoder: str) -> dict[str, list[object]]:
    """The commands that made the session's folders, and a check of them."""
    return {
        "parse": ["parse", CAPTIONS, "--images", SAMPLE, "--work", work],
        "retrieve": ["retrieve", "--work", work, "--encoder", encoder, "--filter", "percentage=1"],
        "shard": ["shard", "--work", work, "--out", shards, "--shard-size", 200],
        "verify": ["verify", work],
    }


@pytest.mark.parametrize("command", COMMANDS)
def test_a_second_run_does_nothing_and_says_the_same_as_json(
    command: str, again: dict[str, list[object]], root: Path
) -> None:
    before = times(root)
    first, second = (succeed(*again[command], "--json") for _ in range(2))
    assert times(root) == before
    assert first.summary["command"].startswith(f"negmine {command}")
    assert {**first.figures, "seconds": 0} == {**second.figures, "seconds": 0}
    assert len(first.out.splitlines()) == 1


def test_summaries_hold_the_numbers_of_the_sample(again: dict[str, list[object]]) -> None:
    parsed, mined, made = (succeed(*again[name], "--json").figures for name in ("parse", "retrieve", "shard"))
    assert parsed["rows read"] == parsed["pairs"] == mined["pairs"] == 590
    assert parsed["rows rejected"] == {}
    assert parsed["negatives"] == sum(parsed["by kind"].values()) > 590
    assert mined["candidates"] == mined["kept"] + sum(mined["refused"].values()) > 59_000
    assert made["train"]["samples"] + made["heldout"]["samples"] == 590
    assert made["train"]["negatives"] + made["heldout"]["negatives"] == parsed["negatives"]


@pytest.mark.parametrize("command", ["parse", "retrieve", "shard"])
def test_a_dry_run_writes_nothing(command: str, again: dict[str, list[object]], root: Path, tmp_path: Path) -> None:
    arguments = [tmp_path / "absent" if command == "parse" and one == root / "work" else one for one in again[command]]
    before = times(root)
    outcome = succeed(*arguments, "--dry-run", "--json", "--workers", 1)
    assert "dry run" in outcome.summary["headline"]
    assert outcome.summary["outputs"] == {}
    assert outcome.figures["rows read"] == 256
    assert times(root) == before
    assert list(tmp_path.iterdir()) == []


def test_overwrite_makes_the_same_bytes_anew(again: dict[str, list[object]], root: Path, tmp_path: Path) -> None:
    shards = copy(root / "shards", tmp_path / "shards")
    arguments = [shards if one == root / "shards" else one for one in again["shard"]]
    before, written = hashes(shards), times(shards)
    succeed(*arguments, "--overwrite")
    assert hashes(shards) == before
    assert all(times(shards)[name] > written[name] for name in written)


def test_overwrite_forgets_unfinished_phases_of_other_settings(work: Path, encoder: str, tmp_path: Path) -> None:
    """A killed run leaves ``neighbours/.facts``; other settings and --overwrite must not trip over it."""
    mine = copy(work, tmp_path / "work")
    copy(mine / "neighbours", mine / "neighbours" / ".facts")
    succeed("retrieve", "--work", mine, "--encoder", encoder, "--candidates", 20, "--overwrite", "--workers", 1)
    succeed("verify", mine)


def test_overwrite_leaves_no_held_out_shards_of_an_earlier_split(work: Path, shards: Path, tmp_path: Path) -> None:
    mine = copy(shards, tmp_path / "shards")
    arguments = ["shard", "--work", work, "--out", mine, "--shard-size", 200, "--train-fraction", 1]
    refused(negmine(*arguments), 4, "settings.train_fraction: 0.9 -> 1.0", "--overwrite")
    succeed(*arguments, "--overwrite")
    assert list((mine / "heldout").glob("*.tar")) == []
    assert sum(len(list(mine.glob(pattern))) for pattern in ("*.tar", "index.json")) == 4
    succeed("verify", mine)


# --- Ctrl-C ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_saves_and_the_same_command_finishes(number: signal.Signals, work: Path, tmp_path: Path) -> None:
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    succeed(*_slow_shards(work, whole))
    running = start(*_slow_shards(work, stopped), "--json")
    assert running.wait_until(lambda: bool(_written(stopped)))
    running.signal_group(number)  # as a terminal and `timeout` do: to the workers too
    outcome = running.end()
    _stopped(outcome)
    assert "a worker process died" not in outcome.err
    saved = _written(stopped)
    assert 0 < len(saved) < len(_written(whole))
    succeed(*_slow_shards(work, stopped))
    assert {path: time for path, time in _written(stopped).items() if path in saved} == saved
    assert list(hashes(stopped).values()) == list(hashes(whole).values())


def _written(folder: Path) -> dict[Path, int]:
    """Whole tars and when they were written; the name of one that is under way is hidden."""
    found = (one.glob("shard-*.tar") for one in (folder, folder / "heldout"))
    return {path: path.stat().st_mtime_ns for tars in found for path in tars}


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("mark", ["pairs/.lock", "pairs/.gathered/manifest.json", "negatives/.lock"])
def test_ctrl_c_at_any_stage_of_parse(mark: str, workers: int, tmp_path: Path) -> None:
    """Also when the only part is under way: the stages that would follow do not begin."""
    command = ["parse", CAPTIONS, "--images", SAMPLE, "--work", tmp_path, "--workers", workers]
    running = start(*command)
    assert running.wait_until((tmp_path / mark).exists)
    running.signal_group(signal.SIGINT)
    _stopped(running.end())
    assert not (tmp_path / "negatives" / "manifest.json").exists()


def test_ctrl_c_of_a_merge(tmp_path: Path) -> None:
    """Which runs another command within."""
    parse, lock = ["parse", CAPTIONS, "--work", tmp_path], tmp_path / "pairs" / ".lock"
    for rank in range(2):
        succeed(*parse, "--rank", rank, "--world-size", 2)
    lock.unlink()
    running = start("merge", *parse)
    assert running.wait_until(lock.exists)
    running.signal_group(signal.SIGINT)
    _stopped(running.end())


def test_a_second_ctrl_c_stops_at_once(work: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    running = start(*_slow_shards(work, out))
    assert running.wait_until(lambda: any(out.glob("*.tar")))
    running.signal_group(signal.SIGINT)
    assert running.process.stderr is not None
    assert "stopping" in running.process.stderr.readline()
    running.signal_group(signal.SIGINT)
    outcome = running.end()
    assert outcome.status == 130
    assert "resumes" in outcome.err
    succeed(*_slow_shards(work, out))
    assert leftovers(out) == []
    succeed("verify", out)


def _stopped(outcome: Outcome) -> None:
    assert outcome.status == 130, outcome
    assert "the same command resumes" in outcome.err
    assert outcome.out == ""


def _slow_shards(work: Path, out: Path) -> list[object]:
    """Some seconds of work in sixty parts: whoever waits for the first has time to stop the others."""
    return ["shard", "--work", work, "--out", out, "--shard-size", 10, "--image-size", 200, "--workers", 2]


# --- a reader that goes away -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("words", ["", "--json", "--help"])
@pytest.mark.parametrize("both", ["", "2>&1"])
def test_a_reader_that_goes_away_changes_nothing(words: str, both: str, work: Path, tmp_path: Path) -> None:
    """As in ``negmine export ... | head``: quiet, and the status is of the work, which is done."""
    out = tmp_path / "exported.jsonl"
    command = f"{NEGMINE} export jsonl --work {work} --out {out} {words} {both} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert out.exists() == (words != "--help")


@pytest.mark.parametrize(("words", "status"), [("verify nowhere", 2), ("export jsonl --out x --work nowhere", 2)])
def test_an_error_that_nobody_reads_has_its_status(words: str, status: int) -> None:
    done = subprocess.run(["bash", "-c", f"{NEGMINE} {words} 2>&1 | true; exit ${{PIPESTATUS[0]}}"])
    assert done.returncode == status


# --- help ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [[], *([name] for name in COMMANDS)], ids=["negmine", *COMMANDS])
def test_help_answers(command: list[str]) -> None:
    outcome = succeed(*command, "--help")
    assert "Usage" in outcome.out
    assert outcome.err == ""
    for name in COMMANDS if not command else ["Examples"]:
        assert name in outcome.out


def test_the_version() -> None:
    assert succeed("--version").out == f"negmine {__version__}\n"


def test_help_imports_nothing_heavy() -> None:
    """What makes ``--help`` slow is importing these; a stop-watch would depend on the machine."""
    code = (
        "import json, sys\n"
        "from negmine import cli\n"
        "sys.argv = ['negmine', '--help']\n"
        "try:\n    cli.main()\n"
        "except SystemExit as end:\n    sys.stderr.write(json.dumps([end.code, sorted(sys.modules)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, modules = json.loads(done.stderr)
    assert status == 0
    heavy = {"torch", "spacy", "faiss", "pyarrow", "numpy", "nltk", "open_clip", "PIL", "fsspec", "pandas"}
    assert heavy.isdisjoint(modules)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["parse", CAPTIONS, "--rules", "swap_objekt"], ["unknown rule 'swap_objekt'", "swap_object"]),
        (["retrieve", "--score", "t2x"], ["no pairs yet"]),
        (["retrieve", CAPTIONS, "--score", "t2x"], ["unknown direction 't2x'", "t2i"]),
        (["retrieve", CAPTIONS, "--encoder", "bert"], ["unknown encoder 'bert'", "minilm"]),
        (["retrieve", CAPTIONS, "--score", "i2i"], ["read without images", "--images FOLDER --overwrite"]),
        (["retrieve", CAPTIONS, "--encoder", "npy:none.npy"], ["no such file", "none.npy"]),
        (["shard"], ["no pairs yet", "negmine parse PAIRS"]),
    ],
)
def test_wrong_use(arguments: list[object], words: list[str], tmp_path: Path) -> None:
    refused(negmine(*arguments, "--work", tmp_path / "work"), 2, *words)


def test_wrong_options_are_named() -> None:
    outcome = negmine("parse", CAPTIONS, "--max-bad", 2)
    assert outcome.status == 2
    assert "--max-bad" in outcome.err
    assert negmine("verify", "/nonexistent").status == 2
