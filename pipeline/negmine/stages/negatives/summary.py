"""What is said of negatives that were made."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import Summary
from negmine.base.counts import Counts
from negmine.store import Manifest
from negmine.store.options import work_option


def summary(manifest: Manifest, work: Path) -> Summary:
    """The figures of a finished run, and what to do with them."""
    counts = manifest.counts
    none = counts.under("none")
    covered = counts["pairs"] - sum(none.values())
    figures = {
        "pairs": counts["pairs"],
        "with a negative": f"{covered:,} ({covered / max(counts['pairs'], 1):.1%})",
        "negatives": counts["negatives"],
        "by kind": counts.under("kind"),
        **_served(counts),
        "refused by guard": _by_guard(counts),
        "no negative because": none,
        **_of_texts(manifest),
    }
    steps = tuple(f"negmine {command}{work_option(work)}" for command in ("report", "retrieve", "shard"))
    return Summary("negmine parse", "done", figures, {"written to": str(work / "negatives")}, steps)


def _served(counts: Counts) -> dict[str, dict[str, str]]:
    """How many of the captions that admit a kind got one of it; of a balanced choice only."""
    admits = counts.under("admits")
    served = {kind: f"{counts.share(f'gets:{kind}', of=f'admits:{kind}'):.0%} of {n:,}" for kind, n in admits.items()}
    return {"captions that admit a kind and get it": served} if served else {}


def _of_texts(manifest: Manifest) -> dict[str, dict[str, int]]:
    """What became of the texts by others, source by source."""
    counts, told = manifest.counts, dict[str, dict[str, int]]()
    names = manifest.spec.settings.get("texts")
    for name in names if isinstance(names, list | tuple) else ():
        refused = {f"refused: {guard}": n for guard, n in counts.under(f"rejected:{name}").items()}
        flagged = {f"kept though: {guard}": n for guard, n in counts.under(f"flagged:{name}").items()}
        told[f"of {name}"] = {
            "offered": counts[f"proposed:{name}"],
            **refused,
            **flagged,
            "candidates": counts[f"accepted:{name}"],
        }
    return told


def _by_guard(counts: Counts) -> dict[str, int]:
    """``rejected:RULE:GUARD`` summed over rules."""
    total = Counts()
    for name, n in counts.under("rejected").items():
        total.add("guard", name.rpartition(":")[2], n)
    return total.under("guard")
