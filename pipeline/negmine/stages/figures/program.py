"""Programs: tuples of typed statements, as JSON and as lines of code.

A statement is a frozen dataclass. Its fields are text, numbers, truth values, and tuples of these; a field annotated
`Names` holds point letters, so that letters can be exchanged or left out without knowing the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import Field, fields, replace
from typing import Any, ClassVar, Final, Protocol

Names = str
"""Point letters, one character each: ``BCD`` is three points."""


class Statement(Protocol):
    """A frozen dataclass of a domain."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # as the standard library says it


Program = tuple[Statement, ...]

DECIMALS: Final = 4
"""Of every number in a program; coarse enough that the last bits of a sine never show."""


def to_json(program: Program) -> list[dict[str, object]]:
    """Statements as objects: ``{"do": "Segment", "ends": "BC", "dashed": false}``."""
    return [
        {"do": type(one).__name__, **{field.name: getattr(one, field.name) for field in fields(one)}} for one in program
    ]


def from_json(rows: Iterable[Mapping[str, object]], statements: Mapping[str, type]) -> Program:
    """The inverse of `to_json`.

    Args:
        statements: a domain's statements by name.

    Raises:
        ValueError: an unknown statement, or fields that it does not have.
    """
    program = list[Statement]()
    for row in rows:
        arguments = {name: _frozen(value) for name, value in row.items() if name != "do"}
        try:
            program.append(statements[str(row["do"])](**arguments))
        except (KeyError, TypeError) as error:
            raise ValueError(f"no statement {dict(row)!r}: {error!r}") from None
    return tuple(program)


def _frozen(value: object) -> object:
    return tuple(map(_frozen, value)) if isinstance(value, list | tuple) else value


def to_code(program: Program) -> str:
    """One line a statement, so that an edit of one slot is a difference of one line."""
    lines = []
    for one in program:
        arguments = ", ".join(f"{field.name}={getattr(one, field.name)!r}" for field in fields(one))
        lines.append(f"{type(one).__name__}({arguments})\n")
    return "".join(lines)


def renamed(program: Program, rename: Callable[[str], str]) -> Program:
    """The program with each letter of its `Names` fields changed."""
    return tuple(_renamed(one, rename) for one in program)


def _renamed(statement: Statement, rename: Callable[[str], str]) -> Statement:
    changes = {name: "".join(map(rename, getattr(statement, name))) for name in names_of(statement)}
    return replace(statement, **changes) if changes else statement


def names_of(statement: Statement) -> list[str]:
    """Which fields hold point letters."""
    return [field.name for field in fields(statement) if field.type == "Names"]


def letters(program: Program) -> list[str]:
    """The point letters of a program, in the order of their first use."""
    return list(dict.fromkeys(c for one in program for name in names_of(one) for c in getattr(one, name)))


def rounded(value: complex) -> tuple[float, float]:
    """A point as two literals."""
    return round(value.real, DECIMALS), round(value.imag, DECIMALS)
