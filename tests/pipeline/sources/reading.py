"""What a source gives, its notes apart."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from negmine.contract.records import Rejected
from negmine.sources import Noted, Row, Source


def read_all(source: Source, path: Path | str) -> tuple[list[Row | Rejected], Counter[str]]:
    """Rows and refusals in their order, and what was noted, as the manifest counts it."""
    rows, noted = list[Row | Rejected](), Counter[str]()
    for one in source.read(str(path)):
        if isinstance(one, Noted):
            noted[str(one)] += one.number
        else:
            rows.append(one)
    return rows, noted
