"""What is said of positives that were made."""

from __future__ import annotations

from dataclasses import replace

from negmine.base.console import Summary
from negmine.store import Manifest


def with_positives(summary: Summary, manifest: Manifest) -> Summary:
    """What is said of the negatives, and of these positives."""
    counts = manifest.counts
    covered = counts["with_positives"]
    figures: dict[str, object] = {
        "with a positive": f"{covered:,} ({covered / max(counts['pairs'], 1):.1%})",
        "positives": counts["positives"],
        "positives by kind": counts.under("kind"),
    }
    if counts["denied"]:
        figures["true denials beside false ones"] = (
            f"{counts['answered']:,} of {counts['denied'] - counts['affirmed']:,}"
        )
    return replace(summary, figures={**summary.figures, **figures})
