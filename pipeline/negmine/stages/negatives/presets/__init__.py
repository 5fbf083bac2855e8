"""Presets: which rules are used and how their candidates are chosen. A new one is a TOML file here, or anywhere."""

from __future__ import annotations

from importlib import resources
from typing import Final

from negmine.base.documents import check_kind, fill, load_document, of_document, packaged
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.stages.negatives.settings import ParseSettings

_NEEDED: Final = ("rules", "per_caption", "balanced")


def names() -> list[str]:
    """The presets that come with negmine."""
    return packaged(resources.files(__name__))


def load_preset(name: str) -> ParseSettings:
    """A preset by its name, or by the path of a TOML file with the same fields.

    Raises:
        UsageError: there is none, or a field is unknown, missing or wrong.
    """
    table = load_document("preset", name, resources.files(__name__), ".toml")
    with of_document(name):
        for field in table:
            pick("field of a preset", field, (*_NEEDED, "thinning", "plausible", "complete", "reader", "weights"))
        for field in _NEEDED:
            if field not in table:
                raise UsageError(f"this preset says nothing of {field}", fix=f"it needs {', '.join(_NEEDED)}")
        weights = _weights(table.pop("weights", {}))
        return fill(ParseSettings, table, weights=weights)


def _weights(given: object) -> tuple[tuple[str, float], ...]:
    if not isinstance(given, dict):
        raise UsageError("weights is no table", fix="write one `rule = weight` a line under [weights]")
    for rule, weight in given.items():
        check_kind(f"the weight of {rule}", weight, float)
    return tuple(sorted(given.items()))
