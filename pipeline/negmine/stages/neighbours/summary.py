"""What is said of neighbours that were mined, and of batches that were planned from them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from negmine.base.addresses import address_of
from negmine.base.console import Summary
from negmine.base.counts import Counts
from negmine.stages.neighbours.report import EXAMPLES_FILE, score_figures
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import STAGE
from negmine.store import Manifest
from negmine.store.options import work_option
from negmine.store.places import option


def summary(figures: Mapping[str, object], work: Path, *, plan: bool) -> Summary:
    """The figures of `mined` and `planned`, and what to do with them."""
    shard = f"negmine shard{work_option(work)}{' --plan' * plan}"
    look = () if address_of(work) else (f"xdg-open {option(work / STAGE / EXAMPLES_FILE)}",)
    return Summary("negmine retrieve", "done", figures, {"written to": str(work / STAGE)}, (shard, *look))


def mined(manifest: Manifest, settings: RetrieveSettings, work: Path) -> dict[str, object]:
    """The figures of a finished run, which reconcile: candidates = kept + refused, kept = selected + not drawn."""
    counts = manifest.counts
    return {
        "pairs": counts["pairs"],
        **_recall(counts, settings),
        "candidates": counts["candidates"],
        "refused": counts.under("refused"),
        "kept": counts["kept"],
        "selected": counts["selected"],
        "not drawn": counts["kept"] - counts["selected"],
        f"pairs with fewer than {settings.neighbours} selected": counts["fewer_than_asked"],
        **({"selected at random (--refill)": counts["refilled"]} if settings.refill else {}),
        **score_figures(work / STAGE, len(manifest.parts), settings.neighbours),
    }


def _recall(counts: Counts, settings: RetrieveSettings) -> dict[str, str]:
    if not counts["recall_exact"]:
        return {}
    share = counts.share("recall_found", of="recall_exact")
    return {f"recall@{settings.candidates} of --index {settings.index}": f"{share:.2%}, measured"}


def planned(manifest: Manifest) -> dict[str, object]:
    """The figures of a plan: for training = planned + left over."""
    counts = manifest.counts
    figures: dict[str, object] = {
        "batches": counts["batches"],
        "pairs for training": counts["for_training"],
        "planned": counts["planned"],
        "left over": counts["left"],
    }
    for name, title in (("planned", "mean similarity in a batch"), ("by_chance", "the same in random batches")):
        mean = counts.mean(name)
        if mean is not None:
            figures[title] = round(mean, 4)
    return figures
