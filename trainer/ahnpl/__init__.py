"""ahnpl: train, evaluate and export CLIP-like models on shards with hard negatives.

import ahnpl

result = ahnpl.train(ahnpl.TrainConfig(shards=("data/*.tar",), model="tiny", epochs=1, out="runs/mine"))
print(result.checkpoint, result.report)
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ahnpl.api import *  # noqa: F403

__all__ = [
    "ClipModel",
    "Report",
    "TrainConfig",
    "TrainResult",
    "evaluate",
    "load",
    "train",
]
"""Of the module `api`, which is imported when one of them is first asked for."""


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("ahnpl.api"), name)
    raise AttributeError(f"module 'ahnpl' has no attribute {name!r}")
