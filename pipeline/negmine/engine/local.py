"""Worker processes on this machine.

Each worker computes with one thread, so that results do not depend on the number of workers. The first Ctrl-C (or
SIGTERM, or SIGHUP) finishes the parts under way, the second stops at once. A worker that dies is replaced and its part
is made again; a part that kills three workers stops the run. So does a part that fails, once the parts under way are
made.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait as wait_connections
from pathlib import Path

from negmine.base.console import note
from negmine.base.errors import NegmineError, ResourceError
from negmine.engine import PartFunction, Phase, of_part
from negmine.engine.stop import Stop, stop_request
from negmine.store import WHOLE, PartRecord, Share

MAX_DEATHS = 3
"""Workers that may die of one part before the run gives up."""

THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

_TO_THE_GROUP = (signal.SIGINT, signal.SIGHUP)


@dataclass(frozen=True)
class LocalEngine:
    """Run parts on `workers` processes; one worker means this process."""

    workers: int = 1
    share: Share = WHOLE

    @property
    def at_once(self) -> int:
        return self.workers

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
            with _pool(phase, min(self.workers, len(waiting))) as pool:
                lost = yield from _drain(pool, folder, waiting, self.workers, stop)
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
    pool: ProcessPoolExecutor, folder: Path, waiting: list[int], workers: int, stop: Stop
) -> Generator[PartRecord, None, list[int]]:
    """Yield finished parts until none is left, or the pool breaks: then return the parts that were under way."""
    running: dict[Future[PartRecord], int] = {}
    failed: dict[int, BaseException] = {}
    try:
        while running or (waiting and not failed):
            while waiting and len(running) < workers and not stop.requested and not failed:
                with _signals_held():  # a worker starts here, and inherits that
                    running[pool.submit(_make, waiting[-1], folder)] = waiting[-1]
                waiting.pop()
            if not running:
                stop.check()
            finished, _ = wait(running, return_when=FIRST_COMPLETED)
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


@contextmanager
def _pool(phase: Phase, workers: int) -> Iterator[ProcessPoolExecutor]:
    context = multiprocessing.get_context("spawn")
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_start_worker, initargs=(phase,))
    try:
        yield pool
        pool.shutdown()
    except BaseException:
        for child in multiprocessing.active_children():
            child.terminate()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    finally:
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
