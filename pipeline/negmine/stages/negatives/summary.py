"""What is said of negatives that were made."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from negmine.base.console import Summary
from negmine.base.counts import under
from negmine.store import Manifest
from negmine.store.options import work_option


def summary(manifest: Manifest, work: Path) -> Summary:
    """The figures of a finished run, and what to do with them."""
    counts = manifest.counts
    none = under(counts, "none:")
    covered = counts["pairs"] - sum(none.values())
    figures = {
        "pairs": counts["pairs"],
        "with a negative": f"{covered:,} ({covered / max(counts['pairs'], 1):.1%})",
        "negatives": counts["negatives"],
        "by kind": under(counts, "kind:"),
        "refused by guard": _by_guard(counts),
        "no negative because": none,
    }
    steps = tuple(f"negmine {command}{work_option(work)}" for command in ("report", "retrieve", "shard"))
    return Summary("negmine parse", "done", figures, {"written to": str(work / "negatives")}, steps)


def _by_guard(counts: Mapping[str, int]) -> dict[str, int]:
    """``rejected:RULE:GUARD`` summed over rules."""
    total: Counter[str] = Counter()
    for name, n in under(counts, "rejected:").items():
        total[name.rpartition(":")[2]] += n
    return dict(sorted(total.items(), key=lambda item: (-item[1], item[0])))
