"""The domains by name; to add one, write its package and add its line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from negmine.stages.figures.domain import Domain
from negmine.stages.figures.geometry import GEOMETRY
from negmine.stages.figures.scenes import SCENES

DOMAINS: Final[Mapping[str, Domain]] = {domain.name: domain for domain in (GEOMETRY, SCENES)}
