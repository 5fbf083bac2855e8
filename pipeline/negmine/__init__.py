"""negmine: hard negatives for vision-language models, from captions to training shards.

The commands as functions are in `negmine.api`, and stand here too: ``negmine.parse``, ``negmine.retrieve``, ...
"""

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from negmine.api import *  # noqa: F403

__version__ = version("negmine")


def __getattr__(name: str) -> Any:
    """A function or settings class of `negmine.api`, which is imported when it is first asked for."""
    api = import_module("negmine.api") if not name.startswith("_") else None
    if api is not None and name in api.__all__:
        return getattr(api, name)
    raise AttributeError(f"module 'negmine' has no attribute {name!r}")
