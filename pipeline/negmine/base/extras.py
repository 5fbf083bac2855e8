"""Optional packages, which the extras of `pyproject.toml` install."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

from negmine.base.errors import UsageError


def need(module: str, package: str, extra: str = "offline") -> ModuleType:
    """Import an optional module of one of our extras.

    Raises:
        UsageError: the package is not installed.
    """
    if find_spec(module) is None:
        raise UsageError(f"this needs the package {package}", fix=f"pip install 'negmine[{extra}]'")
    return import_module(module)
