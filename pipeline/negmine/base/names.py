"""Names a user typed: found, or refused with the nearest ones."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from negmine.base.errors import UsageError


def pick(what: str, name: str, known: Iterable[str], or_else: str = "") -> str:
    """`name` if it is known.

    Args:
        or_else: what may be done instead of choosing one.

    Raises:
        UsageError: it is not; the message holds the nearest names, or all of them if they are few.
    """
    options = sorted(known)
    if name in options:
        return name
    near = get_close_matches(str(name), options, n=3, cutoff=0.5)
    listed = options if len(options) <= 12 else [*options[:12], f"... ({len(options)} in all)"]
    raise UsageError(
        f"unknown {what} {name!r}",
        why=f"the nearest: {', '.join(near)}" if near else None,
        fix=f"choose one of: {', '.join(listed)}{f', {or_else}' if or_else else ''}" if listed else or_else or None,
    )
