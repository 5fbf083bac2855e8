"""What speaks against a caption being true of an image: that captions of the image leave out what it says.

Who describes a giraffe names it; who describes a street may leave out its cars. ``untold.tsv`` has, for each thing that
captions claim (the words of `entailment`), how often another caption of the same image leaves it out, as minus its
logarithm: the *weight* of its being left out. n captions of an image weigh as sqrt(n) such (measured for one to four).
The evidence is the sum of these weights, in nats.

Nothing is left out where captions say something that covers it:

- a more general word of its kind: *two people* may be a man and a woman, *animals* giraffes;
- a thing in whose images it is often mentioned (`negmine.language.co_mention`): a bathroom has a mirror.

A number or an attribute is left out only where its thing is told.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from itertools import permutations
from math import log
from typing import Final, NamedTuple

from negmine.language.caption import Caption
from negmine.language.co_mention import concepts_of, packaged_co_mention
from negmine.language.lexicon import packaged_lexicon
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.neighbours.entailment import UNREAD, Said, known_by, said

UNIT: Final = 100
"""Weights are whole numbers of hundredths of a nat, so that sums do not depend on their order."""

LEAST: Final = 40
"""Pairs of captions from which a share is known; what is rarer is pooled with all others of its class."""

_UNREADABLE: Final = 10**6
_NOTHING: Final = ""


class Ground(NamedTuple):
    """Something that a caption claims and captions of an image may leave out.

    Attributes:
        claim: what is left out, a word of `entailment`.
        given: it counts only if this is told of the image (`holds`), or is not told.
        rates: rows of the table that say how often it is left out, the first that is there; none for a caption in
            another language, which nothing here can judge and no filter refuses.
    """

    claim: str
    given: str
    holds: bool
    rates: tuple[str, ...]


def grounds(caption: Caption, what: Said) -> tuple[Ground, ...]:
    """What might speak against a caption, by what it claims."""
    if not caption.parsed:
        return (Ground(_NOTHING, _NOTHING, False, ()),)
    return tuple(map(_ground, sorted(what.claims)))


def weight_of(ground: Ground, table: Mapping[str, float] | None = None) -> int:
    """How much it says that a caption of the image leaves it out, in hundredths of a nat; `table` as `untold` makes."""
    if not ground.rates:
        return _UNREADABLE
    weights = packaged_weights() if table is None else table
    return round(UNIT * next((weights[name] for name in ground.rates if name in weights), 0.0))


def _ground(claim: str) -> Ground:
    if claim == UNREAD:  # it may be so: no table has a weight for it
        return Ground(claim, _NOTHING, False, (claim,))
    what, rest = claim.split(" ", 1)
    if what == "v":
        return Ground(claim, _NOTHING, False, (claim, "v"))
    if what == "a":
        value, thing = rest.split(" ", 1)
        found = packaged_vocabulary().value_of(value)
        return Ground(claim, f"n {thing}", True, (f"a {found.dimension if found else value}",))
    thing, equals, number = rest.partition("=")
    if equals:
        return Ground(claim, f"n {thing}", True, (f"={number}",))
    return Ground(claim, f"k {_kinds().of(thing)}", False, (claim, f"n :{packaged_lexicon().broad_class(thing)}", "n"))


def covered(caption: Caption, what: Said) -> frozenset[str]:
    """What may well be there though the caption does not tell it: ``n mirror``; ``k animal`` for any of a kind."""
    if not caption.parsed:
        return frozenset()
    table = packaged_co_mention()
    beside = frozenset[str]().union(*(table.get(name, ()) for name in concepts_of(caption, packaged_vocabulary())))
    there = frozenset[str]().union(*map(known_by, beside))
    named = {claim[2:] for claim in what.claims if claim.startswith("n ")}
    return frozenset({f"n {noun}" for noun in there} | {f"k {kind}" for kind in map(_kinds().named_by, named) if kind})


@dataclass(frozen=True)
class Kinds:
    """Kinds of things, the more special first, with the nouns that name no more than the kind.

    Raises:
        ValueError: a noun names two kinds.
    """

    nouns: Mapping[str, frozenset[str]]

    def __post_init__(self) -> None:
        named = Counter(noun for nouns in self.nouns.values() for noun in nouns)
        twice = sorted(noun for noun, kinds in named.items() if kinds > 1)
        if twice:
            raise ValueError(f"a noun names one kind only; leave all but one: {', '.join(twice)}")

    def of(self, thing: str) -> str:
        """The kind of a thing; the thing itself if it is of none."""
        known = known_by(thing)
        return next((kind for kind in self.nouns if kind in known), thing)

    def named_by(self, noun: str) -> str:
        """The kind that a noun names; nothing if it says more."""
        return next((kind for kind, nouns in self.nouns.items() if noun in nouns), "")


@cache
def _kinds() -> Kinds:
    lines: Sequence[str] = tomllib.loads(_read("entailment.toml"))["kinds"]
    return Kinds({words[0]: frozenset(words) for words in map(str.split, lines)})


def untold(images: Iterable[Iterable[Caption]]) -> dict[str, float]:
    """Row of the table to its weight, from the captions of each image: each is asked what each other leaves out."""
    asked, left_out = Counter[tuple[str, ...]](), Counter[tuple[str, ...]]()
    for image in images:
        for one, other in permutations(map(view, image), 2):
            for ground in one.grounds:
                if ground.rates and ground.claim != UNREAD and other.applies(ground):
                    asked[ground.rates] += 1
                    left_out[ground.rates] += ground.claim not in other.told
    pooled, lost = Counter[str](), Counter[str]()
    for rates, number in asked.items():
        for name in rates[:1] if number >= LEAST or len(rates) == 1 else rates[1:]:
            pooled[name] += number
            lost[name] += left_out[rates]
    return {name: -log((lost[name] + 1) / (n + 2)) for name, n in sorted(pooled.items()) if n >= LEAST}


class View(NamedTuple):
    """A caption: its grounds, what it tells, and what may well be there though it does not tell it."""

    grounds: tuple[Ground, ...]
    told: frozenset[str]
    covered: frozenset[str]

    def applies(self, ground: Ground) -> bool:
        """Whether a caption with this ground would count against this one, were it left out here."""
        given = ground.given in self.told if ground.holds else ground.given not in self.covered
        return given and ground.claim not in self.covered - self.told


def view(caption: Caption) -> View:
    """What one caption says, and what others may leave out of it."""
    what = said(caption)
    return View(grounds(caption, what), what.told, covered(caption, what))


@cache
def packaged_weights() -> Mapping[str, float]:
    """The table that comes with negmine."""
    rows = (line.split("\t") for line in _read("untold.tsv").splitlines() if not line.startswith("#"))
    return {name: float(weight) for name, weight in rows}


def _read(name: str) -> str:
    return resources.files("negmine.stages.neighbours").joinpath(name).read_text("utf-8")
