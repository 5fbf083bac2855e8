"""Edits of scenes by type: an attribute or a place replaced or exchanged, a thing more or less."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from random import Random
from typing import Final

from negmine.base.options import Values
from negmine.stages.figures.domain import Edit, Editor, Proposal
from negmine.stages.figures.program import Program
from negmine.stages.figures.scenes import sample as s
from negmine.stages.figures.scenes.statements import COLOURS, SHAPES, Absent, Box, Point, Tell, Thing

Things = dict[int, Thing]


def _changed(one: Thing, name: str, value: str) -> Thing:
    """The thing with another shape, colour, pattern or size."""
    attribute: Values = {name: value}
    return replace(one, **attribute)


_Level = Callable[[int], Editor]
"""An editor of a level: which values an attribute may take depends on it."""


def things_of(program: Program) -> Things:
    """The things of a scene by their ids."""
    return {one.id: one for one in program if isinstance(one, Thing)}


def _with(program: Program, *changed: Thing) -> Program:
    """The program with things replaced."""
    new = {one.id: one for one in changed}
    return tuple(new.get(one.id, one) if isinstance(one, Thing) else one for one in program)


def _told(program: Program) -> list[int]:
    """Ids of the things that the caption names, or of all if it names none."""
    named = {name for one in program if isinstance(one, Tell) for name in one.things}
    return sorted(named or things_of(program))


# --- exchanged -------------------------------------------------------------------------------------------------------


def _swap(name: str, kind: str) -> _Level:
    """Exchange an attribute of two things."""

    def edit(program: Program, rng: Random) -> Proposal | None:
        things = things_of(program)
        pairs = [
            (things[i], things[j])
            for i in _told(program)
            for j in things
            if getattr(things[i], name) != getattr(things[j], name)
        ]
        if not pairs:
            return None
        one, other = rng.choice(pairs)
        old, new = getattr(one, name), getattr(other, name)
        edited = _with(program, _changed(one, name, new), replace(other, **{name: old}))
        return Edit(f"swap_{name}", kind, 1, f"{one.id},{other.id}:{name}", str(old), str(new)), edited

    return lambda level: edit


# --- replaced --------------------------------------------------------------------------------------------------------


def _replace(name: str, kind: str) -> _Level:
    """Another value of one thing's attribute."""

    def of_level(level: int) -> Editor:
        def edit(program: Program, rng: Random) -> Proposal | None:
            one = things_of(program)[rng.choice(_told(program))]
            old = getattr(one, name)
            values = [value for value in s.options(name, level) if value != old]
            if not values:
                return None
            new = rng.choice(values)
            edited = _with(program, _changed(one, name, new))
            return Edit(f"replace_{name}", kind, 1, f"{one.id}:{name}", old, new), edited

        return edit

    return of_level


def _move(program: Program, rng: Random) -> Proposal | None:
    """A thing moved to a free slot of the grid, or into a box."""
    things, boxes = things_of(program), [one.at for one in program if isinstance(one, Box)]
    free = free_slots(program)
    if not free:
        return None
    one = things[rng.choice(_told(program))]
    at = rng.choice(free)
    at = at if at in boxes else s.jittered(at, rng)
    edit = Edit("move", "replace_relation", 0, f"{one.id}:at", str(one.at), str(at))
    return edit, _with(program, replace(one, at=at))


def free_slots(program: Program) -> list[Point]:
    """Slots of the grid without a thing; a box has its own middle in place of the slot it covers."""
    boxes = [one.at for one in program if isinstance(one, Box)]
    grid = [(x, y) for x in s.GRID for y in s.GRID]
    slots = [next((at for at in boxes if _close(slot, at)), slot) for slot in grid]
    return [slot for slot in slots if not any(_close(slot, one.at) for one in things_of(program).values())]


def _close(one: Point, other: Point) -> bool:
    return max(abs(one[0] - other[0]), abs(one[1] - other[1])) < 0.14


def _stack(program: Program, rng: Random) -> Proposal | None:
    """The upper of two things let down onto the lower one, or lifted off it."""
    stacks = [one for one in program if isinstance(one, Tell) and one.what == "stack"]
    if not stacks:
        return None
    things = things_of(program)
    upper, lower = sorted((things[name] for name in rng.choice(stacks).things), key=lambda one: one.at[1])
    let_down = s.let_down(upper, lower)
    if let_down.at == upper.at:
        x, y = lower.at
        above = min(s.GRID, key=lambda row: abs(row - (y - s.STEP)))
        edit = Edit("stack", "replace_relation", 0, f"{upper.id}:at", "on", "over")
        return edit, _with(program, replace(upper, at=s.jittered((x, above), rng)))
    return Edit("stack", "replace_relation", 0, f"{upper.id}:at", "over", "on"), _with(program, let_down)


# --- counted ---------------------------------------------------------------------------------------------------------


def _count(level: int) -> Editor:
    """One more or one fewer of what the caption counts, as likely."""

    def edit(program: Program, rng: Random) -> Proposal | None:
        counts = [one for one in program if isinstance(one, Tell) and one.what in ("count", "least")]
        if not counts:
            return None
        tell = rng.choice(counts)
        model = things_of(program)[tell.things[0]]
        return (_more if rng.random() < 0.5 else _fewer)(program, model, tell.by, rng, level)

    return edit


def _more(program: Program, model: Thing, by: tuple[str, ...], rng: Random, level: int) -> Proposal | None:
    things, free = things_of(program), free_slots(program)
    if not free or len(things) >= s.room(level)[1]:
        return None
    drawn = s.thing(max(things) + 1, rng, level, s.jittered(rng.choice(free), rng))
    new = replace(drawn, **{name: getattr(model, name) for name in by})
    edit = Edit("more", "replace_count", 4, "things", "", str(new.id))
    return edit, (*things.values(), new, *(one for one in program if not isinstance(one, Thing)))


def _fewer(program: Program, model: Thing, by: tuple[str, ...], rng: Random, level: int) -> Proposal | None:
    things, told = things_of(program), _told(program)
    alike = [one for one in things.values() if all(getattr(one, name) == getattr(model, name) for name in by)]
    spare = [one for one in alike if one.id not in told]
    if not spare or len(things) <= s.room(level)[0]:
        return None
    gone = rng.choice(spare)
    edit = Edit("fewer", "replace_count", 4, "things", str(gone.id), "")
    return edit, tuple(one for one in program if one != gone)


# --- denied ----------------------------------------------------------------------------------------------------------


def _exists(program: Program, rng: Random) -> Proposal | None:
    """What is said to be there taken away, or what is said not to be there put there."""
    told = [one for one in program if isinstance(one, Absent)]
    if not told:
        return None
    absent, things = rng.choice(told), list(things_of(program).values())
    there = [one for one in things if (one.colour, one.shape) == (absent.colour, absent.shape)]
    if len(there) > 1:
        return None
    if there:
        name, values = rng.choice((("colour", list(COLOURS)), ("shape", list(SHAPES))))
        value = rng.choice([value for value in values if value != getattr(absent, name)])
        changed = _changed(there[0], name, value)
    else:
        changed = replace(rng.choice(things), colour=absent.colour, shape=absent.shape)
    old, new = ("yes", "no") if there else ("no", "yes")
    return Edit("exists", "negate", 1, str(changed.id), old, new), _with(program, changed)


def _all(level: int) -> Editor:
    """What is true of all made false of one, or the one exception mended."""

    def edit(program: Program, rng: Random) -> Proposal | None:
        told = [one for one in program if isinstance(one, Tell) and one.what == "all"]
        if not told:
            return None
        tell, things = rng.choice(told), things_of(program)
        model = things[tell.things[0]]
        word = getattr(model, tell.about)
        alike = [one for one in things.values() if one.shape == model.shape and one.id != model.id]
        others = [one for one in alike if getattr(one, tell.about) != word]
        if len(others) > 1 or not alike:
            return None
        one = others[0] if others else rng.choice(alike)
        value = word if others else rng.choice([v for v in s.options(tell.about, level) if v != word])
        edit = Edit("all", "negate", 1, f"{one.id}:{tell.about}", getattr(one, tell.about), value)
        return edit, _with(program, _changed(one, tell.about, value))

    return edit


_MAKERS: Final[Mapping[str, _Level]] = {
    "swap_colour": _swap("colour", "swap_attribute"),
    "swap_size": _swap("size", "swap_attribute"),
    "swap_pattern": _swap("pattern", "swap_attribute"),
    "swap_shape": _swap("shape", "swap_object"),
    "swap_at": _swap("at", "swap_phrase"),
    "replace_colour": _replace("colour", "replace_attribute"),
    "replace_size": _replace("size", "replace_attribute"),
    "replace_pattern": _replace("pattern", "replace_attribute"),
    "replace_shape": _replace("shape", "replace_object"),
    "move": lambda level: _move,
    "stack": lambda level: _stack,
    "count": _count,
    "exists": lambda level: _exists,
    "all": _all,
}


def editors(level: int) -> Mapping[str, Editor]:
    """All editors; those that a program has no slot for propose nothing."""
    return {name: make(level) for name, make in _MAKERS.items()}
