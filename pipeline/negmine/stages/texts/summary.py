"""What is said of texts that were imported."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import Summary
from negmine.store import Manifest
from negmine.store.options import work_option
from negmine.store.texts import texts_stage


def summary(manifest: Manifest, name: str, work: Path) -> Summary:
    """The figures of an import, and what to do with the texts."""
    counts = manifest.counts
    figures = {
        "texts in the table": counts["offers"],
        "texts": counts["texts"],
        "of which true": counts["true"],
        "pairs": counts["pairs"],
        "with a text": f"{counts['with_texts']:,} ({counts.share('with_texts', of='pairs'):.1%})",
        "joined by": counts.under("by"),
        "by kind": counts.under("kind"),
        **({"pictures": counts["pictures"]} if counts["pictures"] else {}),
        "pictures refused": counts.under("picture_refused"),
        "rejected": counts.under("rejected"),
    }
    steps = (f"negmine parse PAIRS --preset imported --texts {name}{work_option(work)}",)
    return Summary("negmine import", "done", figures, {"written to": str(work / texts_stage(name))}, steps)
