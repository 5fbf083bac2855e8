"""Options, declared once: beside the fields of the settings that they set.

    @dataclass(frozen=True, kw_only=True)
    class ShardSettings:
        shard_size: Annotated[int, Option("samples in a shard", least=1)] = 5_000

        def __post_init__(self) -> None:
            check(self)

`negmine.base.command` makes ``--shard-size`` of this. Nothing heavy is imported here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from typing import Annotated, Any, TypeAlias, get_args, get_origin, get_type_hints

from negmine.base.errors import UsageError
from negmine.base.names import pick

Hint: TypeAlias = Any
"""What stands behind the colon of a field, as ``float | None``: Python has no type yet for all of these (PEP 747)."""

Values = dict[str, Any]
"""Values by the names of fields or parameters, each of a type of its own, which a dictionary cannot say."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """What a command says and checks of one field, beyond the field's own name, type and default.

    Attributes:
        help: a line of ``--help``.
        name: of the option, where it is not the field's.
        panel: heading of ``--help`` under which it stands.
        least, most: bounds of a number.
        one_of: the words that there are.
        typed: the type on the command line, where it is not the field's.
        parser: from the typed text to the value.
        unset: where a value comes from that nobody names, in words ("the recipe's"); there is no default then.
        argument: whether it is named by its place and not by ``--NAME``.
    """

    help: str = field(kw_only=False)
    name: str | None = None
    panel: str | None = None
    least: float | None = None
    most: float | None = None
    one_of: tuple[str, ...] = ()
    typed: Hint = None
    parser: Callable[[str], object] | None = None
    unset: str | None = None
    argument: bool = False
    hidden: bool = False

    def spelt(self, field_name: str) -> str:
        """As it is typed: ``--batch-size``."""
        return f"--{(self.name or field_name).rstrip('_').replace('_', '-')}"

    @property
    def bounds(self) -> str:
        """For example ``1..5`` or ``1..``; empty where every number will do."""
        ends = ["" if end is None else f"{end:g}" for end in (self.least, self.most)]
        return "..".join(ends) if any(ends) else ""


@dataclass(frozen=True)
class Declared:
    """A field of settings: its type, and its marks, of which one may be an `Option`."""

    type: Hint
    marks: tuple[object, ...]

    @property
    def option(self) -> Option | None:
        return next((mark for mark in self.marks if isinstance(mark, Option)), None)


def read_hint(hint: Hint) -> Declared:
    """``Annotated[type, *marks]`` taken apart."""
    return Declared(*_parts(hint))


def _parts(hint: object) -> tuple[Hint, tuple[object, ...]]:
    if get_origin(hint) is not Annotated:
        return hint, ()
    plain, *marks = get_args(hint)
    return plain, tuple(marks)


def declared(settings: type) -> Mapping[str, Declared]:
    """The fields of a dataclass by name."""
    hints = get_type_hints(settings, include_extras=True)
    return {one.name: read_hint(hints[one.name]) for one in fields(settings)}


def check(settings: object) -> None:
    """Check every field against the bounds and words of its option. This is the one place where they are checked.

    Raises:
        UsageError: with the option's name.
    """
    for name, one in declared(type(settings)).items():
        if one.option is not None:
            check_value(name, one.option, getattr(settings, name))


def check_value(name: str, option: Option, value: Any) -> None:  # of the type that the field says
    """Check the value of one field, or of one parameter of a command.

    Raises:
        UsageError: with the option's name.
    """
    if value is None:
        return
    spelt, least, most = option.spelt(name), option.least, option.most
    if isinstance(value, float) and not isfinite(value):
        raise UsageError(f"{spelt} is {value}", fix="give a number")
    if (least is not None and not value >= least) or (most is not None and not value <= most):
        said = f"choose {least or 0:g} {'or more' if most is None else f'to {most:g}'}"
        raise UsageError(f"{spelt} is {value}", fix=said)
    if isinstance(value, int) and abs(value) > sys.maxsize:
        raise UsageError(f"{spelt} is too large", fix=f"choose {sys.maxsize} at most")
    if option.one_of:
        pick(spelt, value, option.one_of)
