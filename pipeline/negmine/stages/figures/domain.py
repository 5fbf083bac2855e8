"""What a domain of figures is: the functions that the shared machinery calls, and the words between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, NamedTuple

from negmine.stages.figures.canvas import Drawing, Style
from negmine.stages.figures.program import Program

Verdict = bool | None
"""True, false beyond doubt, or None: too close to call. Undecided never counts as false."""

Figure = Any
"""A realised program, as the oracle sees it: each domain has a type of its own."""


class Claim(NamedTuple):
    """Something a caption says: a predicate, what of, and which value.

    Attributes:
        what: the predicate.
        of: point letters (geometry) or noun phrases (scenes); empty for a figure without letters.
        value: what is said.
    """

    what: str
    of: tuple[str, ...]
    value: str


class Edit(NamedTuple):
    """One slot of a program changed.

    Attributes:
        type: the domain's own name of the edit.
        kind: of `negmine.contract.records.KINDS`.
        tier: 0 topology, 1 class and relation, 2 marks and styles, 3 letters, 4 numbers.
        slot: which statement and field.
        old, new: its values, as text.
    """

    type: str
    kind: str
    tier: int
    slot: str
    old: str
    new: str


Proposal = tuple[Edit, Program]

Editor = Callable[[Program, Random], "Proposal | None"]
"""Tries one edit of its type; None where the program has no such slot."""


@dataclass(frozen=True)
class Domain:
    """One kind of figures.

    Attributes:
        name: for ``--domain``.
        levels: names of the difficulties, the easiest first; level 1 is the first.
        sample: a program of a level (1 to 5).
        editors: by edit type; those that suit a level.
        realise: program to figure; raises ValueError where the program has none.
        claims: what the caption of a program says.
        judge: the oracle.
        drawing: figure to drawing.
        templates: predicate to two or more ways to say it.
        converse: a claim told from its other side ("a left of b": "b right of a"); None where it has only one.
        skeleton: what a program is made of, for the split.
        style: how a group is drawn.
        statements: by name.
    """

    name: str
    levels: Sequence[str]
    sample: Callable[[Random, int], Program]
    editors: Callable[[int], Mapping[str, Editor]]
    realise: Callable[[Program], Figure]
    claims: Callable[[Program], tuple[Claim, ...]]
    judge: Callable[[Claim, Figure], Verdict]
    drawing: Callable[[Figure, Style], Drawing]
    templates: Mapping[str, Sequence[Callable[[Claim], str]]]
    skeleton: Callable[[Program], str]
    style: Callable[[Random], Style]
    statements: Mapping[str, type]
    converse: Callable[[Claim], Claim | None] = lambda claim: None


def every(verdicts: Iterable[Verdict]) -> Verdict:
    """And, in three values."""
    found = list(verdicts)
    if any(verdict is False for verdict in found):
        return False
    return None if any(verdict is None for verdict in found) else True


def some(verdicts: Iterable[Verdict]) -> Verdict:
    """Or, in three values; False of nothing."""
    found = list(verdicts)
    if any(verdict is True for verdict in found):
        return True
    return None if any(verdict is None for verdict in found) else False


def no(verdict: Verdict) -> Verdict:
    """Not, in three values."""
    return None if verdict is None else not verdict


def within(value: float, true: float, false: float) -> Verdict:
    """True up to the tolerance `true`, false from the margin `false` on, undecided between."""
    if value <= true:
        return True
    return False if value >= false else None
