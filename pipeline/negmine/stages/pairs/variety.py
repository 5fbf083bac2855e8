"""Notices a column that is not the captions'."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from negmine.contract.records import Rejected
from negmine.sources import Noted, Row

_FEW: Final = 1_000
"""Different captions that are counted; no input of captions has so few for each hundred."""


class Variety:
    """Notices an input whose captions are nearly all the same, as a column of questions is."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._captions = 0

    def watch(self, rows: Iterator[Row | Rejected | Noted]) -> Iterator[Row | Rejected | Noted]:
        """The same rows."""
        for row in rows:
            if isinstance(row, Row):
                self._captions += 1
                if len(self._seen) < _FEW:
                    self._seen.add(row.caption)
            yield row

    @property
    def counts(self) -> dict[str, int]:
        """``different_captions``, where they are few."""
        few = self._captions >= 5 and len(self._seen) <= max(1, self._captions // 100) and len(self._seen) < _FEW
        return {"different_captions": len(self._seen)} if few else {}
