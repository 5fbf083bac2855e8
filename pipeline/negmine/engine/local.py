"""Worker processes on this machine.

Each worker computes with one thread, so that results do not depend on the number of workers. The first Ctrl-C (or
SIGTERM, or SIGHUP) finishes the parts under way, the second stops at once. A worker that dies is replaced and its part
is made again; a part that kills three workers stops the run. So does a part that fails, once the parts under way are
made. A worker that somebody stopped (SIGSTOP) is killed after a while; how long a part takes is nobody's business.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_connections
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from negmine.base.console import STOPS, note
from negmine.base.errors import NegmineError, ResourceError
from negmine.base.processes import is_stopped
from negmine.engine import PartFunction, Phase, of_part
from negmine.engine.stop import Stop, stop_request
from negmine.store import WHOLE, PartRecord, Share, remove_leftovers

MAX_DEATHS = 3
"""Workers that may die of one part before the run gives up."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

STALL: Final = 1800.0
LOOK: Final = 0.5
"""Seconds between two looks at the workers."""

_REAP: Final = 5.0
"""Seconds for the system to end a killed process; one that waits for a dead disk takes for ever."""

_TO_THE_GROUP = (signal.SIGINT, *STOPS)
"""What a terminal or a scheduler sends to a command and its workers alike."""


@dataclass(frozen=True)
class LocalEngine:
    """Run parts on `workers` processes; one worker means this process.

    Attributes:
        stall: seconds that a worker may stand still, stopped by a signal, before it is killed and replaced.
    """

    workers: int = 1
    share: Share = WHOLE
    stall: float = STALL

    @property
    def at_once(self) -> int:
        return self.workers

    @property
    def serve(self) -> None:
        """A worker holds what it works on, and no more."""

    def run(self, phase: Phase, folder: Path, parts: Sequence[int]) -> Iterator[PartRecord]:
        if not parts:
            return
        with stop_request() as stop:
            inline = self.workers == 1 or len(parts) == 1
            run = _run_here(phase, folder, parts, stop) if inline else self._run_pool(phase, folder, parts, stop)
            yield from run
            stop.check()  # asked during the last part: the stages that follow must not begin

    def _run_pool(self, phase: Phase, folder: Path, parts: Sequence[int], stop: Stop) -> Iterator[PartRecord]:
        waiting, deaths = list(reversed(parts)), Counter[int]()
        while waiting:
            with _crew(phase, min(self.workers, len(waiting)), self.stall, folder) as crew:
                lost = yield from _drain(crew, folder, waiting, self.workers, stop)
            for part in lost:
                deaths[part] += 1
                if deaths[part] == MAX_DEATHS:
                    raise ResourceError(
                        f"part {part} ended {MAX_DEATHS} worker processes",
                        where=str(folder),
                        why="killed from outside, or out of memory",
                        fix="use fewer --workers or more memory; the same command resumes",
                    )
            if lost:
                note(f"a worker process died; making part {', '.join(map(str, sorted(lost)))} again")
            waiting += sorted(lost, reverse=True)


def _run_here(phase: Phase, folder: Path, parts: Sequence[int], stop: Stop) -> Iterator[PartRecord]:
    make = phase.setup()
    for part in parts:
        stop.check()
        try:
            record = make(part, folder)
        except NegmineError as error:
            raise of_part(error, part, folder) from None
        yield record


def _drain(
    crew: _Crew, folder: Path, waiting: list[int], workers: int, stop: Stop
) -> Generator[PartRecord, None, list[int]]:
    """Yield finished parts until none is left, or the pool breaks: then return the parts that were under way."""
    running: dict[Future[PartRecord], int] = {}
    failed: dict[int, BaseException] = {}
    try:
        while running or (waiting and not failed):
            while waiting and len(running) < workers and not stop.requested and not failed:
                running[crew.submit(waiting[-1], folder)] = waiting[-1]
                waiting.pop()
            if not running:
                stop.check()
            finished, _ = wait(running, LOOK, return_when=FIRST_COMPLETED)
            crew.look()
            for future in finished:
                error = future.exception()
                if isinstance(error, BrokenProcessPool):
                    raise error
                part = running.pop(future)
                if error is None:
                    yield future.result()
                else:
                    failed[part] = error
    except BrokenProcessPool:
        crew.kill()
        if not failed:
            return list(running.values())
    if failed:
        part = min(failed)
        raise of_part(failed[part], part, folder, len(failed) - 1)
    return []


# --- in the worker ---------------------------------------------------------------------------------------------------

_make_part: PartFunction | None = None  # one phase a process, set once by _start_worker


def _start_worker(phase: Phase) -> None:
    global _make_part
    for number in _TO_THE_GROUP:
        signal.signal(number, signal.SIG_IGN)  # the parent decides
    threading.Thread(target=_die_with_parent, daemon=True).start()
    _make_part = phase.setup()


def _die_with_parent() -> None:
    """A killed parent cannot stop its workers, and a queue they wait on never closes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait_connections([parent.sentinel])
        os._exit(1)


def _make(part: int, folder: Path) -> PartRecord:
    assert _make_part is not None
    return _make_part(part, folder)


# --- in the parent ---------------------------------------------------------------------------------------------------


class _Crew:
    """A pool and its workers, none of which can make it wait for ever."""

    def __init__(self, pool: ProcessPoolExecutor, stall: float) -> None:
        self.pool, self._stall = pool, stall
        self._others = set(multiprocessing.active_children())
        self._workers = set[BaseProcess]()
        self._looks, self._looked_at = Counter[BaseProcess](), time.monotonic()

    def submit(self, part: int, folder: Path) -> Future[PartRecord]:
        with _signals_held():  # a worker starts here, and inherits that
            future = self.pool.submit(_make, part, folder)
        self._workers |= set(multiprocessing.active_children()) - self._others
        return future

    def look(self) -> None:
        """Kill workers that stand still for too long; the pool then takes them for dead.

        Looks are counted, not hours: while this process is stopped too, as by Ctrl-Z, it does not look.
        """
        if time.monotonic() - self._looked_at < LOOK:
            return
        self._looked_at = time.monotonic()
        self._looks = Counter({one: self._looks[one] + 1 for one in self._workers if is_stopped(one.pid)})
        for worker, looks in self._looks.items():
            if looks * LOOK >= self._stall:
                note(f"worker process {worker.pid} was stopped for {self._stall / 60:g} minutes, and is killed")
                worker.kill()

    def dismiss(self) -> None:
        """Let the workers end in order, and do not wait for those that cannot: all parts are made, or lost."""
        self.pool.shutdown(wait=False)
        while alive := [worker for worker in self._workers if worker.exitcode is None]:
            if any(worker.exitcode or is_stopped(worker.pid) for worker in self._workers):
                self.kill()
            wait_connections([worker.sentinel for worker in alive], LOOK)
        self.pool.shutdown()

    def kill(self) -> None:
        """End all at once: one that is stopped hears nothing else."""
        for worker in self._workers:
            worker.kill()
        for worker in self._workers:
            worker.join(_REAP)


@contextmanager
def _crew(phase: Phase, workers: int, stall: float, folder: Path) -> Iterator[_Crew]:
    """Workers for the parts in a folder. What they were writing when they were killed is removed."""
    context = multiprocessing.get_context("spawn")
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    with _signals_held():  # multiprocessing's tracker starts here
        pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(phase,))
    crew = _Crew(pool, stall)
    try:
        try:
            yield crew
        except NegmineError:  # of a part, or of a stop: no other is under way
            crew.dismiss()
            raise
        crew.dismiss()
    except BaseException:
        crew.kill()
        pool.shutdown(cancel_futures=True)  # its thread must not be left to race with the end of the interpreter
        raise
    finally:
        remove_leftovers(folder)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})


@contextmanager
def _signals_held() -> Iterator[None]:
    """Hold back what a terminal sends to every process, also to one that cannot ignore it yet."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _TO_THE_GROUP)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
