"""What is audited, and how closely."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from negmine.base.errors import UsageError
from negmine.base.options import Option, check
from negmine.store.options import DATA, DEFAULT_WORK, RUN, Seed
from negmine.store.places import on_disk


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(","))


@dataclass(frozen=True, kw_only=True)
class AuditSettings:
    """What is audited, and how closely: the ``pairs`` and ``negatives`` of `work`, or somebody else's file."""

    work: Path = field(default=DEFAULT_WORK, kw_only=False)
    negatives: Annotated[
        Path | None, Option("somebody else's JSONL, TSV or JSON, in place of ours", parser=on_disk, panel=DATA)
    ] = None
    texts: Annotated[
        tuple[str, ...],
        Option(
            "texts by others as they came, in place of ours; several side by side: names by comma",
            typed=str,
            parser=_names,
            unset="none",
            panel=DATA,
        ),
    ] = ()
    sample: Annotated[int, Option("negatives looked at, at most", least=1, panel=RUN)] = 20_000
    attackers: Annotated[str, Option("`all`, or of word, char, lm, boosting, slots, minilm", panel=RUN)] = (
        "word,char,lm,boosting"
    )
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
        if self.texts and self.negatives is not None:
            raise UsageError("--texts and --negatives are audited one at a time", fix="leave out one of them")
