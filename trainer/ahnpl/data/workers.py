"""Decode workers: processes that hear no signal but their parent's word, end with it, and leave nothing behind.

``timeout``, Slurm and service managers signal all processes of a group. The parent alone answers, finishes its step
and saves; a worker that died of the signal would take the run with it.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import tempfile
import threading
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from multiprocessing.util import get_temp_dir
from typing import Final, Generic, TypeVar
from weakref import finalize

import torch
from negmine.base.errors import ResourceError, UsageError
from negmine.base.options import Values
from negmine.base.processes import is_stopped
from torch.utils.data import DataLoader, Dataset

STOP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What a user, a scheduler or a closed terminal sends to end a run; SIGUSR1 is Slurm's ``--signal``."""

LONGEST_TEMPORARY: Final = 107 - len("/pymp-12345678/listener-12345678")
"""Bytes of the folder of temporary files: sockets between processes lie below it, and their names have 107 at most."""

PATIENCE: Final = 600
"""Seconds to wait for a batch; a worker that takes longer was stopped or hangs."""

AHEAD: Final = 4
"""Batches that a worker makes ahead, where memory has room for them."""

_SHARED: Final = "/dev/shm"
"""Where batches lie until they are trained on."""

_LOOK: Final = 1.0
"""Seconds between two looks at the workers."""


T = TypeVar("T")
W = TypeVar("W")


class Workers(Generic[T]):
    """Batches of a dataset, decoded in `count` processes that stay from epoch to epoch; 0 decodes here.

    Args:
        dataset: its ``__getitems__`` makes a batch.
        work: what to hand to it, batch by batch, in each epoch.
        pin: page-locked batches, for copies to a GPU.
        ahead: batches that each process makes ahead.
        patience: see `PATIENCE`.

    Raises:
        UsageError: the folder of temporary files has too long a name for processes to speak to each other.
    """

    def __init__(
        self,
        dataset: Dataset[T],
        work: Iterable[list[W]],
        count: int,
        *,
        pin: bool,
        ahead: int = AHEAD,
        patience: float = PATIENCE,
    ) -> None:
        if count:
            _check_temporary(tempfile.gettempdir())
        parallel: Values = {
            "multiprocessing_context": "spawn",
            "persistent_workers": True,
            "prefetch_factor": ahead,
            "timeout": patience,
            "worker_init_fn": _follow_parent,
        }
        loader: DataLoader[T] = DataLoader(
            dataset,
            batch_sampler=work,
            collate_fn=_as_it_is,
            generator=torch.Generator(),  # leaves the run's random state alone
            num_workers=count,
            pin_memory=pin,
            **(parallel if count else {}),
        )
        self._count, self._loaders, self._children = count, [loader], list[BaseProcess]()
        ended = threading.Event()
        self._end = finalize(self, _end, self._loaders, self._children, ended)
        if count:
            threading.Thread(target=_watch, args=(self._children, patience, ended), daemon=True).start()

    def batches(self) -> Generator[T]:
        """The batches of an epoch.

        Raises:
            ResourceError: a worker died, or gave nothing for too long.
        """
        with explained():
            before = set(multiprocessing.active_children())
            with _signals_held() if self._count else nullcontext():
                found = iter(self._loaders[0])
            self._children += [child for child in multiprocessing.active_children() if child not in before]
            try:
                yield from found
            except (ConnectionError, EOFError) as error:  # of the pipe that it died in the middle of
                raise _of_worker(str(error) or type(error).__name__) from None

    def close(self) -> None:
        """End the processes, those too that do not answer."""
        self._end()


def shared_memory() -> int:
    """Bytes for the batches of one process of the run: half of what is free, shared by those of this machine."""
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return shutil.disk_usage(_SHARED).free // (2 * here)


def fitting(count: int, batch: int, room: int) -> tuple[int, int]:
    """How many of `count` workers, and how many batches ahead for each, so that their batches fit into memory: at least
    one of one.

    Args:
        batch, room: bytes.
    """
    batches = max(1, room // max(batch, 1))
    workers = min(count, batches)
    return workers, min(AHEAD, batches // max(workers, 1))


def _check_temporary(folder: str) -> None:
    """Batches of a worker that finds no room for its socket would be lost without a word."""
    if len(os.fsencode(folder)) > LONGEST_TEMPORARY:
        raise UsageError(
            "the name of the folder for temporary files is too long for decode workers",
            where=folder,
            why=f"it has {len(os.fsencode(folder))} bytes, sockets below it leave {LONGEST_TEMPORARY}",
            fix="set TMPDIR to a folder with a shorter name, or use --workers 0",
        )


@contextmanager
def explained() -> Iterator[None]:
    """Turn what torch raises, wherever this process is, when a worker died into an error a user can act on.

    Raises:
        ResourceError: a worker died, or gave nothing for too long.
    """
    try:
        yield
    except RuntimeError as error:
        if not str(error).startswith("DataLoader "):  # torch has no type of its own for it
            raise
        raise _of_worker(str(error).splitlines()[0]) from None


def _of_worker(why: str) -> ResourceError:
    return ResourceError(
        "a decode worker died or hangs",
        why=why,
        fix="if memory is short use fewer --workers; the same command resumes from the last checkpoint",
    )


@contextmanager
def _signals_held() -> Iterator[None]:
    """Keep signals waiting while processes start: these inherit that, for good, and this one hears them afterwards."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
    try:
        get_temp_dir()  # the processes use this one, which goes when this process does, however they end
        resource_tracker.ensure_running()
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)  # the start of the tracker lifts it for two of them
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _watch(children: list[BaseProcess], patience: float, ended: threading.Event) -> None:
    """Kill processes that a signal stopped, after a while.

    A batch is handed over in two steps, and the parent waits for the second without end. Looks are counted, not
    seconds: while this process is stopped too, as by Ctrl-Z, it does not look.
    """
    looks = Counter[BaseProcess]()
    while not ended.wait(_LOOK):
        looks = Counter({child: looks[child] + 1 for child in [*children] if is_stopped(child.pid)})
        for child, seen in looks.items():
            if seen * _LOOK >= patience:
                child.kill()


def _end(loaders: list[DataLoader[T]], children: list[BaseProcess], ended: threading.Event) -> None:
    ended.set()
    loaders.clear()  # an orderly end, unless somebody still iterates
    alive = [child for child in children if child.is_alive()]
    if not alive:
        return
    main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGCHLD, signal.SIG_DFL) if main else None  # torch would call these deaths errors
    for child in alive:
        child.kill()
        child.join()
    if main:
        signal.signal(signal.SIGCHLD, before)


def _follow_parent(_worker: int) -> None:
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """And remove the folder of the sockets, which is the parent's and which a killed one leaves."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        shutil.rmtree(get_temp_dir(), ignore_errors=True)
        os._exit(1)


def _as_it_is(batch: T) -> T:
    return batch
