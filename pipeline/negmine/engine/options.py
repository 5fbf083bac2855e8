"""Where a command's parts are made: one set of options for all commands that have parts."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, get_type_hints

import typer

from negmine.console import Summary, show
from negmine.errors import UsageError
from negmine.store.share import JOINING, WHOLE, Share, ShareDone

if TYPE_CHECKING:
    from negmine.engine import Engine

_PANEL: Final = "Where it runs"


@dataclass(frozen=True)
class EngineOptions:
    """The options, as a command gets them."""

    workers: Annotated[int, typer.Option(min=0, help="parts made at once; 0: one a core", rich_help_panel=_PANEL)] = 0
    engine: Annotated[
        Literal["local", "ray"], typer.Option(help="worker processes here, or a Ray cluster", rich_help_panel=_PANEL)
    ] = "local"
    ray_address: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the cluster, or auto; else Ray starts here", rich_help_panel=_PANEL),
    ] = None
    cpus: Annotated[float, typer.Option(min=0, help="of a part, for Ray", rich_help_panel=_PANEL)] = 1
    gpus: Annotated[float, typer.Option(min=0, help="of a part, for Ray", rich_help_panel=_PANEL)] = 0
    stall_timeout: Annotated[
        float,
        typer.Option(
            min=0.01,
            help="minutes without a finished part that end a Ray run, or that a stopped worker here is given",
            rich_help_panel=_PANEL,
        ),
    ] = 30
    rank: Annotated[
        int | None, typer.Option(min=0, help="R: make every W-th part only, from R on", rich_help_panel=_PANEL)
    ] = None
    world_size: Annotated[
        int | None, typer.Option(min=1, help="W, runs that share the work folder", rich_help_panel=_PANEL)
    ] = None
    merge: Annotated[bool, typer.Option("--merge", hidden=True)] = False

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
            command, "joined what the ranks made; it is not finished", figures,
            next_steps=(f"{again} --rank R --world-size W, for every R",),
        )  # fmt: skip
    step = again.replace("negmine ", "negmine merge ", 1)
    return Summary(
        command, f"rank {where.rank} of {where.world_size} has made its share", figures,
        next_steps=(f"{step}, when all ranks have ended",),
    )  # fmt: skip


def _without_ranks(words: list[str]) -> list[str]:
    kept, skip = [], False
    for word in words:
        name, value, _ = word.partition("=")
        if not skip and name not in ("--rank", "--world-size"):
            kept.append(word)
        skip = not skip and name in ("--rank", "--world-size") and not value
    return kept


def takes_engine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `EngineOptions` in place of its parameter ``where``."""
    names = [field.name for field in fields(EngineOptions)]
    hints = get_type_hints(command, include_extras=True)
    types = get_type_hints(EngineOptions, include_extras=True, localns={"Engine": Any})
    own = [one.replace(annotation=hints[one.name]) for one in inspect.signature(command).parameters.values()]
    by_name = inspect.Parameter.KEYWORD_ONLY
    given = [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=types[field.name]
        )
        for field in fields(EngineOptions)
    ]

    @wraps(command)
    def run(**values: Any) -> None:
        where = EngineOptions(**{name: values.pop(name) for name in names})
        if where.share != WHOLE and (values.get("overwrite") or values.get("dry_run")):
            raise UsageError(
                "--overwrite and --dry-run are for a run that makes all parts",
                why="ranks share a folder: none of them may clear it",
                fix="leave them out; to begin anew, delete the stage's folder first",
            )
        try:
            command(**values, where=where)
        except ShareDone as done:
            show(_shared(f"negmine {command.__name__}", where, done), values["as_json"])

    chosen = [one.replace(kind=by_name) for one in own if one.name != "where"]
    run.__signature__ = inspect.Signature([*chosen, *given], return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in (*chosen, *given)}
    return run
