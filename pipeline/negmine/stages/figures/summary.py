"""What is said of figures that were drawn."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import Summary
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.settings import GEOMETRY3K, GroupSettings
from negmine.store import Manifest
from negmine.store.options import work_option


def summary(manifest: Manifest, settings: GroupSettings, work: Path) -> Summary:
    """The figures of a finished run, and what to do with them."""
    counts = manifest.counts
    figures = {
        "difficulty": level_name(settings),
        "groups": counts["groups"],
        "images": counts["members"],
        "negatives": counts["negatives"],
        f"groups with fewer than {settings.negatives}": counts["fewer_than_asked"],
        "by kind": counts.under("kind"),
        "by edit": counts.under("type"),
        "perturbed programs refused": counts.under("refused"),
    }
    here = work_option(work)
    steps = (f"negmine shard{here} --negatives {settings.negatives}", f"negmine audit{here}", f"negmine report{here}")
    return Summary("negmine render", "done", figures, {"written to": str(work / "figures")}, steps)


def level_name(settings: GroupSettings) -> str:
    """What a difficulty means in its domain; records are as difficult as they are."""
    if settings.domain == GEOMETRY3K:
        return "that of the records"
    return f"{settings.level}: {DOMAINS[settings.domain].levels[settings.level - 1]}"
