"""``negmine export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from negmine.base import console
from negmine.base.options import Option
from negmine.store.options import DATA, DEFAULT_WORK, AsJson, Work
from negmine.store.places import on_disk


def export(
    format_: Annotated[str, Option("jsonl, negclip, ce_clip, sugarcrepe or triplets", name="FORMAT", argument=True)],
    out: Annotated[Path, Option("file to write", parser=on_disk, panel=DATA)],
    work: Work = DEFAULT_WORK,
    as_json: AsJson = False,
) -> None:
    """Write the negatives in a form that other people's code reads.

    Examples:

        negmine export negclip --out train_neg.tsv

        negmine export triplets --out triplets.jsonl
    """
    from negmine.outputs.export.run import export as write
    from negmine.outputs.export.run import summary

    file, counts = write(work, format_, out)
    console.show(summary(format_, file, counts, out), as_json)
