"""What is said of positives that were made."""

from __future__ import annotations

from dataclasses import replace

from negmine.base.console import Summary
from negmine.store import Manifest


def with_positives(summary: Summary, manifest: Manifest) -> Summary:
    """What is said of the negatives, and of these positives."""
    counts = manifest.counts
    covered = counts["with_positives"]
    figures = {
        "with a positive": f"{covered:,} ({covered / max(counts['pairs'], 1):.1%})",
        "positives": counts["positives"],
        "positives by kind": counts.under("kind"),
    }
    return replace(summary, figures={**summary.figures, **figures})
