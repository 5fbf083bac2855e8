"""Every command, killed at random moments and typed again until it ends: the same bytes, and nothing left behind.

What legitimately differs is left aside: seconds in what a command says and in ``metrics.jsonl`` of a training run, the
images and logs that are made of these, and locks, which name a host and a process.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.harness import CAPTIONS, SAMPLE, write_embeddings

PAIRS = 240
PATIENCE = 280.0
"""Seconds for a command, on a machine with much else to do."""

BIN = Path(sys.executable).parent
PARSE = ("negmine", "parse", "in/captions.jsonl", "--images", "in", "--preset", "swaps")
COMMANDS: dict[str, tuple[object, ...]] = {
    "parse": (*PARSE, "--workers", 2),
    "dry run": (*PARSE, "--work", "elsewhere", "--dry-run", "--workers", 2),
    "rank 0": (*PARSE, "--work", "shared", "--workers", 1, "--rank", 0, "--world-size", 2),
    "rank 1": (*PARSE, "--work", "shared", "--workers", 1, "--rank", 1, "--world-size", 2),
    "merge": ("negmine", "merge", *PARSE[1:], "--work", "shared", "--workers", 1),
    "retrieve": (
        "negmine",
        "retrieve",
        "--encoder",
        "npy:rows.npy",
        "--filter",
        "percentage=1",
        "--plan",
        "neighbours",
        "--batch-size",
        4,
        "--workers",
        2,
    ),
    "render": ("negmine", "render", "--count", 300, "--size", 64, "--work", "drawn", "--workers", 2),
    "shard": (
        "negmine",
        "shard",
        "--out",
        "data",
        "--shard-size",
        15,
        "--image-size",
        200,
        "--train-fraction",
        0.8,
        "--workers",
        2,
    ),
    "audit": ("negmine", "audit", "--attackers", "word", "--sample", 200, "--workers", 2),
    "export": ("negmine", "export", "jsonl", "--out", "exported.jsonl"),
    "verify": ("negmine", "verify", "work"),
    "train": (
        "ahnpl-train",
        "--shards",
        "data/*.tar",
        "--recipe",
        "clip",
        "--batch-size",
        8,
        "--steps",
        16,
        "--save-every",
        4,
        "--eval-shards",
        "data/heldout/*.tar",
        "--workers",
        1,
        "--out",
        "run",
        "--log-every",
        1,
    ),
    "eval": ("ahnpl-eval", "--checkpoint", "run", "--shards", "data/heldout/*.tar", "--histograms", "scores.png"),
    "weights": ("ahnpl-export", "--checkpoint", "run", "--out", "weights.safetensors"),
    "report": ("negmine", "report", "run", "--work", "work", "--out", "page.html", "--examples", 8),
}
"""In the order of a project: each needs what those before it made."""

TIMED = ("run/metrics.jsonl", "run/curves.png")


@dataclass(frozen=True)
class Project:
    """A folder that is set to what it was before a command, and what it was afterwards.

    Attributes:
        here: where commands run, the same for all, since files name places.
        seconds: that each command took undisturbed.
        after: digests by name of what the folder then held.
    """

    here: Path
    states: Path
    seconds: dict[str, float]
    after: dict[str, dict[str, str]]

    def set_before(self, command: str) -> None:
        shutil.rmtree(self.here, ignore_errors=True)
        shutil.copytree(self.states / command, self.here)


class Attempt:
    """A command that was started, in a process group and with a folder for temporary files of its own."""

    def __init__(self, command: Sequence[object], here: Path, temporary: Path) -> None:
        words = [str(BIN / str(command[0])), *map(str, command[1:])]
        self.said = here.parent / "said.txt"
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(
                words,
                cwd=here,
                stdout=said,
                stderr=said,
                start_new_session=True,
                env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"},
            )

    def send(self, number: int, to_group: bool) -> None:
        if to_group:
            os.killpg(self.process.pid, number)
        else:
            self.process.send_signal(number)

    def end(self) -> int:
        """The status, once no process of the group is alive."""
        status = self.process.wait(PATIENCE)
        until = time.monotonic() + 20
        while (left := _group(self.process.pid)) and time.monotonic() < until:
            time.sleep(0.02)
        assert not left, f"these outlived the command: {left}"
        assert "Traceback" not in self.said.read_text(), self.said.read_text()
        return status


def _group(leader: int) -> list[str]:
    """Command lines of the living processes of a group."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "stat").read_text().rpartition(")")[2].split()
            if int(words[2]) == leader and words[0] != "Z":
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"))
        except OSError:
            continue
    return found


def _held(here: Path) -> dict[str, str]:
    """Digests of all files, hidden and temporary ones too."""
    found = {}
    for path in sorted(here.rglob("*")):
        name = str(path.relative_to(here))
        if name.startswith("run/logs"):
            continue
        if not path.is_file() or path.name.startswith(".lock") or name in TIMED:
            found[name] = ""
        else:
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return found


def _left(temporary: Path) -> list[str]:
    """Names in the folder for temporary files, without a cache of torch's that is one for all of a user's programs."""
    return sorted(path.name for path in temporary.iterdir() if not path.name.startswith("torchinductor_"))


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A name that is short enough for sockets."""
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    root = tmp_path_factory.mktemp("kills")
    here, states = root / "here", root / "states"
    (here / "in").mkdir(parents=True)
    (here / "in" / "captions.jsonl").write_text("".join(CAPTIONS.read_text().splitlines(keepends=True)[:PAIRS]))
    shutil.copytree(SAMPLE / "images", here / "in" / "images")
    seconds, after = {}, {}
    with tempfile.TemporaryDirectory(prefix="kills-") as temporary:
        for name, command in COMMANDS.items():
            shutil.copytree(here, states / name)
            begun = time.monotonic()
            attempt = Attempt(command, here, Path(temporary))
            assert attempt.end() == 0, attempt.said.read_text()
            seconds[name], after[name] = time.monotonic() - begun, _held(here)
            if name == "parse":
                write_embeddings(here / "work" / "pairs", here / "rows.npy")
            assert _left(Path(temporary)) == []
    yield Project(here, states, seconds, after)
    shutil.rmtree(root)


def _stop_and_continue(attempt: Attempt, to_group: bool, pause: float) -> None:
    attempt.send(signal.SIGSTOP, to_group)
    time.sleep(pause)
    attempt.send(signal.SIGCONT, to_group)


def _disturb(attempt: Attempt, kind: str, to_group: bool) -> None:
    if kind == "STOP":
        _stop_and_continue(attempt, to_group, 0.3)
    else:
        attempt.send(signal.Signals[f"SIG{kind}"], to_group)


STATUSES = {"TERM": {0, 130, -signal.SIGTERM}, "KILL": {0, -signal.SIGKILL}, "STOP": {0}}
"""How a command may end; SIGTERM before Python runs any of our code ends it without a word."""

SEEDS = 2


@pytest.mark.full
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("seed", range(SEEDS))
@pytest.mark.parametrize("name", COMMANDS)
def test_a_killed_command_ends_as_if_nothing_had_been(name: str, seed: int, project: Project, temporary: Path) -> None:
    chance = random.Random(f"{name} {seed}")
    project.set_before(name)
    orphaned = False  # the folder of the trainer's sockets, when nobody is left to remove it
    for _ in range(chance.choice([2, 3])):
        kind, to_group = chance.choice(["TERM", "KILL", "STOP"]), chance.random() < 0.5
        moment = chance.random() * project.seconds[name]
        attempt = Attempt(COMMANDS[name], project.here, temporary)
        time.sleep(moment)
        ran = attempt.process.poll() is None
        if ran:
            _disturb(attempt, kind, to_group)
            orphaned |= kind == "KILL" and to_group
        status = attempt.end()
        to = "group" if to_group else "process"
        told = len(attempt.said.read_text().splitlines())
        print(f"{name:9} {kind:4} {to:7} {moment:5.2f} s: {status:4}, {told} lines{'' if ran else ', had ended'}")  # noqa: T201
        assert status in STATUSES[kind], attempt.said.read_text()
        assert status or _differences(_held(project.here), project.after[name]) == {}  # 0 is said of finished work only
    attempt = Attempt(COMMANDS[name], project.here, temporary)
    assert attempt.end() == 0, attempt.said.read_text()
    assert _differences(_held(project.here), project.after[name]) == {}
    assert _metrics(project.here) == _metrics(project.states / "eval") or name != "train"
    assert [one for one in _left(temporary) if not (orphaned and one.startswith("pymp-"))] == []


def _differences(found: dict[str, str], wanted: dict[str, str]) -> dict[str, str]:
    """What is missing, left over or of another content, by name."""
    names = sorted(name for name in {*found, *wanted} if found.get(name) != wanted.get(name))
    return {name: "missing" if name not in found else "left" if name not in wanted else "other" for name in names}


def _metrics(project: Path) -> list[dict[str, object]]:
    """Rows of the training run, without times."""
    path = project / "run" / "metrics.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    return [{key: value for key, value in row.items() if key in ("step", "loss", "lr")} for row in rows]
