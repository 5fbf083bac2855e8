"""``negmine report``."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from negmine.base import console
from negmine.base.options import Option
from negmine.outputs.report.settings import ReportSettings
from negmine.store.folder import file_place
from negmine.store.options import DATA, DEFAULT_WORK, AsJson


def report(
    settings: ReportSettings,
    out: Annotated[
        Path | None,
        Option(
            "the page, or its address", parser=file_place, unset="report.html, in --work if there is one", panel=DATA
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show pairs, negatives, neighbours and training runs on one HTML page that needs no network.

    Examples:

        negmine report

        negmine report runs/*

        negmine report runs/tiny-ahnpl --work work/ --examples 500
    """
    from negmine.outputs.report.run import PAGE, summary, write_report

    started = time.monotonic()
    settings = replace(settings, work=settings.work or (None if settings.runs else DEFAULT_WORK))
    path = out or (settings.work or Path()) / PAGE
    figures = write_report(settings, path)
    figures["seconds"] = round(time.monotonic() - started, 1)
    console.show(summary(figures, path), as_json)
