"""Claims to captions: one wording for a whole group, so that captions differ in what was edited and in nothing else."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Final

from negmine.stages.figures.domain import Claim

CONTEXT: Final = 77
"""Positions of CLIP's text towers; two of them are taken by the marks of beginning and end."""

_WORDS = re.compile(r"[a-z]+|[0-9]|[^\sa-z0-9]+")
PIECES: Final[Mapping[str, int]] = {
    "arcs": 2,
    "bisector": 2,
    "bisects": 3,
    "circumcircle": 4,
    "circumscribed": 2,
    "dashed": 2,
    "diagonal": 2,
    "diagonals": 3,
    "divides": 2,
    "equilateral": 3,
    "halves": 2,
    "hexagon": 2,
    "incircle": 2,
    "isosceles": 4,
    "leftmost": 2,
    "midpoint": 2,
    "nearer": 2,
    "oblique": 2,
    "obtuse": 3,
    "parallelogram": 3,
    "perpendicular": 3,
    "quadrilateral": 3,
    "rectangle": 2,
    "rhombus": 3,
    "rightmost": 2,
    "secant": 2,
    "tangent": 2,
    "trapezoid": 3,
    "triangles": 2,
    "unequal": 2,
}
"""Words of our templates that CLIP's tokenizer cuts into several tokens; every other one is a single token."""


@dataclass(frozen=True)
class Wording:
    """How a group says things.

    Attributes:
        choice: predicate to the number of its template.
        order: predicates from first to last.
    """

    choice: Mapping[str, int]
    order: Mapping[str, int]


Templates = Mapping[str, Sequence[Callable[[Claim], str]]]


def draw_wording(templates: Templates, rng: Random) -> Wording:
    """A template for each predicate, and the order of the predicates."""
    names = list(templates)
    choice = {name: rng.randrange(len(templates[name])) for name in names}
    rng.shuffle(names)
    return Wording(choice, {name: place for place, name in enumerate(names)})


def caption(claims: Iterable[Claim], templates: Templates, wording: Wording) -> str:
    """The claims as sentences."""
    ordered = sorted(claims, key=lambda claim: wording.order[claim.what])
    sentences = (templates[claim.what][wording.choice[claim.what]](claim).replace(" ,", ",") for claim in ordered)
    return " ".join(f"{sentence[0].upper()}{sentence[1:]}." for sentence in sentences)


def count_tokens(text: str) -> int:
    """Positions that a caption of ours takes in CLIP's text tower, begin and end included."""
    return 2 + sum(PIECES.get(word, 1) for word in _WORDS.findall(text.lower()))
