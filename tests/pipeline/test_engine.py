"""The local engine makes every part, survives workers that die or are stopped, and stops when asked."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import pytest
from negmine.base.errors import InputError, InterruptedRun, ResourceError
from negmine.engine import PartFunction
from negmine.engine.local import LocalEngine
from negmine.store import PartRecord, write_file, write_text


@dataclass(frozen=True)
class Echo:
    """Writes one file a part; may die, be stopped, fail or ask to stop on the way.

    Attributes:
        deaths: workers to which part 1 sends `signal`, in the middle of its file.
    """

    scratch: Path
    deaths: int = 0
    signal: int = signal.SIGKILL
    fail: bool = False
    interrupt_at: int | None = None
    pause: float = 0

    def setup(self) -> PartFunction:
        return partial(_echo, self)


def _echo(phase: Echo, index: int, folder: Path) -> PartRecord:
    if index == 1 and phase.deaths:
        marks = len(list(phase.scratch.glob("death-*")))
        if marks < phase.deaths:
            (phase.scratch / f"death-{marks}").touch()
            write_file(folder, "part-1", partial(_die, phase.signal))
    if phase.pause:
        (phase.scratch / f"begun-{index}-{os.getpid()}").touch()
        time.sleep(phase.pause)
    if index == 0 and phase.fail:
        time.sleep(1)  # so that it is under way when the other fails
    if index == 1 and phase.fail:
        raise InputError("bad row", where="row 7", fix="mend it")
    if index == phase.interrupt_at:
        os.kill(os.getpid(), signal.SIGINT)
    return PartRecord(index, (write_text(folder, f"part-{index}", f"{index}"),), {"pairs": 1})


def _die(number: int, stream: IO[bytes]) -> int:
    stream.write(b"half")
    os.kill(os.getpid(), number)
    return 0


@pytest.mark.parametrize("workers", [1, 2])
def test_every_part_once(tmp_path: Path, workers: int) -> None:
    records = list(LocalEngine(workers).run(Echo(tmp_path), tmp_path, [0, 1, 2, 4, 5]))
    assert sorted(record.index for record in records) == [0, 1, 2, 4, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"part-{i}" for i in (0, 1, 2, 4, 5)]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_that_is_killed_or_stopped_is_replaced(number: int, tmp_path: Path) -> None:
    scratch, folder = tmp_path / "scratch", tmp_path / "folder"
    scratch.mkdir()
    folder.mkdir()
    phase = Echo(scratch, deaths=2, signal=number)
    records = list(LocalEngine(2, stall=1).run(phase, folder, [0, 1, 2, 3]))
    assert sorted(record.index for record in records) == [0, 1, 2, 3]
    assert sorted(path.name for path in folder.iterdir()) == [f"part-{i}" for i in range(4)]  # and no half file


def test_a_part_may_take_longer_than_a_worker_may_stand_still(tmp_path: Path) -> None:
    records = list(LocalEngine(2, stall=0.5).run(Echo(tmp_path, pause=3), tmp_path, [0, 1]))
    assert sorted(record.index for record in records) == [0, 1]
    assert len(list(tmp_path.glob("begun-*"))) == 2


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_with_nothing_left_to_do_cannot_hold_the_run(number: int, tmp_path: Path) -> None:
    records = list(LocalEngine(2).run(Meddling(number), tmp_path, [0, 1]))
    assert sorted(record.index for record in records) == [0, 1]
    assert (tmp_path / "hit").exists()


def test_a_part_that_kills_every_worker_ends_the_run(tmp_path: Path) -> None:
    with pytest.raises(ResourceError, match="part 1 ended 3 worker processes"):
        list(LocalEngine(2).run(Echo(tmp_path, deaths=99), tmp_path, [0, 1, 2, 3]))


@pytest.mark.parametrize("workers", [1, 2])
def test_errors_for_the_user_cross_the_process_border(tmp_path: Path, workers: int) -> None:
    made = []
    with pytest.raises(InputError, match="part 1: bad row") as caught:
        for record in LocalEngine(workers).run(Echo(tmp_path, fail=True), tmp_path, [0, 1, 2, 3]):
            made.append(record.index)
    assert 0 in made and 1 not in made and 3 not in made  # what was under way is kept, and nothing more begun
    assert caught.value.where == "row 7"
    assert caught.value.fix == "mend it"


def test_first_interrupt_finishes_the_part_under_way(tmp_path: Path) -> None:
    made = []
    with pytest.raises(InterruptedRun):
        for record in LocalEngine(1).run(Echo(tmp_path, interrupt_at=1), tmp_path, [0, 1, 2, 3]):
            made.append(record.index)
    assert made == [0, 1]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_workers_die_with_a_killed_parent(tmp_path: Path) -> None:
    code = (
        "import sys, time, pathlib; sys.path.insert(0, sys.argv[2]); import test_engine as t\n"
        "from negmine.engine.local import LocalEngine\n"
        "if __name__ == '__main__':\n"
        "    list(LocalEngine(2).run(t.Slow(), pathlib.Path(sys.argv[1]), [0, 1]))\n"
    )
    script = tmp_path / "run.py"
    script.write_text(code)
    parent = subprocess.Popen([sys.executable, str(script), str(tmp_path), str(Path(__file__).parent)])
    deadline = time.monotonic() + 60
    while len(list(tmp_path.glob("pid-*"))) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    workers = [int(path.name.removeprefix("pid-")) for path in tmp_path.glob("pid-*")]
    assert len(workers) == 2
    parent.kill()
    parent.wait()
    while any(Path(f"/proc/{pid}").exists() and _running(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(_running(pid) for pid in workers)


def _running(pid: int) -> bool:
    try:
        return "zombie" not in Path(f"/proc/{pid}/status").read_text().split("State:")[1].splitlines()[0]
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Meddling:
    """Part 0 sends a signal to the worker that has made part 1."""

    signal: int

    def setup(self) -> PartFunction:
        return partial(_meddle, self.signal)


def _meddle(number: int, index: int, folder: Path) -> PartRecord:
    if index == 1:
        (folder / f"pid-{os.getpid()}").touch()
        return PartRecord(index, ())
    while not (other := list(folder.glob("pid-*"))):
        time.sleep(0.01)
    if not (folder / "hit").exists():
        (folder / "hit").touch()
        time.sleep(0.5)  # its record is on the way
        os.kill(int(other[0].name.removeprefix("pid-")), number)
        time.sleep(0.5)
    return PartRecord(index, ())


@dataclass(frozen=True)
class Slow:
    """Never ends by itself."""

    def setup(self) -> PartFunction:
        return _sleep


def _sleep(index: int, folder: Path) -> PartRecord:
    (folder / f"pid-{os.getpid()}").touch()
    time.sleep(600)
    return PartRecord(index, ())
