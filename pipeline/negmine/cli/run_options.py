"""Options of all commands: where they work, and how they go."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

from negmine.base.options import Option
from negmine.store.options import DEFAULT_WORK, RUN, AsJson, Work

SAMPLE: Final = 256
"""Pairs that ``--dry-run`` works on."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """Where a command works, and how it goes."""

    work: Work = DEFAULT_WORK
    overwrite: Annotated[bool, Option("make it anew; else a run resumes", panel=RUN)] = False
    dry_run: bool = False
    as_json: AsJson = False


@dataclass(frozen=True, kw_only=True)
class TrialOptions(RunOptions):
    """Those of a command that can be tried."""

    dry_run: Annotated[bool, Option(f"show what {SAMPLE} pairs give; write nothing", panel=RUN)] = False


@dataclass(frozen=True, kw_only=True)
class PreviewOptions(RunOptions):
    """Those of a command that costs money."""

    dry_run: Annotated[
        bool, Option(f"show what {SAMPLE} pairs would ask, and cost; ask and write nothing", panel=RUN)
    ] = False
