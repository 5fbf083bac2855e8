"""negmine: hard negatives for vision-language models, from captions to training shards.

The commands as functions are in `negmine.api`, and stand here too: ``negmine.parse``, ``negmine.retrieve``, ...
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from negmine.api import *  # noqa: F403

__version__ = version("negmine")

__all__ = [
    "AuditSettings",
    "GroupSettings",
    "IngestSettings",
    "ParseSettings",
    "PlanSettings",
    "RenderSettings",
    "RetrieveSettings",
    "ShardSettings",
    "WithNegatives",
    "audit",
    "parse",
    "preset",
    "read",
    "recipe",
    "render",
    "retrieve",
    "shard",
]
"""Of the module `api`, which is imported when one of them is first asked for."""


def __getattr__(name: str) -> object:
    if name in __all__:
        return getattr(import_module("negmine.api"), name)
    raise AttributeError(f"module 'negmine' has no attribute {name!r}")
