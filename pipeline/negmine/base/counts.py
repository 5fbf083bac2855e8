"""Counts by name, where ``group:name`` is one of a group."""

from __future__ import annotations

from collections.abc import Mapping


def under(counts: Mapping[str, int], prefix: str) -> dict[str, int]:
    """The counts of a group (``kind:``), by the rest of their names, the largest first; zeros are left out."""
    found = {name.removeprefix(prefix): n for name, n in counts.items() if name.startswith(prefix) and n}
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
