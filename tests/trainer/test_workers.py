"""Decode workers: they hear no signal, their death is a message, and they leave nothing."""

from __future__ import annotations

import gc
import json
import multiprocessing
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from ahnpl.data.workers import AHEAD, LONGEST_TEMPORARY, Workers, explained, fitting
from ahnpl.model.checkpoint import list_checkpoints, remove_unfinished
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.errors import Exit, ResourceError, UsageError
from negmine.contract.training_runs import read_metrics
from negmine.store.files import temporary_name
from torch.utils.data import Dataset


class Doomed(Dataset[int]):
    """Sends itself a signal at the third batch."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __getitems__(self, work: list[int]) -> int:
        if work[0] == 2:
            os.kill(os.getpid(), self.number)
        return os.getpid()


def end(workers: Workers) -> None:
    """Close, and check that no process is left."""
    gc.collect()
    workers.close()
    assert not [child for child in multiprocessing.active_children() if child.name.startswith("SpawnProcess")]


@pytest.mark.parametrize(
    ("number", "why"),
    [
        (signal.SIGKILL, "(killed by signal|exited unexpectedly)"),
        pytest.param(signal.SIGSTOP, "(timed out|killed by signal|exited|reset)", marks=pytest.mark.full),
    ],
)
def test_a_worker_that_dies_or_hangs_is_a_message(number: int, why: str) -> None:
    workers = Workers(Doomed(number), [[n] for n in range(9)], 1, pin=False, patience=25)
    with pytest.raises(ResourceError, match=rf"decode worker(.|\n)*{why}(.|\n)*--workers"), explained():
        for process in workers.batches():
            assert process != os.getpid()
            time.sleep(0.5)
    end(workers)


class Tensors(Dataset[torch.Tensor]):
    def __getitems__(self, work: list[int]) -> torch.Tensor:
        return torch.zeros(len(work))


@pytest.mark.full
@pytest.mark.timeout(120)
def test_a_worker_that_is_stopped_when_it_has_sent_batches() -> None:
    """Their memory is still to be asked for, and nobody answers."""
    workers = Workers(Tensors(), [[n] for n in range(9)], 1, pin=False, patience=25)
    with pytest.raises(ResourceError, match=r"decode worker(.|\n)*--workers"), explained():
        for number, _ in enumerate(workers.batches()):
            if number == 0:
                time.sleep(2)
                (worker,) = (one for one in multiprocessing.active_children() if one.name.startswith("SpawnProcess"))
                assert worker.pid is not None
                os.kill(worker.pid, signal.SIGSTOP)
    end(workers)


def test_a_folder_of_temporary_files_that_sockets_cannot_lie_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / ("x" * LONGEST_TEMPORARY)
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with pytest.raises(UsageError, match=r"too long for decode workers(.|\n)*TMPDIR(.|\n)*--workers 0"):
        Workers(Doomed(0), [[0]], 1, pin=False)
    assert len(list(Workers(Doomed(0), [[0]], 0, pin=False).batches())) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
def test_workers_hear_no_signal(number: int) -> None:
    workers = Workers(Doomed(number), [[n] for n in range(4)], 1, pin=False)
    assert len(list(workers.batches())) == 4
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()  # this process hears all
    end(workers)


@given(st.integers(1, 64), st.integers(1, 10**10), st.integers(0, 10**11))
def test_batches_ahead_fit_into_memory(count: int, batch: int, room: int) -> None:
    workers, ahead = fitting(count, batch, room)
    assert 1 <= workers <= count and 1 <= ahead <= AHEAD
    assert workers * ahead * batch <= room or workers == ahead == 1
    if workers < count or ahead < AHEAD:  # one more would not fit
        assert (workers + 1 if workers < count else workers * (ahead + 1)) * batch > room


class Run:
    """``ahnpl-train`` in a process group of its own, with one decode worker and a folder for what it leaves."""

    def __init__(self, shards: Path, micro: str, folder: Path) -> None:
        self.out, self.said = folder / "run", folder / "said.txt"
        self.temporary = Path(tempfile.mkdtemp(prefix="ahnpl-"))  # a name that is short enough for sockets
        command = [
            sys.executable,
            "-c",
            "from ahnpl.cli import train_main; train_main()",
            "--shards",
            f"{shards}/*.tar",
            "--model",
            micro,
            "--recipe",
            "clip",
            "--steps",
            "100000",
            "--save-every",
            "100000",
            "--batch-size",
            "16",
            "--log-every",
            "1",
            "--workers",
            "1",
            "--out",
            str(self.out),
        ]
        env = {**os.environ, "TMPDIR": str(self.temporary), "OMP_NUM_THREADS": "1"}
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(command, stdout=said, stderr=said, env=env, start_new_session=True)
        while not read_metrics(self.out) and self.process.poll() is None:
            time.sleep(0.05)

    def group(self) -> list[int]:
        """Processes of the group that are alive."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                words = (folder / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(words[2]) == self.process.pid and words[0] != "Z":
                found.append(int(folder.name))
        return found

    def worker(self) -> int:
        commands = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in self.group()}
        return next(pid for pid, words in commands.items() if b"spawn_main" in words)

    def assert_gone(self) -> None:
        until = time.monotonic() + 20
        while self.group() and time.monotonic() < until:
            time.sleep(0.1)
        assert not self.group()


@pytest.fixture
def run(shards: Path, micro: str, tmp_path: Path) -> Iterator[Callable[[], Run]]:
    started = []

    def start() -> Run:
        started.append(Run(shards, micro, tmp_path))
        return started[-1]

    yield start
    for one in started:
        if one.group():
            os.killpg(one.process.pid, signal.SIGKILL)
        shutil.rmtree(one.temporary)


def stop_group(run: Run, number: int) -> None:
    os.killpg(run.process.pid, number)


def stop_group_twice(run: Run, number: int) -> None:
    os.killpg(run.process.pid, number)
    time.sleep(0.1)
    os.killpg(run.process.pid, number)


def stop_parent(run: Run, number: int) -> None:
    run.process.send_signal(number)


@pytest.mark.parametrize(
    ("stop", "number"),
    [
        (stop_group, signal.SIGTERM),
        *(
            pytest.param(stop, number, marks=pytest.mark.full)
            for stop in (stop_group, stop_group_twice, stop_parent)
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
        ),
    ],
)
def test_a_stopped_run_is_saved_and_leaves_nothing(
    run: Callable[[], Run], stop: Callable[[Run, int], None], number: int
) -> None:
    one = run()
    stop(one, number)
    assert one.process.wait(60) == Exit.INTERRUPTED, one.said.read_text()
    said = " ".join(one.said.read_text().split())
    assert said.count("error stopped after step") == 1 and "Traceback" not in said
    last = json.loads((list_checkpoints(one.out)[-1] / "state.json").read_text())["step"]
    assert last == max(row["step"] for row in read_metrics(one.out))
    one.assert_gone()
    assert not list(one.temporary.glob("pymp-*"))


def test_a_run_whose_worker_is_killed(run: Callable[[], Run]) -> None:
    one = run()
    os.kill(one.worker(), signal.SIGKILL)
    assert one.process.wait(60) == Exit.RESOURCE, one.said.read_text()
    said = " ".join(one.said.read_text().split())
    assert "a decode worker died" in said and "the same command resumes" in said and "Traceback" not in said
    one.assert_gone()


def test_what_a_killed_run_was_writing_is_removed(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    kept = [tmp_path / "best.json", tmp_path / "checkpoints" / "step-00000004" / "state.json"]
    unfinished = [
        tmp_path / temporary_name("best.json").replace(str(os.getpid()), str(dead.pid)),
        tmp_path / "checkpoints" / ".step-00000005.new" / "state.json",
    ]
    for path in (*kept, *unfinished):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    remove_unfinished(tmp_path)
    assert sorted(path for path in tmp_path.rglob("*") if path.is_file()) == kept
    assert len(list((tmp_path / "checkpoints").iterdir())) == 1


@pytest.mark.full
def test_no_worker_outlives_a_killed_run(run: Callable[[], Run]) -> None:
    one = run()
    one.process.kill()
    one.process.wait()
    one.assert_gone()
    assert not list(one.temporary.glob("pymp-*"))
