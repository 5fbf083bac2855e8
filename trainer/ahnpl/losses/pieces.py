"""Pieces of a row as a recipe writes them: a name, or ``{name: options}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, TypeVar

from negmine.errors import UsageError
from torch import nn

from ahnpl.names import pick

T = TypeVar("T")
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
    for key in options or {}:
        pick(f"option of {what} {name}", key, signature(build).parameters)
    return build(**(options or {}))
