"""The guide for newcomers names files that are there, and what it says stands in them does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PLACES = re.findall(r"`((?:pipeline|trainer)/[\w/.]+)(?:: ([\w.]+))?`", (ROOT / "CONTRIBUTING.md").read_text())


@pytest.mark.parametrize(
    ("path", "name"), [place for place in PLACES if "NAME" not in place[0] and "DOMAIN" not in place[0]]
)
def test_what_is_named_is_there(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    for part in name.split(".") if name else ():
        assert re.search(rf"\b(?:def|class) {part}\b|^{part}\b", (ROOT / path).read_text(), re.M), part
