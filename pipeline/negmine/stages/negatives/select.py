"""Which of a caption's candidates become its negatives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from random import Random
from typing import Final, NamedTuple

from negmine.contract.records import Edit
from negmine.stages.negatives.proposal import Filling

MOST_PER_WORD: Final = 2
"""Negatives of one caption that may edit the same word."""

SWAPS: Final = "swap"
"""What the names of the rules begin with that exchange two things of a caption."""


class Candidate(NamedTuple):
    """A negative that passed every guard.

    Attributes:
        kind: of `KINDS`; the rule's, or that of a text by others.
        focus: the tokens it edits, repairs aside.
        substitution, filling: see `negmine.stages.negatives.proposal.Proposal`.
        source: of a text by others; "" for a rule's, which is called as its kind.
    """

    kind: str
    negative: str
    edits: tuple[Edit, ...]
    focus: tuple[int, ...]
    substitution: tuple[str, str] | tuple[()] = ()
    filling: Filling | None = None
    source: str = ""

    @property
    def rule(self) -> str:
        return self.source or self.kind


def select(candidates: Iterable[Candidate], count: int, rng: Random) -> list[Candidate]:
    """At most `count` candidates: one of each kind in turn, at most two that edit the same word.

    Within a kind they come in the order given. Swaps lead because few captions admit one.
    """
    queues = _queues(candidates)
    order = list(queues)
    rng.shuffle(order)
    order.sort(key=lambda kind: not kind.startswith(SWAPS))
    chosen: list[Candidate] = []
    edited: Counter[int] = Counter()
    while len(chosen) < count and any(queues.values()):
        for kind in order:
            candidate = _next(queues[kind], edited)
            if candidate is not None and len(chosen) < count:
                chosen.append(candidate)
                edited.update(candidate.focus)
    return chosen


def _queues(candidates: Iterable[Candidate]) -> Mapping[str, list[Candidate]]:
    queues: dict[str, list[Candidate]] = {}
    for candidate in sorted(candidates, key=lambda candidate: candidate.kind):
        queues.setdefault(candidate.kind, []).append(candidate)
    return queues


def _next(queue: list[Candidate], edited: Mapping[int, int]) -> Candidate | None:
    """Take the first candidate of the queue, one about a new word if there is one; those of worn-out words are gone."""
    queue[:] = [candidate for candidate in queue if _wear(candidate.focus, edited) < MOST_PER_WORD]
    if not queue:
        return None
    best = min(range(len(queue)), key=lambda i: (_wear(queue[i].focus, edited), i))
    return queue.pop(best)


def _wear(focus: Sequence[int], edited: Mapping[int, int]) -> int:
    return max(edited.get(token, 0) for token in focus)
