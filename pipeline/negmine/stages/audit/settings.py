"""What is audited, and how closely."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from negmine.base.options import Option, check
from negmine.store.options import DATA, DEFAULT_WORK, RUN, Seed
from negmine.store.places import on_disk


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What is audited, and how closely: the ``pairs`` and ``negatives`` of `work`, or somebody else's file."""

    work: Path = field(default=DEFAULT_WORK, kw_only=False)
    negatives: Annotated[
        Path | None, Option("somebody else's JSONL, TSV or JSON, in place of ours", parser=on_disk, panel=DATA)
    ] = None
    sample: Annotated[int, Option("negatives looked at, at most", least=1, panel=RUN)] = 20_000
    attackers: Annotated[str, Option("`all`, or of word, char, lm, boosting, slots, minilm", panel=RUN)] = (
        "word,char,lm,boosting"
    )
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
