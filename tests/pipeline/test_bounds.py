"""No version with a hole that `SECURITY.md` names may be installed, and each dependency is named there."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
ROW = re.compile(r"^\| `(?P<package>[^`]+)` \| (?P<version>[0-9.]+) \|", re.MULTILINE)


def told() -> dict[str, Version]:
    """By package the oldest version without the holes."""
    rows = ROW.finditer((ROOT / "SECURITY.md").read_text("utf-8"))
    return {canonicalize_name(row["package"]): Version(row["version"]) for row in rows}


def not_looked_up() -> set[str]:
    (names,) = re.findall(r"Not looked up: (.+?);", (ROOT / "SECURITY.md").read_text("utf-8"), re.DOTALL)
    return {canonicalize_name(name) for name in re.findall(r"`([^`]+)`", names)}


def required() -> list[Requirement]:
    """What users install: of the extras all but `dev`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    extras = (lines for name, lines in project["optional-dependencies"].items() if name != "dev")
    return [Requirement(line) for lines in (project["dependencies"], *extras) for line in lines]


def oldest(requirement: Requirement) -> Version:
    return max(Version(part.version) for part in requirement.specifier if part.operator in (">=", "==", "~="))


@pytest.mark.parametrize("package", sorted(told()))
def test_no_bound_admits_a_hole(package: str) -> None:
    bounds = [oldest(one) for one in required() if canonicalize_name(one.name) == package]
    assert bounds and min(bounds) >= told()[package]


def test_what_was_tested_together_has_no_hole() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = {canonicalize_name(one.name): oldest(one) for one in map(Requirement, lines[1:])}
    assert {name for name, version in told().items() if pins[name] < version} == set()


def test_each_dependency_is_named() -> None:
    assert {canonicalize_name(one.name) for one in required()} == set(told()) | not_looked_up()
