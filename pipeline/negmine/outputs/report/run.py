"""``negmine report``: read, measure, make the page, write it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from negmine.base.addresses import address_of
from negmine.base.console import Summary
from negmine.base.documents import Document
from negmine.base.errors import DamagedError
from negmine.contract.training_runs import read_runs
from negmine.outputs.report.measure import measure
from negmine.outputs.report.page import make_page
from negmine.outputs.report.read import draw_examples, open_work
from negmine.outputs.report.settings import ReportSettings
from negmine.outputs.report.work_context import Audited, WorkView
from negmine.stages.audit.measure import kinds_from_json
from negmine.stages.audit.stage import DATA, STAGE
from negmine.store import folder_at, write_output
from negmine.store.places import option
from negmine.store.work_folder import Stage

PAGE: Final = "report.html"


def write_report(settings: ReportSettings, out: Path) -> dict[str, object]:
    """Write the page to the file `out`; returns figures for the summary.

    Raises:
        UsageError: a folder that is no run.
        DamagedError: the work folder has no pairs, or something in it is damaged.
        ResourceError: the page cannot be written.
    """
    runs = read_runs(settings.runs)
    view = None if settings.work is None else _view(settings.work, settings)
    page = make_page(view, runs, _title(settings))
    written = write_output(out, lambda stream: stream.write(page.text.encode()))
    figures: dict[str, object] = {}
    if view is not None:
        album = page.album
        figures = {
            "pairs shown": len(view.examples),
            "images": len(album.urls),
            "pixels of their longer side": album.side,
            "images left out": dict(album.missing),
        }
    return figures | ({"runs": len(runs)} if runs else {}) | {"MB": round(written.bytes / 1e6, 2)}


def summary(figures: Mapping[str, object], path: Path) -> Summary:
    """What is said of a page that was written."""
    steps = () if address_of(path) else (f"xdg-open {option(path)}",)
    return Summary("negmine report", "done", figures, {"written to": str(path)}, steps)


def _view(path: Path, settings: ReportSettings) -> WorkView:
    work = open_work(path)
    examples = draw_examples(work, settings.examples, settings.seed)
    roots = {"pairs": settings.images or work.image_root, "figures": str(path / Stage.FIGURES)}
    return WorkView(work, examples, measure(work), _audited(path / STAGE), roots, settings.seed)


def _audited(folder: Path) -> Audited | None:
    path = folder / DATA
    if DATA not in folder_at(folder).sizes():
        return None
    try:
        body: Document = json.loads(folder_at(folder).text(DATA))
        return Audited(kinds_from_json(body), tuple(map(str, body["notes"])))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DamagedError(
            "the audit cannot be read",
            where=str(path),
            why=repr(error),
            fix="run negmine audit again, or delete the file",
        ) from None


def _title(settings: ReportSettings) -> str:
    if settings.work is not None:
        return settings.work.resolve().name
    return "training runs"
