"""What the other captions of an image say, for each of its captions: all that is said, less what only it says itself.

An image may have thousands of captions, so nothing here grows with their number for each of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import chain
from typing import Final, TypeVar

from negmine.stages.negatives.guards import Evidence

T = TypeVar("T")

FEW: Final = 64
"""Captions of an image up to which sets are subtracted at once; a set that is only looked up in is slower to ask."""


class AllBut(Set[T]):
    """A set without some of its members, which is not copied.

    Args:
        every: the set.
        but: some of its members.
    """

    __slots__ = ("_but", "_every")

    def __init__(self, every: frozenset[T], but: frozenset[T]) -> None:
        self._every, self._but = every, but

    def __contains__(self, member: object) -> bool:
        return member in self._every and member not in self._but

    def __iter__(self) -> Iterator[T]:
        return (member for member in self._every if member not in self._but)

    def __len__(self) -> int:
        return len(self._every) - len(self._but)

    def __or__(self, other: Set[T]) -> AllBut[T]:  # type: ignore[override]  # of members of one type
        return AllBut(self._every if other <= self._every else self._every | other, self._but - other)

    @classmethod
    def _from_iterable(cls, members: Iterable[T]) -> frozenset[T]:  # type: ignore[override]
        return frozenset(members)


def others_of(said: Mapping[str, Evidence]) -> dict[str, Evidence]:
    """For each caption of an image, what all its other captions say.

    Args:
        said: what each of its distinct captions says.
    """
    subtract = AllBut if len(said) > FEW else frozenset.difference
    fields = []
    for sets in zip(*said.values(), strict=True):
        times = Counter(chain.from_iterable(sets))
        every = frozenset(times)
        fields.append([subtract(every, frozenset(one for one in own if times[one] == 1)) for own in sets])
    return {text: Evidence(*sets) for text, *sets in zip(said, *fields, strict=True)}
