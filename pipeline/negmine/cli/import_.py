"""``negmine import``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from negmine.base.options import Option
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run import open_pairs
from negmine.cli.run_options import RunOptions
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.texts.settings import ImportSettings
from negmine.store.options import Images
from negmine.store.places import source


@shares_work
def import_(
    *,
    table: Annotated[
        str,
        Option("texts by others: JSON, JSONL, CSV, TSV or Parquet, or a folder of these", parser=source, argument=True),
    ],
    pairs: Annotated[
        str | None, Option("what they were written for; else those in --work", parser=source, argument=True)
    ] = None,
    settings: ImportSettings,
    images: Images = None,
    how: RunOptions,
    where: EngineOptions,
) -> None:
    """Take in texts that others wrote for these captions, false ones and true ones.

    Examples:

        negmine import train_neg_clip.tsv captions_train2014.json --name negclip

        negmine import sugarcrepe/ --name sugarcrepe
    """
    from negmine.stages.texts.stage import import_texts
    from negmine.stages.texts.summary import summary

    with open_pairs(pairs, IngestSettings(images=images), how, where) as run:
        made = import_texts(replace(settings, path=table), run.work, run.engine, overwrite=how.overwrite)
        run.show(summary(made, settings.name, how.work))
