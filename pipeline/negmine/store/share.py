"""How several runs share a stage: every one makes some of the parts, and one joins what they made."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Share:
    """Which parts of a stage this run makes.

    Attributes:
        rank: from 0; None for the run that makes no part and joins what the ranks made.
        count: W, ranks in all.
    """

    rank: int | None = 0
    count: int = 1

    @property
    def is_rank(self) -> bool:
        """Whether others make the rest."""
        return self.rank is not None and self.count > 1

    def holds(self, part: int) -> bool:
        return self.rank is not None and part % self.count == self.rank

    def __str__(self) -> str:
        return f"{self.rank}-of-{self.count}"


WHOLE: Final = Share()
JOINING: Final = Share(None)


class ShareDone(Exception):
    """Not an error: this run did what it could, and the stage goes on when the others did."""


def run_all(steps: Iterable[Callable[[], T]]) -> list[T]:
    """Results of steps that do not need each other.

    Raises:
        ShareDone: after the last of them, if one was only shared.
    """
    results, shared = list[T](), list[str]()
    for step in steps:
        try:
            results.append(step())
        except ShareDone as done:
            shared += [text for text in done.args if text not in shared]
    if shared:
        raise ShareDone(*shared)
    return results
