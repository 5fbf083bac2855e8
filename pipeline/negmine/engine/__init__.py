"""Run a phase: map a function over parts, on workers, and enter each finished part in the store.

An engine knows nothing of stages, and a stage nothing of engines: they meet in `Phase`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Final, Protocol

from negmine.base.console import progress
from negmine.base.errors import NegmineError
from negmine.store import WHOLE, Manifest, PartRecord, Share, Spec, Store

PartFunction = Callable[[int, Path], PartRecord]
"""Makes part `index` in `folder`, its files written through `negmine.store.write_file`."""


class Phase(Protocol):
    """A picklable description of work; equal phases make equal bytes for a part, in any process."""

    def setup(self) -> PartFunction:
        """Load what the work needs, once a process."""
        ...


Load = Callable[[], Callable[..., Any]]
"""Loads what a server holds, and gives the function that answers from it, of a type that whoever asks knows; run once,
in the server."""


class Served(Protocol):
    """Servers that are up, each of which holds something; may be pickled into a phase."""

    def ask(self, *question: object) -> Iterator[Any]:
        """The answer of every server, in the order of their loads.

        Raises:
            ResourceError: one of them died.
        """
        ...


Serve = Callable[[Sequence[Load]], AbstractContextManager[Served]]
"""Starts a server for each of the loads.

Raises:
    ResourceError: there is no room for them, and for a part beside them.
"""


class Engine(Protocol):
    """Runs phases somewhere.

    Attributes:
        share: which parts this run makes.
        at_once: parts that one machine makes at the same time, at most.
        serve: keeps things in memory for all parts; None for an engine that cannot.
    """

    @property
    def share(self) -> Share: ...

    @property
    def at_once(self) -> int: ...

    @property
    def serve(self) -> Serve | None: ...

    def run(self, phase: Phase, folder: Path, parts: Sequence[int]) -> Iterator[PartRecord]:
        """Make the parts, in any order, and yield each once its files are on the disk."""
        ...


SAVED: Final = "what was finished is saved; the same command makes only what is missing"


def of_part(error: BaseException, part: int, folder: Path, others: int = 0) -> BaseException:
    """The error of a part, with the part's name; a bug of ours stays one.

    Args:
        others: parts that failed too.
    """
    if not isinstance(error, NegmineError):
        error.add_note(f"part {part} of {folder}")
        return error
    more = f" (and {others} more part{'s' if others > 1 else ''} failed)" if others else ""
    return type(error)(
        f"part {part}: {error.what}{more}", where=error.where or str(folder), why=error.why, fix=error.fix or SAVED
    )


def run_stage(
    folder: Path,
    spec: Spec,
    make: Callable[[Store], Manifest],
    share: Share | None,
    *,
    overwrite: bool = False,
    names: Sequence[str] | None = None,
) -> Manifest:
    """What `make` leaves in the folder of a stage, or of a phase with results of its own, unless it is there.

    Args:
        make: runs the phases on the open store, and finishes it.
        share: which parts this run makes; None for what one of several ranks makes while the others wait.
        names: see `Store.open`.

    Raises:
        ResourceError: another run holds the folder.
        DamagedError: it holds results of other settings or other input, and `overwrite` is off.
    """
    with Store.open(folder, spec, share or WHOLE, overwrite=overwrite, waits=share is None, names=names) as store:
        return store.manifest or make(store)


def run_phase(store: Store, phase: Phase, engine: Engine, parts: int, *, title: str, unit: str, total: int) -> None:
    """Make what is missing of a store's parts, as far as they are this run's to make.

    Args:
        parts: how many there are in all.
        unit: what is counted, e.g. ``pairs``: a key of each part's counts.
        total: of these, in all parts.

    Raises:
        ShareDone: other runs make the rest.
        DamagedError: they were joined too early.
    """
    total = total // store.share.count
    done = sum(part.counts.get(unit, 0) for part in store.parts.values())
    with progress(title, total, unit, done) as bar:
        for part in engine.run(phase, store.folder, store.missing(parts)):
            store.commit(part)
            bar.advance(part.counts.get(unit, 0))
    store.check_joined(parts, title)
