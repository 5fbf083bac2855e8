"""The oracle of scenes: is a claim true of what is drawn? Noun phrases mean "some": *a red circle* is any of them.

Of several things that a phrase fits, one that makes a relation true is enough; it is false if all fail beyond doubt.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import product
from typing import Final

from negmine.stages.figures.domain import Claim, Verdict, every, no, some, within
from negmine.stages.figures.scenes.figure import Item, Scene

ANY: Final = "object"
SMALL, LARGE = 0.085, 0.11
"""Half a side: small up to the first, large from the second on."""

TURN: Final = (25.0, 65.0)
"""Degrees off a direction: in it up to the first, not in it from the second on."""

DIRECTIONS: Final[Mapping[str, complex]] = {"left of": -1, "right of": 1, "above": -1j, "below": 1j}
EXTREMES: Final[Mapping[str, complex]] = {"leftmost": -1, "rightmost": 1, "highest": -1j, "lowest": 1j}


def judge(claim: Claim, scene: Scene) -> Verdict:
    """True, false, or None where it is too close to call.

    Raises:
        KeyError: a predicate that the oracle does not know.
    """
    return _PREDICATES[claim.what](scene, claim.value, *claim.of)


def fitting(scene: Scene, phrase: str) -> list[Item]:
    """The things that a noun phrase fits: each of its words is one of theirs."""
    asked = frozenset(phrase.split())
    return [item for item in scene.items if asked <= words_of(item)]


def words_of(item: Item) -> frozenset[str]:
    """Everything that one word can say of a thing."""
    return _words(item.shape, item.colour, item.pattern, item.half)


@lru_cache(4096)
def _words(shape: str, colour: str, pattern: str, half: float) -> frozenset[str]:
    size = {"small"} if half <= SMALL else {"large"} if half >= LARGE else set()
    return frozenset({shape, colour, pattern, ANY} | size)


def towards(one: Item, other: Item, way: complex) -> Verdict:
    """Whether `one` lies in this direction from `other`."""
    off = abs(math.degrees(cmath.phase((one.at - other.at) / way))) if one.at != other.at else 180
    return within(off, *TURN)


def _relation(scene: Scene, where: str, one: str, other: str) -> Verdict:
    pairs = ((a, b) for a in fitting(scene, one) for b in fitting(scene, other) if a is not b)
    return some(towards(a, b, DIRECTIONS[where]) for a, b in pairs)


def _stack(scene: Scene, how: str, one: str, other: str) -> Verdict:
    """`one` is right above `other`, and touches it or does not."""
    pairs = ((a, b) for a in fitting(scene, one) for b in fitting(scene, other) if a is not b)
    return some(every([towards(a, b, -1j), _touches(a, b) if how == "on" else no(_touches(a, b))]) for a, b in pairs)


def _touches(upper: Item, lower: Item) -> Verdict:
    gap = abs(lower.at.imag - upper.at.imag) - upper.half - lower.half
    aside = abs(lower.at.real - upper.at.real)
    return every([within(abs(gap), 0.01, 0.04), within(aside, 0.02, 0.08)])


def _between(scene: Scene, _: str, middle: str, one: str, other: str) -> Verdict:
    """On a line from side to side, or from top to bottom."""
    every_three = product(fitting(scene, middle), fitting(scene, one), fitting(scene, other))
    triples = ((m, a, b) for m, a, b in every_three if m is not a and m is not b and a is not b)
    return some(
        some(every([towards(a, m, way), towards(b, m, -way)]) for way in DIRECTIONS.values()) for m, a, b in triples
    )


def _count(scene: Scene, number: str, phrase: str) -> Verdict:
    return len(fitting(scene, phrase)) == int(number)


def _least(scene: Scene, told: str, phrase: str) -> Verdict:
    """``least 2`` or ``most 1``."""
    word, number = told.split()
    found = len(fitting(scene, phrase))
    return found >= int(number) if word == "least" else found <= int(number)


def _all(scene: Scene, told: str, phrase: str) -> Verdict:
    """``red``: every one of at least two is; ``not red``: at least two, and one is not."""
    found = fitting(scene, phrase)
    word = told.removeprefix("not ")
    whole = all(word in words_of(item) for item in found)
    return len(found) >= 2 and whole != told.startswith("not ")


def _exists(scene: Scene, told: str, phrase: str) -> Verdict:
    return bool(fitting(scene, phrase)) == (told == "yes")


def _extreme(scene: Scene, where: str, phrase: str) -> Verdict:
    """The outermost thing of all, by a clear distance, fits the phrase."""
    way = EXTREMES[where]
    ordered = sorted(scene.items, key=lambda item: (item.at / way).real, reverse=True)
    lead = ((ordered[0].at - ordered[1].at) / way).real if len(ordered) > 1 else 1.0
    outermost = some(
        every([True if item is ordered[0] else within(lead, 0, 0.08), item in fitting(scene, phrase)])
        for item in ordered[:2]
    )
    return None if outermost and lead < 0.08 else outermost


def _box(scene: Scene, where: str, phrase: str) -> Verdict:
    inside = (
        within(max(abs((item.at - at).real), abs((item.at - at).imag)) + item.half - half, 0.005, 2 * item.half)
        for item in fitting(scene, phrase)
        for at, half in scene.boxes
    )
    return some(inside if where == "inside" else map(no, inside))


_PREDICATES: Mapping[str, Callable[..., Verdict]] = {
    "relation": _relation,
    "stack": _stack,
    "between": _between,
    "count": _count,
    "least": _least,
    "all": _all,
    "exists": _exists,
    "extreme": _extreme,
    "box": _box,
}
