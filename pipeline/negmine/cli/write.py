"""``negmine write``."""

from __future__ import annotations

from typing import Annotated

from negmine.base.errors import UsageError
from negmine.base.options import Option
from negmine.cli.engine_options import EngineOptions
from negmine.cli.run import open_pairs
from negmine.cli.run_options import PreviewOptions
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.writing.settings import WriteSettings
from negmine.store.places import source


def write(
    *,
    pairs: Annotated[
        str | None, Option("as for `parse`; left out: the pairs already in --work", parser=source, argument=True)
    ] = None,
    reading: IngestSettings,
    settings: WriteSettings,
    how: PreviewOptions,
) -> None:
    """Have a language model write false and true captions; what it answers is kept, and asked once.

    Examples:

        negmine write captions.json --llm-url http://127.0.0.1:8000/v1 --llm-model Qwen/Qwen3-8B --name qwen

        negmine write --prompts paraphrase,sub_caption --name hosted --llm-url https://HOST/v1 --llm-model NAME
    """
    from negmine.stages.writing.stage import preview
    from negmine.stages.writing.stage import write as ask_for
    from negmine.stages.writing.summary import previewed, summary

    if pairs is None and reading.says_how():
        raise UsageError(
            "--images, --format, --limit and the columns say how PAIRS are read, and PAIRS are not given",
            fix="name PAIRS, or leave these options out",
        )
    with open_pairs(pairs, reading, how, EngineOptions()) as run:
        if how.dry_run:
            run.show(previewed(preview(settings, run.work), settings))
            return
        made = ask_for(settings, run.work, run.engine, overwrite=how.overwrite)
        run.show(summary(made, settings, how.work))
