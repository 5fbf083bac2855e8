"""``negmine parse``."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

from negmine.base.command import Given
from negmine.base.options import Option, Values
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run import open_pairs
from negmine.cli.run_options import TrialOptions
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.pairs.settings import IngestSettings
from negmine.store.places import named, source


@shares_work
def parse(
    *,
    pairs: Annotated[
        str, Option("captions file, folder, tars or URL; the format is recognised", parser=source, argument=True)
    ],
    reading: IngestSettings,
    preset: Annotated[
        str, Option("unguessable, skills, swaps, negclip, ce_clip, sugarcrepe, imported, or a TOML file", parser=named)
    ] = "unguessable",
    given: Annotated[Values, Given(ParseSettings)],
    positives: Annotated[
        int | None,
        Option("true texts of a caption beside it, at most; 0 makes none", least=0, unset="2 with negations, else 0"),
    ] = None,
    how: TrialOptions,
    where: EngineOptions,
) -> None:
    """Make false captions by rule: swapped, replaced and recounted.

    Examples:

        negmine parse captions_val2017.json --images val2017/

        negmine parse captions.jsonl --dry-run
    """
    from negmine.stages.negatives.presets import load_preset
    from negmine.stages.negatives.stage import parse_pairs
    from negmine.stages.negatives.summary import summary
    from negmine.stages.positives.settings import PositiveSettings, wanted
    from negmine.stages.positives.stage import make_positives
    from negmine.stages.positives.summary import with_positives

    settings = replace(load_preset(preset), **given)
    with open_pairs(pairs, reading, how, where) as run:
        made = parse_pairs(settings, run.work, run.engine, overwrite=how.overwrite)
        said = summary(made, how.work)
        count = wanted(positives, settings.rules)
        if count:
            true = PositiveSettings(positives=count, seed=settings.seed, texts=settings.texts, model=settings.model)
            said = with_positives(said, make_positives(true, run.work, run.engine, overwrite=how.overwrite))
        run.show(said)
