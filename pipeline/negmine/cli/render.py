"""``negmine render``."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from negmine.base.command import Given
from negmine.base.options import Option, Values
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run import Run
from negmine.cli.run_options import SAMPLE, TrialOptions
from negmine.stages.figures.settings import RenderSettings
from negmine.store import scratch
from negmine.store.options import DATA
from negmine.store.places import on_disk

CODE = 100
"""Groups that ``--code`` writes."""


@shares_work
def render(
    *,
    given: Annotated[Values, Given(RenderSettings)],
    code: Annotated[
        Path | None,
        Option(f"also write the first {CODE} groups as SVG, scripts and programs", parser=on_disk, panel=DATA),
    ] = None,
    how: TrialOptions,
    where: EngineOptions,
) -> None:
    """Draw figures with captions, and perturb them so that every other image and caption of a group is false.

    Examples:

        negmine render --domain scenes --count 5000

        negmine render --domain geometry --count 20000 --difficulty 5 --size 224
    """
    from negmine.stages.figures.export import write_code
    from negmine.stages.figures.geometry3k import read_records
    from negmine.stages.figures.stage import render as draw
    from negmine.stages.figures.summary import summary

    started, engine, settings = time.monotonic(), where.start(), RenderSettings(**given)
    if settings.records is not None:
        there = len(read_records(Path(settings.records)))
        settings = replace(settings, count=min(settings.count, there) if "count" in given else there)
    if how.dry_run:
        settings = replace(settings, count=min(settings.count, SAMPLE))
    with scratch() if how.dry_run else nullcontext(how.work) as folder:
        made = draw(settings, folder, engine, overwrite=how.overwrite)
        told = summary(made, settings.groups, how.work)
        if code is not None and not how.dry_run:
            written = {"members as code": write_code(folder / "figures", code, CODE)}
            told = replace(told, figures={**told.figures, **written})
        Run(folder, engine, made, started, how).show(told)
