"""Scenes at random: things on a grid, and a plan of what the caption tells; the level is how much of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Final

from negmine.stages.figures.program import DECIMALS, Program, Statement
from negmine.stages.figures.scenes.statements import (
    COLOURS,
    PATTERNS,
    SHAPES,
    SIZES,
    Absent,
    Box,
    Point,
    Tell,
    Thing,
)

LEVELS: Final = (
    "two things, colour and shape, one relation",
    "two or three things, and sizes, one or two claims",
    "three or four things, and patterns and counts, two claims",
    "four or five things, and boxes, stacks, all and none, three claims",
    "five to seven things, and between, four claims",
)

GRID: Final = (0.18, 0.5, 0.82)
STEP: Final = 0.32
JITTER: Final = 0.02
BOX_HALF: Final = 0.148


@dataclass(frozen=True)
class Level:
    """What a difficulty allows.

    Attributes:
        things: how many there may be.
        tells: how many claims.
        attributes: beside colour and shape.
        predicates: what is told.
    """

    things: tuple[int, ...]
    tells: tuple[int, ...]
    attributes: tuple[str, ...]
    predicates: tuple[str, ...]


_FOUR: Final = ("relation", "relation", "extreme", "count", "least", "all", "exists", "box", "stack")

_LEVELS: Final[Mapping[int, Level]] = {
    1: Level((2,), (1,), (), ("relation",)),
    2: Level((2, 3), (1, 2), ("size",), ("relation", "extreme")),
    3: Level((3, 4), (2,), ("size", "pattern"), ("relation", "relation", "extreme", "count")),
    4: Level((4, 5), (3,), ("size", "pattern"), _FOUR),
    5: Level((5, 6, 7), (4,), ("size", "pattern"), (*_FOUR, "between")),
}


def sample(rng: Random, level: int) -> Program:
    """A program of a level, 1 to 5."""
    plan = _LEVELS[level]
    slots = [(x, y) for x in GRID for y in GRID]
    rng.shuffle(slots)
    things = [thing(n, rng, level, jittered(slot, rng)) for n, slot in enumerate(slots[: rng.choice(plan.things)])]
    scene = _Scene(things, slots, [])
    predicates = list(plan.predicates)
    rng.shuffle(predicates)
    tells: list[Statement] = []
    for what in predicates:
        if len(tells) < rng.choice(plan.tells):
            tells += _PLANS[what](scene, rng, level)
    return (*scene.things, *scene.boxes, *tells)


def thing(name: int, rng: Random, level: int, at: Point) -> Thing:
    """A thing with attributes at random, as far as the level has them."""
    told = _LEVELS[level].attributes
    return Thing(
        name,
        rng.choice(SHAPES),
        rng.choice(list(COLOURS)),
        rng.choice(PATTERNS) if "pattern" in told else "plain",
        rng.choice(list(SIZES)) if "size" in told else "large",
        at,
    )


def jittered(slot: Point, rng: Random) -> Point:
    """A place near a slot of the grid."""
    x, y = (round(value + rng.uniform(-JITTER, JITTER), DECIMALS) for value in slot)
    return x, y


def room(level: int) -> tuple[int, int]:
    """The fewest and the most things that edits may leave."""
    things = _LEVELS[level].things
    return max(2, things[0] - 1), min(len(GRID) ** 2, things[-1] + 1)


def options(name: str, level: int) -> Sequence[str]:
    """The values of an attribute at a level; one value means that it is never told."""
    extra = _LEVELS[level].attributes
    values: Mapping[str, Sequence[str]] = {
        "shape": SHAPES,
        "colour": tuple(COLOURS),
        "pattern": PATTERNS if "pattern" in extra else PATTERNS[:1],
        "size": tuple(SIZES) if "size" in extra else ("large",),
    }
    return values[name]


def attributes(level: int) -> tuple[str, ...]:
    """The attributes that things of a level differ in."""
    return ("colour", "shape", *_LEVELS[level].attributes)


# --- what is told ----------------------------------------------------------------------------------------------------


@dataclass
class _Scene:
    """A scene in the making: things may be moved or changed so that there is something to tell."""

    things: list[Thing]
    slots: list[Point]
    boxes: list[Box]
    related: set[frozenset[int]] = field(default_factory=set)

    def free(self) -> list[Point]:
        """Slots without a thing."""
        return [slot for slot in self.slots if not any(_near(slot, one.at) for one in self.things)]


def _near(slot: Point, at: Point) -> bool:
    return max(abs(slot[0] - at[0]), abs(slot[1] - at[1])) < 0.14


def _named_by(rng: Random, level: int) -> tuple[str, ...]:
    """Colour and shape, and now and then something more."""
    extra = [name for name in _LEVELS[level].attributes if rng.random() < 0.4]
    return ("colour", "shape", *extra)


def _relation(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    """Two things of one row or column."""
    pairs = [
        (i, j)
        for i, one in enumerate(scene.things)
        for j, other in enumerate(scene.things)
        if i != j
        and min(abs(one.at[0] - other.at[0]), abs(one.at[1] - other.at[1])) <= 2 * JITTER
        and frozenset((i, j)) not in scene.related
    ]
    if not pairs:
        return []
    pair = rng.choice(pairs)
    scene.related.add(frozenset(pair))
    return [Tell("relation", pair, _named_by(rng, level))]


def _extreme(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    where = rng.choice(("leftmost", "rightmost", "highest", "lowest"))
    return [Tell("extreme", (), _named_by(rng, level), where)]


def _count(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    by = rng.choice((("shape",), ("colour",), ("colour", "shape")))
    return [Tell("count", (rng.randrange(len(scene.things)),), by)]


def _least(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    by = rng.choice((("shape",), ("colour",)))
    return [Tell("least", (rng.randrange(len(scene.things)),), by, rng.choice(("2", "3")))]


def _all(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    """All of a shape have a colour (or pattern), or all but some; made so for at least two things."""
    about = rng.choice([name for name in ("colour", *_LEVELS[level].attributes) if name != "size"])
    one, other = rng.sample(range(len(scene.things)), 2)
    shape, word = scene.things[one].shape, getattr(scene.things[one], about)
    changed = replace(scene.things[other], shape=shape)
    scene.things[other] = replace(changed, **{about: word}) if rng.random() < 0.5 else changed
    if rng.random() < 0.5:
        scene.things = [replace(t, **{about: word}) if t.shape == shape else t for t in scene.things]
    return [Tell("all", (one,), ("shape",), about)]


def _exists(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    if rng.random() < 0.5:
        present = rng.choice(scene.things)
        return [Absent(present.colour, present.shape)]
    return [Absent(rng.choice(list(COLOURS)), rng.choice(SHAPES))]


def _box(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    place = rng.randrange(len(scene.things))
    if rng.random() < 0.5:
        at = scene.things[place].at
        at = (min(max(at[0], 0.18), 0.82), min(max(at[1], 0.18), 0.82))
    elif scene.free():
        at = rng.choice(scene.free())
    else:
        return []
    scene.boxes.append(Box(at, BOX_HALF))
    return [Tell("box", (place,), _named_by(rng, level))]


def _stack(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    """Two things of one column, neighbours; the upper one is let down onto the lower in every second case."""
    pairs = [
        (i, j)
        for i, one in enumerate(scene.things)
        for j, other in enumerate(scene.things)
        if 0.2 < other.at[1] - one.at[1] < 0.4 and abs(one.at[0] - other.at[0]) <= 2 * JITTER
    ]
    if not pairs:
        return []
    upper, lower = rng.choice(pairs)
    if rng.random() < 0.5:
        scene.things[upper] = let_down(scene.things[upper], scene.things[lower])
    return [Tell("stack", (upper, lower), ("colour", "shape"))]


def let_down(upper: Thing, lower: Thing) -> Thing:
    """The upper thing standing on the lower one."""
    x, y = lower.at
    return replace(upper, at=(x, round(y - SIZES[lower.size] - SIZES[upper.size], DECIMALS)))


def _between(scene: _Scene, rng: Random, level: int) -> list[Statement]:
    """A full row or column."""
    lines = []
    for axis in (0, 1):
        for value in GRID:
            line = [i for i, one in enumerate(scene.things) if abs(one.at[axis] - value) <= JITTER]
            if len(line) == 3:
                lines.append(line)
    if not lines:
        return []
    one, other, third = rng.choice(lines)
    return [Tell("between", (one, other, third), ("colour", "shape"))]


_PLANS: Final[Mapping[str, Callable[[_Scene, Random, int], list[Statement]]]] = {
    "relation": _relation,
    "extreme": _extreme,
    "count": _count,
    "least": _least,
    "all": _all,
    "exists": _exists,
    "box": _box,
    "stack": _stack,
    "between": _between,
}
