"""Rows of a stage by key, whichever part they lie in."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from negmine.store import read_part


def rows_by_key(
    folder: Path, parts: Iterable[int], keys: Collection[str], columns: Sequence[str] | None = None
) -> dict[str, list[dict[str, Any]]]:
    """The rows with these keys, in their order, by key.

    Args:
        parts: those that are looked through.
        columns: what is read, ``key`` among it; None for all.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    names, found = pa.array(sorted(keys), pa.string()), dict[str, list[dict[str, Any]]]()
    for part in parts if keys else ():
        held = pc.is_in(read_part(folder, part, ["key"])["key"], names)
        if pc.any(held).as_py():
            for row in read_part(folder, part, columns and list(columns)).filter(held).to_pylist():
                found.setdefault(row["key"], []).append(row)
    return found
