"""Commands, derived from settings: a parameter that is a dataclass of options becomes those options.

    @with_options
    def shard(settings: ShardSettings, out: Annotated[Path, Option("folder of the shards")] = Path("data")) -> None: ...

has ``--shard-size`` and all others that `ShardSettings` declares, and ``--out``; it is called with the settings made.
Where settings begin with a recipe, a command asks for ``Annotated[Values, Given(RetrieveSettings)]``:
the values by field, without those that nobody named.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import wraps
from types import UnionType
from typing import Annotated, get_args, get_origin, get_type_hints

import typer

from negmine.base.options import Hint, Option, Values, check_value, declared, read_hint


@dataclass(frozen=True)
class Given:
    """Marks a parameter that takes what was given of these settings' options, and not the settings."""

    settings: type


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """`command` with an option in place of each field of each parameter that is a dataclass or `Given` one."""
    hints = get_type_hints(command, include_extras=True)
    settings: dict[str, type] = {}
    given: dict[str, type] = {}
    plain: dict[str, Option] = {}
    taken: list[inspect.Parameter] = []
    for one in inspect.signature(command).parameters.values():
        hint = read_hint(hints[one.name])
        asked = next((mark.settings for mark in hint.marks if isinstance(mark, Given)), None)
        if asked is not None:
            given[one.name] = asked
            taken += _options_of(asked)
        elif _is_settings(hint.type):
            settings[one.name] = hint.type
            taken += _options_of(hint.type)
        elif hint.option is not None:
            plain[one.name] = hint.option
            taken.append(_parameter(one.name, hint.type, hint.option, one.default))
        else:
            taken.append(one.replace(kind=one.KEYWORD_ONLY, annotation=hints[one.name]))

    @wraps(command)
    def run(**values: object) -> None:
        for name, option in plain.items():
            check_value(name, option, values[name])
        made: Values = {name: one(**_named(one, values)) for name, one in settings.items()}
        command(**made, **{name: _named(one, values) for name, one in given.items()}, **values)

    run.__signature__ = inspect.Signature(taken, return_annotation=None)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in taken}
    return run


def _is_settings(kind: object) -> bool:
    return isinstance(kind, type) and is_dataclass(kind)


def _options_of(settings: type) -> list[inspect.Parameter]:
    """One parameter a declared field; a field that is a dataclass of options itself gives its own."""
    taken: list[inspect.Parameter] = []
    defaults = {one.name: one.default for one in fields(settings)}
    for name, one in declared(settings).items():
        if _is_settings(one.type):
            taken += _options_of(one.type)
        elif one.option is not None:
            default = inspect.Parameter.empty if defaults[name] is MISSING else defaults[name]
            taken.append(_parameter(name, one.type, one.option, default))
    return taken


def _parameter(name: str, type_: Hint, option: Option, default: object) -> inspect.Parameter:
    """One option as typer is told of it."""
    wanted = option.typed or type_
    if _is_several(wanted):  # several values are a list for typer
        wanted = list[get_args(wanted)[0]]  # type: ignore[misc]
        default = list(default) if isinstance(default, tuple) else default
    if option.unset is not None:
        wanted, default = wanted | None, None
    told: Values = {
        "help": option.help,
        "parser": option.parser,
        "rich_help_panel": option.panel,
        "hidden": option.hidden,
        "show_default": option.unset or default is not True,
    }
    if option.argument:
        info = typer.Argument(metavar=option.name, **told)
    else:
        spelt = option.spelt(name)
        flag = f" /{spelt.replace('--', '--no-', 1)}" if default is True else spelt
        info = typer.Option(flag, metavar=_metavar(wanted, option), **told)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=Annotated[wanted, info])


def _is_several(hint: object) -> bool:
    """Whether it is a ``tuple[..., ...]``."""
    return get_origin(hint) is tuple


def _metavar(wanted: Hint, option: Option) -> str | None:
    if not option.bounds:
        return None
    several = get_args(wanted) if isinstance(wanted, UnionType) else (wanted,)
    return f"<{'int' if int in several else 'float'} {option.bounds}>"


def _named(settings: type, values: Values) -> Values:
    """Take the values of these settings' options out of `values`, without those that nobody named."""
    taken: Values = {}
    for name, one in declared(settings).items():
        if _is_settings(one.type):
            taken[name] = one.type(**_named(one.type, values))
        elif one.option is not None:
            value = values.pop(name)
            if value is not None or one.option.unset is None:
                taken[name] = tuple(value) if isinstance(value, list) else value
    return taken
