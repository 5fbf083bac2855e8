"""Pieces of a row as a recipe writes them: a name, or ``{name: options}``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import reduce
from inspect import signature
from operator import or_
from types import NoneType
from typing import Final, TypeVar

from negmine.base.documents import Document, check_kind
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import Hint
from torch import nn

T = TypeVar("T")
_PLAIN: Final[Mapping[str, type]] = {"bool": bool, "int": int, "float": float, "str": str, "None": NoneType}
Spec = str | Mapping[str, Document]


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
        if (kind := _kind(str(known[key].annotation))) is not None:
            check_kind(f"{key} of {what} {name}", value, kind)
    return build(**(options or {}))


def _kind(annotation: str) -> Hint:
    """The type of a plain option, such as ``float | None``; None for others, which are checked where they are used."""
    names = annotation.split(" | ")
    return reduce(or_, (_PLAIN[name] for name in names)) if _PLAIN.keys() >= set(names) else None
