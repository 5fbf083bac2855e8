"""Pieces of a row as a recipe writes them: a name, or ``{name: options}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from math import isfinite
from typing import Any, Final, TypeVar

from negmine.base.errors import UsageError
from negmine.base.names import pick
from torch import nn

T = TypeVar("T")
_PLAIN: Final[Mapping[str, tuple[type, ...]]] = {
    "bool": (bool,), "int": (int,), "float": (float, int), "str": (str,), "None": (type(None),),
}  # fmt: skip
Spec = str | Mapping[str, Mapping[str, Any]]


class Timed(nn.Module):
    """A piece that moves with training; `progress` is the share that is done, all of it where nobody tells."""

    progress: float = 1.0

    def begin_step(self, step: int, steps: int) -> None:
        """Step `step` of `steps` begins, from 0."""
        self.progress = step / max(steps, 1)


def make(what: str, spec: Spec, registry: Mapping[str, Callable[..., T]]) -> T:
    """The piece that `spec` names.

    Raises:
        UsageError: an unknown name or option, with the nearest ones; more than one piece where one belongs.
    """
    if isinstance(spec, str):
        spec = {spec: {}}
    if len(spec) != 1:
        raise UsageError(f"a row takes one {what}, this one has {len(spec)}", why=", ".join(spec))
    ((name, options),) = spec.items()
    build = registry[pick(what, name, registry)]
    known = signature(build).parameters
    for key, value in (options or {}).items():
        pick(f"option of {what} {name}", key, known)
        _check_kind(f"{key} of {what} {name}", value, str(known[key].annotation))
    return build(**(options or {}))


def _check_kind(name: str, value: object, kinds: str) -> None:
    """Check a plain option; a text such as ``"no"`` would count as true, and YAML reads 1e-3 as a text.

    Args:
        kinds: the option's annotation, such as ``float | None``; what is not of `_PLAIN` is checked where it is used.

    Raises:
        UsageError: a value of another kind.
    """
    asked = kinds.split(" | ")
    if not _PLAIN.keys() >= set(asked):
        return
    if not any(type(value) in _PLAIN[kind] for kind in asked) or (isinstance(value, float) and not isfinite(value)):
        fix = "in YAML 1e-3 is a text, and 1.0e-3 a number" if isinstance(value, str) and "float" in asked else None
        raise UsageError(f"{name} is {value!r}"[:200], why=f"it should be {kinds}", fix=fix)
