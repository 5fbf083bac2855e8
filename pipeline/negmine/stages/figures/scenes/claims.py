"""What a program of scenes claims, and how claims are said."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from negmine.stages.figures.domain import Claim
from negmine.stages.figures.program import Program
from negmine.stages.figures.scenes.oracle import ANY, DIRECTIONS, EXTREMES
from negmine.stages.figures.scenes.statements import ATTRIBUTES, SIZES, Absent, Box, Tell, Thing

Say = Callable[[Claim], str]

NUMBERS: Final = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


# --- what is claimed -------------------------------------------------------------------------------------------------


def claims(program: Program) -> tuple[Claim, ...]:
    """The claims of a program's `Tell` statements, read off its things."""
    things = [one for one in program if isinstance(one, Thing)]
    boxes = [one for one in program if isinstance(one, Box)]
    known = {thing.id: thing for thing in things}
    found = []
    for one in program:
        if isinstance(one, Tell):
            told = [known[name] for name in one.things]
            found.append(_CLAIMS[one.what](one, told, things, boxes))
        elif isinstance(one, Absent):
            named = [thing for thing in things if (thing.colour, thing.shape) == (one.colour, one.shape)]
            found.append(Claim("exists", (f"{one.colour} {one.shape}",), "yes" if named else "no"))
    return tuple(found)


def phrase(thing: Thing, by: Sequence[str]) -> str:
    """A noun phrase: the named attributes in the order of English, ``object`` where the shape is not among them."""
    words = [getattr(thing, name) for name in ATTRIBUTES if name in by and name != "shape"]
    return " ".join([*words, thing.shape if "shape" in by else ANY])


def _relation(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    one, other = told
    apart = complex(*one.at) - complex(*other.at)
    where = max(DIRECTIONS, key=lambda name: (apart / DIRECTIONS[name]).real)
    return Claim("relation", (phrase(one, tell.by), phrase(other, tell.by)), where)


def _stack(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    upper, lower = sorted(told, key=lambda thing: thing.at[1])
    gap = lower.at[1] - upper.at[1] - SIZES[upper.size] - SIZES[lower.size]
    return Claim("stack", (phrase(upper, tell.by), phrase(lower, tell.by)), "on" if gap < 0.02 else "over")


def _between(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    across = max(abs(a.at[0] - b.at[0]) for a in told for b in told)
    down = max(abs(a.at[1] - b.at[1]) for a in told for b in told)
    one, middle, other = sorted(told, key=lambda thing: thing.at[0 if across >= down else 1])
    return Claim("between", tuple(phrase(thing, tell.by) for thing in (middle, one, other)), "between")


def _count(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    named = phrase(told[0], tell.by)
    return Claim("count", (named,), str(sum(phrase(thing, tell.by) == named for thing in things)))


def _least(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    named = phrase(told[0], tell.by)
    enough = sum(phrase(thing, tell.by) == named for thing in things) >= int(tell.about)
    return Claim("least", (named,), f"least {tell.about}" if enough else f"most {int(tell.about) - 1}")


def _all(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    named, word = phrase(told[0], tell.by), getattr(told[0], tell.about)
    whole = all(getattr(thing, tell.about) == word for thing in things if phrase(thing, tell.by) == named)
    return Claim("all", (named,), word if whole else f"not {word}")


def _extreme(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    way = EXTREMES[tell.about]
    outermost = max(things, key=lambda thing: (complex(*thing.at) / way).real)
    return Claim("extreme", (phrase(outermost, tell.by),), tell.about)


def _box(tell: Tell, told: list[Thing], things: list[Thing], boxes: list[Box]) -> Claim:
    at, half = boxes[0].at, boxes[0].half
    inside = all(abs(told[0].at[axis] - at[axis]) < half for axis in (0, 1))
    return Claim("box", (phrase(told[0], tell.by),), "inside" if inside else "outside")


_CLAIMS: Final[Mapping[str, Callable[[Tell, list[Thing], list[Thing], list[Box]], Claim]]] = {
    "relation": _relation,
    "stack": _stack,
    "between": _between,
    "count": _count,
    "least": _least,
    "all": _all,
    "extreme": _extreme,
    "box": _box,
}


_CONVERSE: Final = {"left of": "right of", "right of": "left of", "above": "below", "below": "above"}


def converse(claim: Claim) -> Claim | None:
    """A relation told from its other side."""
    return Claim(claim.what, claim.of[::-1], _CONVERSE[claim.value]) if claim.what == "relation" else None


# --- how it is said --------------------------------------------------------------------------------------------------


def a(named: str) -> str:
    """With its indefinite article."""
    return f"{'an' if named[0] in 'aeiou' else 'a'} {named}"


def several(named: str) -> str:
    """In the plural."""
    return f"{named}es" if named.endswith("cross") else f"{named}s"


def _counted(number: int, named: str) -> str:
    return f"{NUMBERS[number]} {named if number == 1 else several(named)}"


def _at_least(claim: Claim) -> str:
    word, number = claim.value.split()
    return f"at {word} {_counted(int(number), claim.of[0])}"


def _touching(claim: Claim) -> str:
    upper, lower = (a(named) for named in claim.of)
    return f"{upper} touching the top of {lower}" if claim.value == "on" else f"{upper} over {lower}, not touching it"


def _count_is(claim: Claim) -> str:
    return f"there {'is' if claim.value == '1' else 'are'} exactly {_counted(int(claim.value), claim.of[0])}"


def _all_are(claim: Claim) -> str:
    whole = "all" if not claim.value.startswith("not ") else "not all"
    return f"{whole} {several(claim.of[0])} are {claim.value.removeprefix('not ')}"


def _every_is(claim: Claim) -> str:
    if claim.value.startswith("not "):
        return f"some {several(claim.of[0])} are not {claim.value.removeprefix('not ')}"
    return f"every {claim.of[0]} is {claim.value}"


def _beside(claim: Claim) -> str:
    places = {"left of": "to the left of", "right of": "to the right of", "above": "above", "below": "below"}
    return f"{a(claim.of[0])} is {places[claim.value]} {a(claim.of[1])}"


TEMPLATES: Mapping[str, Sequence[Say]] = {
    "relation": (
        lambda claim: f"{a(claim.of[0])} {claim.value} {a(claim.of[1])}",
        lambda claim: f"there is {a(claim.of[0])} {claim.value} {a(claim.of[1])}",
        _beside,
    ),
    "stack": (
        lambda claim: (
            f"{a(claim.of[0])} on top of {a(claim.of[1])}"
            if claim.value == "on"
            else f"{a(claim.of[0])} over {a(claim.of[1])} without touching it"
        ),
        lambda claim: (
            f"{a(claim.of[0])} stands on {a(claim.of[1])}"
            if claim.value == "on"
            else f"{a(claim.of[0])} floats over {a(claim.of[1])}"
        ),
        _touching,
    ),
    "between": (
        lambda claim: f"{a(claim.of[0])} between {a(claim.of[1])} and {a(claim.of[2])}",
        lambda claim: f"between {a(claim.of[1])} and {a(claim.of[2])} there is {a(claim.of[0])}",
    ),
    "count": (_count_is, lambda claim: f"one can see {_counted(int(claim.value), claim.of[0])} and no more"),
    "least": (
        lambda claim: f"there {'is' if claim.value.endswith(' 1') else 'are'} {_at_least(claim)}",
        lambda claim: f"one can see {_at_least(claim)}",
    ),
    "all": (_all_are, _every_is),
    "exists": (
        lambda claim: f"there is {a(claim.of[0]) if claim.value == 'yes' else f'no {claim.of[0]}'}",
        lambda claim: f"one can see {a(claim.of[0]) if claim.value == 'yes' else f'no {claim.of[0]}'}",
    ),
    "extreme": (
        lambda claim: f"the {claim.value} object is {a(claim.of[0])}",
        lambda claim: f"{a(claim.of[0])} is the {claim.value} item",
    ),
    "box": (
        lambda claim: f"{a(claim.of[0])} is {claim.value} the grey box",
        lambda claim: f"there is {a(claim.of[0])} {claim.value} the grey box",
    ),
}
"""Ways to say each predicate."""
