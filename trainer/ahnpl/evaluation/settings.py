"""How to score."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from negmine.base.options import Option, check

from ahnpl.evaluation.columns import Columns


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to score."""

    batch_size: Annotated[int, Option("Items at a time.", least=1)] = 64
    workers: Annotated[int, Option("Decoding threads; 0 decodes in turn.", least=0)] = 2
    limit: Annotated[int | None, Option("Score the first items only.", least=1)] = None
    max_bad: Annotated[float, Option("Share of samples that may be unreadable.", least=0)] = 0.01
    """Of the images that may be missing or unreadable, and of the rows that may be refused."""
    columns: Columns = field(default_factory=Columns)
    """Of a benchmark that is a table."""
    advance: Callable[[int], None] = lambda count: None
    """Told how many items were scored."""

    def __post_init__(self) -> None:
        check(self)
