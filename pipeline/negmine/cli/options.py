"""Options that several commands have; those of the engine are in `negmine.cli.engine_options`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from negmine.store.places import picture_root, place, source

DATA: Final = "What is read and written"
RUN: Final = "How the run goes"
"""Panels of ``--help``."""

DEFAULT_WORK: Final = Path("work")

SAMPLE: Final = 256
"""Pairs that ``--dry-run`` works on."""

PairsArgument = Annotated[
    str, typer.Argument(parser=source, help="captions file, folder, tars or URL; the format is recognised")
]
OptionalPairs = Annotated[
    str | None, typer.Argument(parser=source, help="as for `parse`; left out: the pairs already in --work")
]
Work = Annotated[
    Path,
    typer.Option(
        parser=place, help="folder of the intermediate results, or its address (s3://...)", rich_help_panel=DATA
    ),
]
Images = Annotated[
    str | None,
    typer.Option(parser=picture_root, help="root of the picture paths; folder or URL", rich_help_panel=DATA),
]
Format = Annotated[str | None, typer.Option("--format", help="name of the input's format", rich_help_panel=DATA)]
CaptionColumn = Annotated[
    str | None, typer.Option(help="column of the captions, where its name is not a usual one", rich_help_panel=DATA)
]
ImageColumn = Annotated[
    str | None, typer.Option(help="column of the pictures, or a pattern: '{image_id}.jpg'", rich_help_panel=DATA)
]
KeyColumn = Annotated[str | None, typer.Option(help="column of the keys; else `key`", rich_help_panel=DATA)]
Delimiter = Annotated[str | None, typer.Option(help="between columns: a character, or tab", rich_help_panel=DATA)]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="the first line is a row; columns are 1, 2, ...", rich_help_panel=DATA)
]
Limit = Annotated[int | None, typer.Option(min=1, help="rows to read", rich_help_panel=DATA)]
MaxBad = Annotated[
    float, typer.Option(min=0, max=1, help="share of rows that may be rejected (status 3 above)", rich_help_panel=DATA)
]
MaxPixels = Annotated[int, typer.Option(min=1, help="larger pictures are rejected", rich_help_panel=DATA)]
Seed = Annotated[int, typer.Option(help="of every random choice", rich_help_panel=RUN)]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="make it anew; else a run resumes", rich_help_panel=RUN)]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help=f"show what {SAMPLE} pairs give; write nothing", rich_help_panel=RUN)
]
AsJson = Annotated[bool, typer.Option("--json", help="one JSON document on stdout", rich_help_panel=RUN)]
