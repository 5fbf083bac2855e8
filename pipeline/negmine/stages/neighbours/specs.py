"""Named pieces with numbers, such as filters and samplers: how they are written, checked and completed.

``percentage`` is a piece with its defaults, ``percentage=0.9`` sets its first number, and
``adaptive_margin:base=0.1,spread=0`` names them. ``0.2..0.02`` is a number that moves with the progress of training.
"""

from __future__ import annotations

import reprlib
from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from math import isfinite

from negmine.base.errors import UsageError
from negmine.base.names import pick


def read_piece(text: str) -> tuple[str, dict[str, str]]:
    """Name and options of a piece as a person writes it; the option of ``name=value`` is called ''."""
    name, colon, rest = text.partition(":")
    if not colon:
        name, equals, value = text.partition("=")
        return name.strip(), {"": value} if equals else {}
    options = (option.partition("=") for option in rest.split(",") if option)
    return name.strip(), {option.strip(): value for option, _, value in options}


def complete(
    kind: str,
    name: str,
    given: Mapping[str, object],
    registry: Mapping[str, Callable[..., object]],
    progress: float = 1.0,
) -> dict[str, float]:
    """All numbers of a piece: those given, and the defaults of its function's keyword arguments.

    Args:
        kind: what the registry holds, for messages.
        progress: where a number ``from..to`` stands, 0 to 1.

    Raises:
        UsageError: an unknown name or option, with the nearest ones, or a value that is no number.
    """
    pick(kind, name, registry)
    known = {
        p.name: p.default for p in signature(registry[name]).parameters.values() if p.kind is Parameter.KEYWORD_ONLY
    }
    numbers = dict(known)
    for option, value in given.items():
        option = option or next(iter(known), "")
        if not known:
            raise UsageError(f"{kind} {name} has no option", where=f"{option or value!r}", fix="leave it out")
        pick(f"option of {kind} {name}", option, known)
        numbers[option] = _number(kind, name, option, value, progress)
    return {option: float(value) for option, value in numbers.items()}


def _number(kind: str, name: str, option: str, value: object, progress: float) -> float:
    try:
        ends = [float(end) for end in str(value).split("..")]
        if len(ends) > 2 or not all(map(isfinite, ends)):
            raise ValueError(value)
    except ValueError:
        raise UsageError(
            f"{kind} {name}: {option} must be a number, or two as in 0.2..0.02", why=f"it is {reprlib.repr(value)}"
        ) from None
    return ends[0] + (ends[-1] - ends[0]) * progress
