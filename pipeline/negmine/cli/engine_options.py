"""Where a command's parts are made: one set of options for all commands that have parts."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Final

from negmine.base.console import Summary, show
from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.store.share import JOINING, WHOLE, Share, ShareDone

if TYPE_CHECKING:
    from negmine.cli.run_options import RunOptions
    from negmine.engine import Engine

_PANEL: Final = "Where it runs"


@dataclass(frozen=True)
class EngineOptions:
    """The options, as a command gets them."""

    workers: Annotated[int, Option("parts made at once; 0: one a core", least=0, panel=_PANEL)] = 0
    engine: Annotated[
        str, Option("worker processes here (local), or a Ray cluster (ray)", one_of=("local", "ray"), panel=_PANEL)
    ] = "local"
    ray_address: Annotated[
        str | None, Option("HOST:PORT of the cluster, or auto; else Ray starts here", panel=_PANEL)
    ] = None
    cpus: Annotated[float, Option("of a part, for Ray", least=0, panel=_PANEL)] = 1
    gpus: Annotated[float, Option("of a part, for Ray", least=0, panel=_PANEL)] = 0
    stall_timeout: Annotated[
        float,
        Option(
            "minutes without a finished part that end a Ray run, or that a stopped worker here is given",
            least=0.01,
            panel=_PANEL,
        ),
    ] = 30
    rank: Annotated[int | None, Option("R: make every W-th part only, from R on", least=0, panel=_PANEL)] = None
    world_size: Annotated[int | None, Option("W, runs that share the work folder", least=1, panel=_PANEL)] = None
    merge: Annotated[bool, Option("join what the ranks made", hidden=True)] = False

    def __post_init__(self) -> None:
        check(self)

    @property
    def share(self) -> Share:
        """Which parts the run makes.

        Raises:
            UsageError: one of --rank and --world-size without the other, a rank that is none, or more than one engine.
        """
        if (self.rank is None) != (self.world_size is None):
            raise UsageError("--rank and --world-size go together", fix="for example --rank 0 --world-size 4")
        if self.rank is not None and self.world_size is not None:
            if self.rank >= self.world_size:
                raise UsageError(
                    f"there is no rank {self.rank} of {self.world_size}", fix=f"ranks are 0 to {self.world_size - 1}"
                )
            if self.engine == "ray":
                raise UsageError("--rank shares the work without Ray", fix="leave out --engine ray, or --rank")
            return Share(self.rank, self.world_size)
        return JOINING if self.merge else WHOLE

    def start(self) -> Engine:
        """The engine that was asked for.

        Raises:
            UsageError: Ray is not installed, or options do not go together.
            ResourceError: the cluster cannot be reached, or lacks what was asked for.
        """
        if self.engine == "ray":
            from negmine.engine.ray import RayEngine

            return RayEngine.connect(self.ray_address, self.workers, self.cpus, self.gpus, self.stall_timeout * 60)
        if self.ray_address is not None or self.gpus:
            raise UsageError("--ray-address and --gpus are for Ray", fix="add --engine ray, or leave them out")
        from negmine.engine.local import LocalEngine

        return LocalEngine(self.workers or os.cpu_count() or 1, self.share, self.stall_timeout * 60)


def _shared(command: str, where: EngineOptions, done: ShareDone) -> Summary:
    """What to say of a stage that is not finished yet, and needs the other runs."""
    again = shlex.join(["negmine", *_without_ranks(sys.argv[1:])])
    figures = dict(text.split(": ", 1) for text in done.args)
    if where.merge:
        again = again.replace("negmine merge", "negmine", 1)
        return Summary(
            command,
            "joined what the ranks made; it is not finished",
            figures,
            next_steps=(f"{again} --rank R --world-size W, for every R",),
        )
    step = again.replace("negmine ", "negmine merge ", 1)
    return Summary(
        command,
        f"rank {where.rank} of {where.world_size} has made its share",
        figures,
        next_steps=(f"{step}, when all ranks have ended",),
    )


def _without_ranks(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        name, value, _ = word.partition("=")
        if not skip and name not in ("--rank", "--world-size"):
            kept.append(word)
        skip = not skip and name in ("--rank", "--world-size") and not value
    return kept


def shares_work(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parts several runs may make."""

    @wraps(command)
    def run(*, how: RunOptions, where: EngineOptions, **values: object) -> None:
        if where.share != WHOLE and (how.overwrite or how.dry_run):
            raise UsageError(
                "--overwrite and --dry-run are for a run that makes all parts",
                why="ranks share a folder: none of them may clear it",
                fix="leave them out; to begin anew, delete the stage's folder first",
            )
        try:
            command(how=how, where=where, **values)
        except ShareDone as done:
            show(_shared(command.__name__, where, done), how.as_json)

    return run
