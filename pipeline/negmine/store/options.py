"""Options that several settings share, each declared here once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from negmine.base.options import Option
from negmine.store.folder import place
from negmine.store.places import image_root, on_disk, option

DATA: Final = "What is read and written"
RUN: Final = "How the run goes"
"""Panels of ``--help``."""

DEFAULT_WORK: Final = Path("work")

Work = Annotated[
    Path, Option("folder of the intermediate results, or its address (s3://...)", parser=place, panel=DATA)
]
Images = Annotated[str | None, Option("root of the image paths; folder or URL", parser=image_root, panel=DATA)]
MaxBad = Annotated[float, Option("share of rows that may be rejected (status 3 above)", least=0, most=1, panel=DATA)]
MaxPixels = Annotated[int, Option("larger images are rejected", least=1, panel=DATA)]
Seed = Annotated[int, Option("of every random choice", panel=RUN)]
AsJson = Annotated[bool, Option("one JSON document on stdout", name="json", panel=RUN)]


def on_disk_text(text: str) -> str:
    """A path as `on_disk` has it, as text."""
    return str(on_disk(text))


def work_option(work: Path) -> str:
    """``--work`` as a next command needs it: nothing where it is the default."""
    return "" if work == DEFAULT_WORK else f" --work {option(work)}"


_SPOKEN: Final = {"tab": "\t", "\\t": "\t"}
"""Delimiters that are hard to type."""


def delimiter_named(text: str) -> str:
    """A delimiter by its name, or as it is."""
    return _SPOKEN.get(text, text)
