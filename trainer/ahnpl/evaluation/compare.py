"""One model against another on the same items: what was gained, and what was forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from negmine.base.errors import InputError

from ahnpl.evaluation.metrics import RIGHT, Accuracy, Marks, Measure, sign_test
from ahnpl.evaluation.run import Report

ALL: Final = "all"


@dataclass(frozen=True)
class Change:
    """How a share of right answers moved, item by item.

    Attributes:
        gained: items wrong before and right now.
        lost: items right before and wrong now: forgotten.
    """

    before: Accuracy
    now: Accuracy
    gained: int
    lost: int

    @property
    def difference(self) -> float:
        """In shares; negative is worse."""
        return self.now.share - self.before.share

    @property
    def p(self) -> float:
        """Exact two-sided sign test of the items that changed; it takes items for independent."""
        return sign_test(self.gained, self.lost)


def compare(before: Report, now: Report) -> dict[str, dict[str, Change]]:
    """Changes by measure and kind, and over all kinds of a measure under `ALL`.

    Raises:
        InputError: the reports are not of the same items.
    """
    return {new.name: dict(_changes(before.measure(new.name), new)) for new in now.measures}


def _changes(before: Measure, now: Measure) -> Iterator[tuple[str, Change]]:
    if before.kinds.keys() != now.kinds.keys():
        raise InputError(f"the two models were not asked the same: {now.name}")
    changes = {kind: _change(before.kinds[kind], marks) for kind, marks in now.kinds.items()}
    gained, lost = (sum(getattr(change, name) for change in changes.values()) for name in ("gained", "lost"))
    yield from changes.items()
    yield ALL, Change(before.micro, now.micro, gained, lost)


def _change(before: Marks, now: Marks) -> Change:
    if before.images != now.images:
        raise InputError("the two models were not asked about the same images")
    flips = [(old == RIGHT, new == RIGHT) for old, new in zip(before.outcomes, now.outcomes, strict=True)]
    return Change(before.accuracy, now.accuracy, flips.count((False, True)), flips.count((True, False)))
