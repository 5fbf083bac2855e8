"""Settings that people write into files: YAML and TOML, read so that nothing in them is guessed or lost."""

from __future__ import annotations

import reprlib
import tomllib
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager
from importlib.resources.abc import Traversable
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, get_args, get_origin

import yaml

from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import Hint, declared
from negmine.base.whole_files import is_file, read_whole

Settings = TypeVar("Settings")

Document = dict[str, Any]
"""What a YAML, TOML or JSON file says: a table of texts, numbers, lists and tables. Whoever reads a value checks it."""


class _Plain(yaml.SafeLoader):
    """YAML of plain values: a key stands once, and nothing is repeated by reference, which can fill the memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"{key.value!r} is there twice, line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_settings(path: Traversable) -> str:
    """The text of a file of settings.

    Raises:
        UsageError: it cannot be read, or is no UTF-8.
    """
    try:
        content = read_whole(path) if isinstance(path, Path) else path.read_bytes()
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("this file is no UTF-8", where=str(path), why=str(error), fix="save it as UTF-8") from None
    except OSError as error:
        raise UsageError(
            "this file cannot be read", where=str(path), why=error.strerror or str(error), fix="check it"
        ) from None


def parse_yaml(text: str, where: str) -> Document:
    """The table that YAML describes.

    Raises:
        UsageError: it describes no table whose keys are texts, has a key twice, or is nested too deeply.
    """
    try:
        body = yaml.load(text, _Plain)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise UsageError("this is no YAML", where=where, why=_why(error), fix="mend the file") from None
    if not isinstance(body, dict) or not all(isinstance(name, str) for name in body):
        raise UsageError("a file of settings is a table", where=where, fix="write one `name: value` a line")
    return body


def parse_toml(text: str, where: str) -> Document:
    """The table that TOML describes.

    Raises:
        UsageError: it is none, or is nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("this is no TOML", where=where, why=_why(error), fix="mend the file") from None


# --- by name, and as settings ----------------------------------------------------------------------------------------

_FORMATS: Final = {".yaml": parse_yaml, ".yml": parse_yaml, ".toml": parse_toml}


def packaged(folder: Traversable) -> list[str]:
    """Names of the files of settings that come with a package."""
    return sorted(Path(one.name).stem for one in folder.iterdir() if Path(one.name).suffix in _FORMATS)


def find_document(what: str, name: str, folder: Traversable, ending: str) -> Traversable:
    """A packaged file, by its name, or a person's own, by its path.

    Args:
        what: ``recipe``, ``preset``, for messages.
        folder: of the packaged ones.
        ending: theirs, ``.yaml`` or ``.toml``; a person's own file is of that format too.

    Raises:
        UsageError: there is none, with the nearest names.
    """
    if Path(name).suffix in _FORMATS or (name not in packaged(folder) and is_file(Path(name))):
        return Path(name)
    return folder.joinpath(f"{pick(what, name, packaged(folder), or_else=f'or name a {ending} file')}{ending}")


def load_document(what: str, name: str, folder: Traversable, ending: str) -> Document:
    """The table in a file that `find_document` finds.

    Raises:
        UsageError: there is none, with the nearest names; or it cannot be read.
    """
    return _FORMATS[ending](read_settings(find_document(what, name, folder, ending)), name)


def fill(kind: type[Settings], table: Mapping[str, object], **ready: object) -> Settings:
    """Settings of a dataclass from a table, each value checked against its field's type.

    Args:
        ready: fields that are made already.

    Raises:
        UsageError: a value of another kind, or what the settings themselves refuse.
    """
    types = declared(kind)
    for name, value in table.items():
        check_kind(name, value, types[name].type)
    made = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    return kind(**made, **ready)


_WORDS: Final[Mapping[object, str]] = {bool: "true or false", int: "whole number", float: "number", str: "text"}


def check_kind(name: str, value: object, kind: Hint, example: str = "") -> None:
    """Check that a value that a person wrote is of a type, such as ``float | None`` or ``tuple[str, ...]``.

    Args:
        example: of what belongs there.

    Raises:
        UsageError: it is not; a text such as "no" is not true or false, and YAML reads 1e-3 as a text.
    """
    if fits(value, kind):
        return
    kinds = [one for one in get_args(kind) if one is not NoneType] if isinstance(kind, UnionType) else [kind]
    number = isinstance(value, str) and float in kinds and not example
    fix = "in YAML 1e-3 is a text, and 1.0e-3 a number" if number else None
    words = " or ".join("list of texts" if get_origin(one) is tuple else _WORDS[one] for one in kinds)
    raise UsageError(
        f"{name} is no {words}",
        why=f"it is {reprlib.repr(value)}",
        fix=fix or (f"write something like {example}" if example else "mend it"),
    )


def fits(value: object, kind: object) -> bool:
    """Whether a value is of a type, strictly: true is no number, and a number is finite."""
    if isinstance(kind, UnionType):
        return any(fits(value, one) for one in get_args(kind))
    if get_origin(kind) is tuple:
        return isinstance(value, list) and all(fits(one, get_args(kind)[0]) for one in value)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**31
    return type(value) is kind


@contextmanager
def of_document(where: str | None) -> Iterator[None]:
    """Name the file, if there is one, in errors that do not."""
    try:
        yield
    except UsageError as error:
        raise UsageError(error.what, where=error.where or where, why=error.why, fix=error.fix) from None


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
