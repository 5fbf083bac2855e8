"""Geometry3K (Lu et al. 2021, MIT): textbook diagrams as coordinates and predicates, drawn again by our renderer.

A record's points, lines and circles become a program, its predicates the claims that are true of it as drawn. Our edits
of letters and numbers make the negatives. Predicates with unknowns ("3x + 5") and those that the layout does not bear
out are left out: a textbook's angle of 83 degrees may be drawn with 70, so numbers are labels, not measures.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Final

from negmine.base.documents import Document
from negmine.base.errors import InputError
from negmine.base.whole_files import read_whole
from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.geometry.claims import claims
from negmine.stages.figures.geometry.families import laid_out
from negmine.stages.figures.geometry.figure import realise
from negmine.stages.figures.geometry.oracle import judge
from negmine.stages.figures.program import Program, Statement

MOST: Final[Mapping[str, int]] = {"length": 2, "angle": 2, "right": 1, "lines": 1, "place": 1, "lies": 1}
"""Claims of a caption, by predicate: diagrams have dozens."""

MOST_CLAIMS: Final = 5
_WIDTH: Final = 2.0
_FARTHEST: Final = 1e6
"""Pixels."""
_NUMBER: Final = re.compile(r"\d+(\.\d+)?")
_LINE: Final = r"Line\((\w), ?(\w)\)"
_PATTERNS: Final[Mapping[str, re.Pattern[str]]] = {
    "length": re.compile(rf"Equals\(LengthOf\({_LINE}\), ?({_NUMBER.pattern})\)"),
    "angle": re.compile(rf"Equals\(MeasureOf\(Angle\((\w), ?(\w), ?(\w)\)\), ?({_NUMBER.pattern})\)"),
    "perpendicular": re.compile(rf"Perpendicular\({_LINE}, ?{_LINE}\)"),
    "parallel": re.compile(rf"Parallel\({_LINE}, ?{_LINE}\)"),
    "on_circle": re.compile(r"PointLiesOnCircle\((\w), ?Circle\((\w)(?:, ?\w+)?\)\)"),
    "on_line": re.compile(rf"PointLiesOnLine\((\w), ?{_LINE}\)"),
}


class BadRecord(Exception):
    """A record that cannot be drawn; `reason` is one word for the count, `detail` is for a person."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def read_records(path: Path) -> list[tuple[str, Document]]:
    """Records by id, in the order of their ids.

    Raises:
        InputError: not a Geometry3K file of diagrams.
    """
    try:
        body = json.loads(read_whole(path).decode())
        if not isinstance(body, dict) or not body:
            raise ValueError("no object of records by id")
        json.dumps(body, ensure_ascii=False).encode()  # escapes of half a character are no text
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(
            "this is not a Geometry3K file",
            where=str(path),
            why=str(error),
            fix="name diagram_logic_forms_annot.json of the data set",
        ) from None
    return sorted(((str(name), row) for name, row in body.items()), key=lambda item: (len(item[0]), item[0]))


def to_program(row: Document, rng: Random) -> Program:
    """The program of a record: everything it draws, and those of its predicates that are told and true as drawn.

    Raises:
        BadRecord: fields are missing or malformed, a point has no place, or nothing that can be told is true.
    """
    drawn = _drawing(row)
    try:
        bare = laid_out(drawn, 0, False, True)
    except ValueError as error:
        raise BadRecord("damaged", str(error)) from None
    told: list[Statement] = []
    found = list(_predicates(row))
    rng.shuffle(found)
    counts = dict.fromkeys(MOST, 0)
    for statement in found:
        try:
            (claim,) = claims((statement, bare[-1]))
            with_it = realise((*drawn, *told, statement, bare[-1]))
        except (ValueError, KeyError):
            continue  # about a point that is not there
        if len(told) < MOST_CLAIMS and counts[claim.what] < MOST[claim.what] and judge(claim, with_it) is True:
            told.append(statement)
            counts[claim.what] += 1
    if not told:
        raise BadRecord("nothing_to_tell", f"{len(found)} predicates, none true of the layout and without unknowns")
    return laid_out((*drawn, *told), 0, False, True)


def _drawing(row: Document) -> Program:
    """Points, lines and circles, scaled to a width of 2."""
    try:
        places = {str(name): (float(x), float(y)) for name, (x, y) in row["point_positions"].items()}
        lines = [str(ends) for ends in row["line_instances"] if ends]
        centres = [str(name) for name in row["circle_instances"] if name]
        forms = [str(form) for form in row["diagram_logic_forms"]]
        if not all(abs(number) <= _FARTHEST for at in places.values() for number in at):
            raise ValueError("a point lies outside of every picture")
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise BadRecord("damaged", repr(error)) from None
    known = {name: at for name, at in places.items() if at != (-1.0, -1.0)}
    used = {name for ends in lines for name in ends} | set(centres)
    if lost := sorted(used - set(known)):
        raise BadRecord("point_without_place", ", ".join(lost))
    if not lines or any(len(ends) != 2 or ends[0] == ends[1] for ends in lines):
        raise BadRecord("damaged", "lines are pairs of two different points, and there must be one")
    if not all(len(name) == 1 and name.isupper() for name in used):
        raise BadRecord("names", "points are named by one capital letter each")
    scale, middle = _box([known[name] for name in sorted(used)])
    at = {name: complex((known[name][0] - middle[0]) * scale, (middle[1] - known[name][1]) * scale) for name in used}
    points = [s.Free(name, _literal(at[name]), False) for name in sorted(used - set(centres))]
    return (*_circles(centres, at, forms), *points, *(s.Segment("".join(sorted(ends))) for ends in _unique(lines)))


def _unique(lines: list[str]) -> list[str]:
    return list({frozenset(ends): ends for ends in lines}.values())


def _box(points: list[tuple[float, float]]) -> tuple[float, tuple[float, float]]:
    """The factor that makes the box of these points `_WIDTH` wide, and its middle."""
    xs, ys = zip(*points, strict=True)
    reach = max(max(xs) - min(xs), max(ys) - min(ys))
    if reach < 1:
        raise BadRecord("damaged", "all points lie in one place")
    return _WIDTH / reach, ((max(xs) + min(xs)) / 2, (max(ys) + min(ys)) / 2)


def _literal(point: complex) -> tuple[float, float]:
    return round(point.real, 4), round(point.imag, 4)


def _circles(centres: list[str], at: Mapping[str, complex], forms: list[str]) -> Iterator[s.Circle]:
    """A circle's radius is the mean distance of the points that are said to lie on it."""
    on: dict[str, list[float]] = {centre: [] for centre in centres}
    for form in forms:
        found = _PATTERNS["on_circle"].fullmatch(form)
        if found and found[2] in on and found[1] in at:
            on[found[2]].append(abs(at[found[1]] - at[found[2]]))
    for centre, reach in on.items():
        if not reach or min(reach) < 0.05:
            raise BadRecord("circle_without_radius", centre)
        yield s.Circle(centre, _literal(at[centre]), round(sum(reach) / len(reach), 4))


def _predicates(row: Document) -> Iterator[Statement]:
    """The predicates that we have statements for, in the order of the record, each once."""
    seen: set[Statement] = set()
    for form in map(str, row["diagram_logic_forms"]):
        for name, pattern in _PATTERNS.items():
            found = pattern.fullmatch(form)
            if found is None or any(len(set(names)) < len(names) for names in _letters(name, found)):
                continue  # an angle from a line to itself
            statement = _statement(name, found)
            if statement not in seen:
                seen.add(statement)
                yield statement


def _letters(name: str, found: re.Match[str]) -> list[str]:
    """Letters that must differ from each other, group by group."""
    words = [word for word in found.groups() if word and word.isalpha()]
    return ["".join(words[:2]), "".join(words[2:])] if name in ("parallel", "perpendicular") else ["".join(words)]


def _statement(name: str, found: re.Match[str]) -> Statement:
    words = found.groups()
    if name == "length":
        return s.Length("".join(sorted(words[0] + words[1])), float(words[2]))
    if name == "angle":
        return s.Angle(words[1], "".join(sorted(words[0] + words[2])), float(words[3]))
    if name == "on_circle":
        return s.Told("place", words[0], words[1], "on")
    if name == "on_line":
        return s.Told("lies", words[0], "".join(sorted(words[1] + words[2])), "on")
    one, other = words[0] + words[1], words[2] + words[3]
    shared = set(one) & set(other)
    if name == "perpendicular" and len(shared) == 1 and len(set(one) | set(other)) == 3:
        vertex = shared.pop()
        return s.RightMark(vertex, "".join(sorted(set(one + other) - {vertex})))
    return s.Told("lines", one, other, name)
