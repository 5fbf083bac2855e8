"""What is said of PAIRS that were read."""

from __future__ import annotations

from collections.abc import Mapping

from negmine.base.counts import under


def reading(counts: Mapping[str, int]) -> dict[str, object]:
    """How the input was read, and what became of its rows."""
    return {
        "rows read": counts["rows"],
        **_choices(counts),
        "rows rejected": under(counts, "rejected:"),
        "noted while reading": {name: n for name, n in under(counts, "noted:").items() if ":" not in name},
        "captions changed": under(counts, "changed:"),
        "image ids changed": under(counts, "image_id:"),
    }


def _choices(counts: Mapping[str, int]) -> dict[str, object]:
    """Where something had to be chosen."""
    figures: dict[str, object] = {}
    for title, prefix in (("columns", "noted:columns:"), ("images in", "noted:folder:")):
        found = under(counts, prefix)
        if found:
            files = {name: f"{n:,} files" if n > 1 else "1 file" for name, n in found.items()}
            figures[title] = next(iter(found)) if len(found) == 1 else files
    if few := counts.get("different_captions"):
        figures["different captions"] = few
    return figures
