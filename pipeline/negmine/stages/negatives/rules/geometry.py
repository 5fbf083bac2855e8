"""Captions of diagrams: point names, shapes, relations and values, where the substitution cannot leave them true.

Only captions with point names ("AB", "triangle ABC") are looked at. What is refused here is what MMCLIP's published
rules let through (arXiv 2505.20152): the letters of a triangle in another order, a polygon read backwards, a weaker
class of the same shape, "similar" for "congruent", a side that may be as long, a number that belongs to nothing named.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import combinations
from random import Random
from typing import Final, NamedTuple

from negmine.language.caption import Caption
from negmine.language.changes import Change
from negmine.stages.negatives.proposal import Proposal, Words

PER_NAME: Final = 2
PER_VALUE: Final = 2

_NAME: Final = re.compile(r"[A-Z]{2,6}")
_NUMBER: Final = re.compile(r"\d{1,3}(\.\d)?")
_NAMING: Final = frozenset(
    {
        "triangle",
        "quadrilateral",
        "rectangle",
        "square",
        "rhombus",
        "parallelogram",
        "trapezoid",
        "kite",
        "pentagon",
        "hexagon",
        "polygon",
        "angle",
        "segment",
        "line",
        "ray",
        "side",
        "chord",
        "diameter",
        "radius",
        "tangent",
        "altitude",
        "median",
        "bisector",
        "arc",
        "∠",
        "△",
        "∆",
    }
)
"""Nouns that a point name follows."""

_SIGNS: Final = frozenset({"=", "∥", "‖", "⊥"})
_VERBS: Final = frozenset({"be", "touch", "bisect", "meet", "cut", "intersect"})
_TOPIC: Final = (_NAMING - {"square", "line", "side", "kite", "ray", "arc"}) | {"parallel", "perpendicular", "midpoint"}
"""Words that make a diagram of what a name with a verb says; two capitals alone may be a country."""

_POLYGONS: Final[Mapping[str, int]] = {
    "triangle": 3,
    "quadrilateral": 4,
    "rectangle": 4,
    "square": 4,
    "rhombus": 4,
    "parallelogram": 4,
    "trapezoid": 4,
    "kite": 4,
    "pentagon": 5,
    "hexagon": 6,
}
_SYMMETRIC: Final = frozenset(
    {"equilateral", "isosceles", "square", "rhombus", "rectangle", "parallelogram", "kite", "regular", "congruent"}
)
"""Of figures with equal sides or angles another name may name an equal thing."""

_SHAPES: Final[Mapping[str, tuple[str, ...]]] = {
    "equilateral": ("right", "obtuse", "scalene"),
    "isosceles": ("equilateral", "scalene"),
    "scalene": ("isosceles", "equilateral"),
    "acute": ("obtuse", "right"),
    "obtuse": ("acute", "right", "equilateral"),
    "square": ("trapezoid",),
    "rectangle": ("rhombus", "trapezoid"),
    "rhombus": ("rectangle", "trapezoid"),
    "parallelogram": ("trapezoid", "kite"),
    "trapezoid": ("parallelogram", "rectangle", "rhombus"),
    "pentagon": ("hexagon", "octagon"),
    "hexagon": ("pentagon", "octagon"),
}
"""A class and others that it excludes as textbooks draw them (a trapezoid has one pair of parallel sides). Never one
that contains it: a square is a rectangle, and an equilateral triangle is isosceles."""

_RELATIONS: Final[Mapping[str, tuple[str, ...]]] = {
    "parallel": ("perpendicular",),
    "perpendicular": ("parallel",),
    "inscribed in": ("circumscribed about",),
    "circumscribed about": ("inscribed in",),
    "inside": ("outside",),
    "outside": ("inside",),
    "diameter": ("radius",),
    "radius": ("diameter",),
    "altitude": ("median",),
    "median": ("altitude",),
}
"""Exclusive relations. "Similar" and "congruent" are none: congruent figures are similar."""

_COINCIDE: Final = frozenset({"altitude", "median"})
"""One line in a triangle with equal sides."""

_VALUED: Final = frozenset({"=", "is", "measures", "equals", "of", "long", "length", "equal", "to", "has", "m"})


class _Named(NamedTuple):
    """A point name in a caption: its token, its letters and what it names."""

    token: int
    letters: str
    what: str


def geometry_name(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Another name for an angle, a side or a polygon, out of letters of the caption, that names another thing."""
    names = _names(caption)
    known = sorted({letter for name in names for letter in name.letters})
    if not _may_be_renamed(caption):
        return
    for name in names:
        options = sorted(_other_names(name, known) - {other.letters for other in names})
        for other in rng.sample(options, min(PER_NAME, len(options))):
            yield _proposal(name.token, name.token, other)


def geometry_shape(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Another class of triangle, quadrilateral or polygon, that excludes the one that is named."""
    if not _names(caption):
        return
    for index, token in enumerate(caption.tokens):
        word = token.text.lower()
        counted = word in ("pentagon", "hexagon") and _next_is_name(caption, index)  # letters would give it away
        if word == "right" and _next_word(caption, index) == "triangle":
            yield from _each(index, index, ("obtuse", "equilateral"), rng, frozenset())
        elif word in _SHAPES and not counted and caption.is_loose(index, index):
            yield from _each(index, index, _SHAPES[word], rng, caption.words)


def geometry_relation(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Another relation of lines and circles, that excludes the one that is told."""
    if not _names(caption):
        return
    for index, token in enumerate(caption.tokens):
        for phrase, others in _RELATIONS.items():
            last = index + phrase.count(" ")
            if last >= len(caption.tokens) or caption.span(index, last).lower() != phrase:
                continue
            coincides = token.lemma in _COINCIDE and not caption.words.isdisjoint(_SYMMETRIC)
            if not coincides and caption.is_loose(index, last):
                yield from _each(index, last, others, rng, caption.words)


def geometry_value(caption: Caption, words: Words, rng: Random) -> Iterator[Proposal]:
    """Another number for the length of a named side or the size of a named angle."""
    numbers = {token.text for token in caption.tokens if _NUMBER.fullmatch(token.text)}
    for name in _names(caption):
        place = _value_of(caption, name)
        if place is None:
            continue
        old = float(caption.tokens[place].text)
        steps = (5, 10, 15, 20, -5, -10, -15, -20) if name.what == "angle" else (1, 2, 3, 4, -1, -2, -3)
        options = [f"{old + step:g}" for step in steps if old + step > 0]
        options = [
            value for value in options if value not in numbers and not (name.what == "angle" and float(value) > 175)
        ]
        for value in rng.sample(options, min(PER_VALUE, len(options))):
            yield _proposal(place, place, value)


# --- names -----------------------------------------------------------------------------------------------------------


def _names(caption: Caption) -> list[_Named]:
    """The point names of a caption that is about a diagram; none of another."""
    found = [
        _Named(index, token.text, _what(caption, index, len(token.text)))
        for index, token in enumerate(caption.tokens)
        if _NAME.fullmatch(token.text) and len(set(token.text)) == len(token.text) and caption.is_loose(index, index)
    ]
    return found if any(_is_of_a_diagram(caption, name.token) for name in found) else []


def _is_of_a_diagram(caption: Caption, index: int) -> bool:
    """Whether what stands beside a name can only stand beside a point name."""
    if index and caption.tokens[index - 1].lemma.lower() in _NAMING:
        return True
    if index + 1 == len(caption.tokens):
        return False
    following = caption.tokens[index + 1]
    return following.text in _SIGNS or (following.lemma in _VERBS and not caption.words.isdisjoint(_TOPIC))


def _what(caption: Caption, index: int, letters: int) -> str:
    """What a name names: by the word before it, else by its letters; "" where that is not clear."""
    before = caption.tokens[index - 1].lemma.lower() if index else ""
    if letters == 2:
        return "side"
    if before in ("angle", "∠") or caption.tokens[index - 1].text.lower() == "∠":
        return "angle" if letters == 3 else ""
    if _POLYGONS.get(before, letters) != letters:
        return ""
    return "triangle" if letters == 3 and before in ("triangle", "△", "∆") else "polygon" if letters > 3 else ""


def _may_be_renamed(caption: Caption) -> bool:
    """Whether equal things are not to be expected: in an isosceles triangle another side may be as long."""
    return caption.words.isdisjoint(_SYMMETRIC)


def _other_names(name: _Named, known: list[str]) -> set[str]:
    """Names that mean something else than `name`, out of known letters."""
    spare = [letter for letter in known if letter not in name.letters]
    if name.what == "angle":  # another vertex; the two ends may be exchanged
        a, vertex, b = tuple(name.letters)
        return {vertex + a + b, a + b + vertex}
    if name.what == "polygon":  # two neighbours exchanged: no turning and no reversal gives that
        swapped = set()
        for i, j in combinations(range(len(name.letters)), 2):
            letters = list(name.letters)
            letters[i], letters[j] = letters[j], letters[i]
            swapped.add("".join(letters))
        return {other for other in swapped if not same_polygon(other, name.letters)}
    if name.what == "side":
        return {name.letters[0] + letter for letter in spare} | {letter + name.letters[1] for letter in spare}
    return set()  # any order of a triangle's letters is the same triangle


def same_polygon(one: str, other: str) -> bool:
    """Whether two names go round the same polygon: turned or read backwards."""
    turns = {other[n:] + other[:n] for n in range(len(other))}
    return one in turns or one[::-1] in turns


# --- words -----------------------------------------------------------------------------------------------------------


def _next_word(caption: Caption, index: int) -> str:
    return caption.tokens[index + 1].text.lower() if index + 1 < len(caption.tokens) else ""


def _next_is_name(caption: Caption, index: int) -> bool:
    return index + 1 < len(caption.tokens) and _NAME.fullmatch(caption.tokens[index + 1].text) is not None


def _value_of(caption: Caption, name: _Named) -> int | None:
    """The number that a caption gives for what it names: the next one, with only "=", "is" and the like between."""
    if name.what not in ("side", "angle"):
        return None
    for place in range(name.token + 1, min(name.token + 6, len(caption.tokens))):
        text = caption.tokens[place].text
        if _NUMBER.fullmatch(text):
            return place if caption.is_loose(place, place) else None
        if text.lower() not in _VALUED:
            return None
    return None


def _each(first: int, last: int, options: tuple[str, ...], rng: Random, said: frozenset[str]) -> Iterator[Proposal]:
    """Options that the caption does not say of something already, in random order."""
    free = [option for option in options if said.isdisjoint(option.split())]
    for option in rng.sample(free, len(free)):
        yield _proposal(first, last, option)


def _proposal(first: int, last: int, text: str) -> Proposal:
    return Proposal((Change(first, last, text),), new=text, repeatable=True)
