"""What a report shows."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

from negmine.base.options import Option, check
from negmine.store.folder import place
from negmine.store.options import DATA, RUN, Images, Seed
from negmine.store.places import on_disk


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """What is shown: a work folder, training runs, or both."""

    work: Annotated[
        Path | None,
        Option("work folder", parser=place, unset="work, or none if RUNS are named", panel=DATA),
    ] = field(default=None, kw_only=False)
    runs: Annotated[
        tuple[Path, ...], Option("folders of training runs, shown side by side", parser=on_disk, argument=True)
    ] = ()
    images: Images = None
    examples: Annotated[int, Option("pairs shown, at most", least=1, panel=RUN)] = 200
    seed: Seed = 0

    def __post_init__(self) -> None:
        check(self)
