"""Settings as text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping


def flattened(values: Mapping[str, object], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as dotted names with their values as text."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from flattened(value, f"{prefix}{name}.")
        elif isinstance(value, list | tuple) and value and all(isinstance(one, str) for one in value):
            yield f"{prefix}{name}", ", ".join(value)
        else:
            yield f"{prefix}{name}", as_text(value)


def as_text(value: object) -> str:
    """A setting as a person would write it; JSON where that is not text."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
