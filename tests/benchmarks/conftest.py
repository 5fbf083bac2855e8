"""Benchmarks that are one file, as modules."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="session")
def load() -> Iterator[Callable[[str], ModuleType]]:
    """A benchmark by its name."""
    loaded: list[str] = []

    def module(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
        assert spec is not None and spec.loader is not None
        found = importlib.util.module_from_spec(spec)
        sys.modules[name] = found  # its data classes look themselves up
        loaded.append(name)
        spec.loader.exec_module(found)
        return found

    yield module
    for name in loaded:
        sys.modules.pop(name, None)
