"""Evaluation: held-out shards and benchmarks. A format is one file here and one line in `BENCHMARKS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from ahnpl.evaluate import sugarcrepe
from ahnpl.evaluate.items import Item

BENCHMARKS: dict[str, Callable[[Path, Path | None], Iterator[Item]]] = {"sugarcrepe": sugarcrepe.read}
"""Format name to its reader: ``(path, images folder) -> items``."""
