"""How figures are drawn."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Final

from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.base.options import Option, check
from negmine.store.options import DATA, Seed, on_disk_text

GEOMETRY3K: Final = "geometry3k"
MOST_NEGATIVES: Final = 31
SMALLEST, LARGEST = 48, 1024
"""Sides of images, pixels: below, letters cannot be read."""


@dataclass(frozen=True, kw_only=True)
class GroupSettings:
    """What groups depend on, beside their number."""

    domain: Annotated[str, Option("scenes, geometry, or geometry3k")] = field(default="scenes", kw_only=False)
    level: Annotated[
        int, Option("1 (two things, one claim) to 5 (many things, many claims)", name="difficulty", least=1, most=5)
    ] = 3
    negatives: Annotated[int, Option("K, perturbed figures of a group, at most", least=1, most=MOST_NEGATIVES)] = 7
    size: Annotated[int, Option("side of the images, pixels", least=SMALLEST, most=LARGEST)] = 128
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, kw_only=True)
class RenderSettings:
    """What is made: `count` groups; of `records`, a Geometry3K file, the first so many as bases."""

    groups: GroupSettings = field(default_factory=GroupSettings, kw_only=False)
    count: Annotated[int, Option("groups: an image and its negatives", least=1, unset="1,000, or all records")] = 1_000
    records: Annotated[
        str | None, Option("Geometry3K's diagrams, for --domain geometry3k", parser=on_disk_text, panel=DATA)
    ] = None
    positives: Annotated[int, Option("the same said otherwise, texts of a group, at most", least=0)] = 0
    part_size: int = 512
    """Groups in a part."""

    def __post_init__(self) -> None:
        from negmine.stages.figures.domains import DOMAINS

        check(self)
        pick("domain", self.groups.domain, [*DOMAINS, GEOMETRY3K])
        if (self.groups.domain == GEOMETRY3K) != (self.records is not None):
            raise UsageError(
                f"domain {self.groups.domain} is {'not ' if self.records else ''}drawn from records",
                fix="use --domain geometry3k and --records FILE together",
            )

    @property
    def parts(self) -> int:
        return -(-self.count // self.part_size)
