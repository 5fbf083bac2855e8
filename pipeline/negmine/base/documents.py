"""Settings that people write into files: YAML and TOML, read so that nothing in them is guessed or lost."""

from __future__ import annotations

import tomllib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from negmine.base.errors import UsageError


class _Plain(yaml.SafeLoader):
    """YAML of plain values: a key stands once, and nothing is repeated by reference, which can fill the memory."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen = set[str]()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.YAMLError(f"{key.value!r} is there twice, line {key.start_mark.line + 1}")
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def read_settings(path: Path) -> str:
    """The text of a file of settings.

    Raises:
        UsageError: it cannot be read, or is no UTF-8.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError("this file is no UTF-8", where=str(path), why=str(error), fix="save it as UTF-8") from None
    except OSError as error:
        raise UsageError("this file cannot be read", where=str(path), why=error.strerror, fix="check it") from None


def parse_yaml(text: str, where: str) -> dict[str, Any]:
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


def parse_toml(text: str, where: str) -> dict[str, Any]:
    """The table that TOML describes.

    Raises:
        UsageError: it is none, or is nested too deeply.
    """
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise UsageError("this is no TOML", where=where, why=_why(error), fix="mend the file") from None


def _why(error: Exception) -> str:
    return "it is nested too deeply" if isinstance(error, RecursionError) else " ".join(str(error).split())
