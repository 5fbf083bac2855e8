"""``negmine merge``."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from negmine.base.errors import UsageError
from negmine.base.options import Option

SHARED: Final = ("parse", "retrieve", "render", "shard", "audit")
"""Commands whose parts may be made by several runs."""


def merge(
    context: typer.Context,
    command: Annotated[str, Option("parse, retrieve, render, shard or audit, with its arguments", argument=True)],
) -> None:
    """Join what ranks made of a stage, and go on to where they are needed again, or to its end.

    Name the command that the ranks ran, without --rank and --world-size. A stage of several phases needs its ranks
    several times, with a merge after each: see docs/scaling.md.

    Examples:

        negmine merge parse captions.json --images photos/

        negmine merge shard --out data/
    """
    if command not in SHARED:
        raise UsageError(f"negmine {command} has no ranks", fix=f"merge one of {', '.join(SHARED)}")
    status = context.find_root().command.main([command, *context.args, "--merge"], standalone_mode=False)
    if status:  # else a stopped merge has status 0
        raise typer.Exit(status)
