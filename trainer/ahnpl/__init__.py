"""ahnpl: train, evaluate and export CLIP-like models on shards with hard negatives.

import ahnpl

result = ahnpl.train(ahnpl.TrainConfig(shards=("data/*.tar",), model="tiny", epochs=1, out="runs/mine"))
print(result.checkpoint, result.report)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ahnpl.api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    """A function or class of `ahnpl.api`, which is imported when it is first asked for."""
    api = import_module("ahnpl.api") if not name.startswith("_") else None
    if api is not None and name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module 'ahnpl' has no attribute {name!r}")
