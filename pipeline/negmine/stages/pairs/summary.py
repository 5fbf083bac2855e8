"""What is said of PAIRS that were read."""

from __future__ import annotations

from negmine.base.counts import Counts


def reading(counts: Counts) -> dict[str, object]:
    """How the input was read, and what became of its rows."""
    return {
        "rows read": counts["rows"],
        **_choices(counts),
        "rows rejected": counts.under("rejected"),
        "noted while reading": {name: n for name, n in counts.under("noted").items() if ":" not in name},
        "captions changed": counts.under("changed"),
        "image ids changed": counts.under("image_id"),
    }


def _choices(counts: Counts) -> dict[str, object]:
    """Where something had to be chosen."""
    figures: dict[str, object] = {}
    for title, group in (("columns", "noted:columns"), ("images in", "noted:folder")):
        found = counts.under(group)
        if found:
            files = {name: f"{n:,} files" if n > 1 else "1 file" for name, n in found.items()}
            figures[title] = next(iter(found)) if len(found) == 1 else files
    if few := counts["different_captions"]:
        figures["different captions"] = few
    return figures
