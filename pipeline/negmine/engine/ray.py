"""Parts as tasks of a Ray cluster.

Ray places the tasks, and starts one again whose process or machine died. What is Ray's here is scheduling only: a task
makes a part as every engine does, writes its files itself, and sends back their record; the driver alone writes the
journal and the manifest.

Tasks and not Ray Data's actor pools, because those start a part that kills its actor again without end, do not say
which part failed, and wait for ever when a pool has lost the machine of one of its actors.
"""

from __future__ import annotations

import os
import socket
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from negmine.base.console import note
from negmine.base.documents import Document
from negmine.base.errors import DamagedError, NegmineError, ResourceError, UsageError
from negmine.engine import Load, PartFunction, Phase, of_part
from negmine.engine.stop import Stop, stop_request
from negmine.store import WHOLE, PartRecord, Share

if TYPE_CHECKING:
    import ray

MAX_DEATHS: Final = 3
"""Processes that may die of one part before the run gives up on it."""

MAX_FAILED: Final = 3
"""Parts that may fail before no further one is begun."""

LEAST_SHARED: Final = 128 * 2**20
"""Bytes of shared memory that a Ray node needs; its object store takes at least 75 MB."""

MOST_SHARED: Final = 2 * 2**30
"""Bytes of the object store of a Ray that is started here; records of parts are small."""

THREADS: Final = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
"""One thread a part, so that results do not depend on the number of parts at once."""

_SETTINGS: Final = b"\x04"
_HELLO: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0" + _SETTINGS + bytes(5)
"""How an HTTP/2 connection begins, RFC 9113 section 3.4; a server answers with settings too."""

LOOK: Final = 1.0
"""Seconds after which the driver looks whether it was asked to stop."""


@dataclass(frozen=True)
class RayEngine:
    """Make parts on a cluster that this process is connected to; see `connect`.

    Attributes:
        workers: parts at once, at most; 0 for as many as the cluster has room for.
        cpus: of a part; `gpus` likewise. Ray places by these numbers, and does not enforce them.
        stall: seconds without a finished part that end the run.
    """

    workers: int = 0
    cpus: float = 1
    gpus: float = 0
    stall: float = 1800
    share: Share = field(default=WHOLE, init=False)

    @classmethod
    def connect(cls, address: str | None, workers: int, cpus: float, gpus: float, stall: float) -> RayEngine:
        """Connect to a cluster, or start Ray on this machine.

        Args:
            address: ``HOST:PORT`` or ``auto``; None for ``RAY_ADDRESS``, and a Ray of our own where that is not set.

        Raises:
            UsageError: Ray is not installed, or the address is none.
            ResourceError: nobody answers there, the versions differ, or the machine has too little shared memory.
        """
        connect(address or os.environ.get("RAY_ADDRESS"), workers)
        engine = cls(workers, cpus, gpus, stall)
        _check_room(engine)
        return engine

    @property
    def at_once(self) -> int:
        """On the machine with most room."""
        most = int(_most("CPU") / max(self.cpus, 1e-3))
        return max(1, min(most, self.workers or most))

    def run(self, phase: Phase, folder: Path, parts: Sequence[int]) -> Iterator[PartRecord]:
        if not parts:
            return
        with stop_request() as stop:
            made = set()
            for record in _Run(self, phase, folder, stop).records(parts):
                made.add(record.index)
                yield record
            lost = sorted(set(parts) - made)
            if lost:
                raise DamagedError(f"Ray did not bring back parts {lost[:8]}", where=str(folder), fix="run it again")
            stop.check()

    @contextmanager
    def serve(self, loads: Sequence[Load]) -> Iterator[Servers]:
        """An actor of one CPU for each of `loads`; see `negmine.engine.Serve`."""
        import ray

        cpus: float = ray.cluster_resources().get("CPU", 0)
        if len(loads) >= cpus:
            raise ResourceError(
                f"{len(loads)} actors and a part beside them do not fit",
                why=f"the cluster has {cpus:g} CPUs",
                fix="use fewer --database-actors, or add machines",
            )
        server = ray.remote(num_cpus=1, max_restarts=0, runtime_env={"env_vars": THREADS})(_Server)
        servers = Servers(tuple(server.remote(load, str(Path.cwd())) for load in loads))
        try:
            yield servers
        finally:
            for actor in servers.actors:
                ray.kill(actor)


class _Run:
    """One phase on the cluster: parts that wait, that run, and that failed."""

    def __init__(self, engine: RayEngine, phase: Phase, folder: Path, stop: Stop) -> None:
        import ray

        self._engine, self._folder, self._stop = engine, folder, stop
        self._task = ray.remote(num_cpus=engine.cpus, num_gpus=engine.gpus, max_retries=MAX_DEATHS - 1, max_calls=0)(
            _make
        )
        self._name, self._phase = uuid.uuid4().hex, ray.put(phase)
        self._running: dict[ray.ObjectRef, int] = {}
        self._failed: list[tuple[int, NegmineError]] = []

    def records(self, parts: Sequence[int]) -> Iterator[PartRecord]:
        """Records of the parts as they come.

        Raises:
            NegmineError: of the first part that failed, when the others are made.
        """
        waiting, since = list(reversed(parts)), time.monotonic()
        try:
            while waiting or self._running:
                self._submit(waiting)
                if not self._running:
                    break
                for record in self._finished():
                    since = time.monotonic()
                    if record is not None:
                        yield record
                self._check_stall(since)
        finally:
            self._cancel()
        if self._failed:
            part, error = min(self._failed, key=lambda one: one[0])
            raise of_part(error, part, self._folder, len(self._failed) - 1)
        self._stop.check()

    def _submit(self, waiting: list[int]) -> None:
        room = self._engine.workers or 2 * _slots(self._engine)
        while waiting and len(self._running) < room and not self._stop.requested and len(self._failed) < MAX_FAILED:
            part = waiting.pop()
            ref = self._task.remote(self._name, self._phase, part, str(self._folder), str(Path.cwd()))
            self._running[ref] = part

    def _finished(self) -> Iterator[PartRecord | None]:
        """Records of parts that were finished meanwhile; None for one that failed."""
        import ray

        done, _ = ray.wait(list(self._running), num_returns=1, timeout=LOOK)
        for ref in done:
            part = self._running.pop(ref)
            try:
                yield ray.get(ref)
            except ray.exceptions.RayError as error:
                self._failed.append((part, _explained(error, self._folder)))
                yield None

    def _check_stall(self, since: float) -> None:
        if time.monotonic() - since > self._engine.stall:
            parts = sorted(self._running.values())
            raise ResourceError(
                f"no part was finished for {self._engine.stall / 60:g} minutes",
                where=f"{self._folder}, parts {', '.join(map(str, parts[:8]))}{', ...' if len(parts) > 8 else ''}",
                why="the cluster has no room for a part (--cpus, --gpus), or a part hangs",
                fix="see `ray status`; raise --stall-timeout if parts take that long. The same command resumes",
            )

    def _cancel(self) -> None:
        import ray

        for ref in self._running:
            ray.cancel(ref, force=True)
        self._running.clear()


@dataclass(frozen=True)
class Servers:
    """Actors; one that fails ends the run, so that there is never an answer of only those who gave one."""

    actors: tuple[ray.actor.ActorHandle, ...]

    def ask(self, *question: object) -> Iterator[Any]:
        import ray

        asked = [ray.put(one) for one in question]
        answers = [actor.answer.remote(*asked) for actor in self.actors]
        for number, answer in enumerate(answers):
            try:
                given = ray.get(answer)
            except ray.exceptions.RayTaskError as error:
                raise (error.cause if isinstance(error.cause, NegmineError) else error) from None
            except ray.exceptions.RayError as error:
                raise ResourceError(
                    f"actor {number} of {len(self.actors)}, which held a part of the corpus, died",
                    why=str(error).strip().splitlines()[0][:300],
                    fix="give the cluster more memory, or more --database-actors; the same command resumes",
                ) from None
            yield given


class _Server:
    """Answers from what it loaded; runs in an actor."""

    def __init__(self, load: Load, home: str) -> None:
        os.chdir(home)  # paths of a load may be relative
        self._answer = load()

    def answer(self, *question: object) -> object:
        return self._answer(*question)


# --- on the cluster --------------------------------------------------------------------------------------------------

_made: tuple[str, PartFunction] | None = None  # what this process has loaded: one phase at a time


def _make(name: str, phase: Phase, part: int, folder: str, home: str) -> PartRecord:
    """A part, in a task: models are loaded once a process."""
    global _made
    for path in (home, folder):
        if not Path(path).is_dir():
            raise ResourceError(
                "this machine of the cluster does not see the folder",
                where=f"{path} on {socket.gethostname()}",
                why="all machines read and write the same folders",
                fix="use a file system that they share",
            )
    os.chdir(home)  # paths of a phase may be relative
    if _made is None or _made[0] != name:
        _made = name, phase.setup()
    return _made[1](part, Path(folder))


# --- connecting ------------------------------------------------------------------------------------------------------


def connect(address: str | None, workers: int = 0) -> None:
    """See `RayEngine.connect`; does nothing in a process that is connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    try:
        import ray
    except ImportError as error:
        raise UsageError("Ray is not installed", why=str(error), fix="pip install 'negmine[ray]'") from None
    if ray.is_initialized():
        return
    quiet: dict[str, object] = {"log_to_driver": False, "logging_level": "error", "configure_logging": True}
    try:
        if address is None or address == "local":
            _check_shared_memory()
            size = min(MOST_SHARED, int(0.8 * _shared_memory()))
            ray.init(
                "local",
                num_cpus=workers or os.cpu_count() or 1,
                include_dashboard=False,
                object_store_memory=size,
                runtime_env={"env_vars": THREADS},
                **quiet,
            )
        else:
            _check_address(address)
            ray.init(address, runtime_env={"env_vars": THREADS}, **quiet)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise ResourceError(
            "Ray could not be started" if address is None else "the Ray cluster cannot be reached",
            where=address,
            why=str(error).strip().splitlines()[0][:300],
            fix="start it with `ray start --head`, with the Ray and Python versions of this machine, and give its "
            "HOST:PORT as --ray-address",
        ) from None


def _check_address(address: str) -> None:
    """Ask a port whether a gRPC server is there, as Ray's is: Ray itself would try for minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit() or "/" in host:
        raise UsageError(
            f"{address!r} is no address of a Ray cluster",
            fix="give HOST:PORT, as `ray start --head` printed it; the command runs on a machine of the cluster",
        )
    try:
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(_HELLO)
            if connection.recv(9)[3:4] != _SETTINGS:
                raise OSError("what answers there is not Ray")
    except (OSError, OverflowError) as error:
        raise ResourceError(
            "the Ray cluster cannot be reached",
            where=address,
            why=str(error),
            fix="check HOST:PORT and that `ray start --head` runs there; leave out --ray-address to use this machine",
        ) from None


def _shared_memory(place: str = "/dev/shm") -> int:
    """Free bytes of it."""
    try:
        found = os.statvfs(place)
    except OSError:
        return 0
    return found.f_bavail * found.f_frsize


def _check_shared_memory() -> None:
    free = _shared_memory()
    if free < LEAST_SHARED:
        raise ResourceError(
            "too little shared memory for Ray",
            where="/dev/shm",
            why=f"{free / 2**20:,.0f} MiB are free, {LEAST_SHARED / 2**20:,.0f} MiB are needed",
            fix="give the container more (docker run --shm-size=2g), free some, or use --engine local",
        )


def _slots(engine: RayEngine) -> int:
    """Parts that the cluster as it is now can make at once, one at least."""
    import ray

    have: dict[str, float] = ray.cluster_resources()
    wanted = {"CPU": engine.cpus, "GPU": engine.gpus}
    return max(1, min(int(have.get(name, 0) / number) for name, number in (*wanted.items(), ("", 0)) if number))


def _most(resource: str) -> float:
    """What the machine that has most of it has."""
    import ray

    nodes: list[Document] = ray.nodes()
    return max((float(node["Resources"].get(resource, 0)) for node in nodes if node["Alive"]), default=0.0)


def _check_room(engine: RayEngine) -> None:
    """Refuse what no machine of the cluster has; Ray would wait for it for ever."""
    for name, wanted in (("CPU", engine.cpus), ("GPU", engine.gpus)):
        most = _most(name)
        if wanted > most:
            raise ResourceError(
                f"a part wants {wanted:g} {name}s, and no machine of the cluster has more than {most:g}",
                fix=f"lower --{name.lower()}s, or add such a machine and try again",
            )


def _explained(error: object, folder: Path) -> NegmineError:
    """What a failed task means to a user; a bug of ours stays one, with its traceback."""
    import ray

    if isinstance(error, ray.exceptions.RayTaskError):
        cause = error.cause
        if isinstance(cause, NegmineError):
            return cause
        if isinstance(cause, MemoryError):
            return ResourceError("out of memory", fix="raise --cpus, so that fewer parts run on a machine")
        note(str(error))
        return NegmineError(
            f"{type(cause).__name__}: {cause}", fix="this is a bug; please report it with the traceback"
        )
    if isinstance(error, ray.exceptions.ObjectStoreFullError):
        return ResourceError("the shared memory of Ray is full", where="/dev/shm", fix="give its nodes more")
    first = str(error).strip().splitlines()[0][:300]
    return ResourceError(
        f"it ended {MAX_DEATHS} worker processes",
        where=str(folder),
        why=f"killed from outside, or out of memory: {first}",
        fix="raise --cpus, so that fewer parts run on a machine; the same command resumes",
    )
