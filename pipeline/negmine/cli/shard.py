"""``negmine shard``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from negmine.base.errors import UsageError
from negmine.base.options import Option
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run import open_pairs
from negmine.cli.run_options import TrialOptions
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.shards.settings import ShardSettings
from negmine.store.folder import place
from negmine.store.options import DATA


@shares_work
def shard(
    *,
    out: Annotated[Path, Option("folder of the shards, or its address", parser=place, panel=DATA)] = Path("data"),
    settings: ShardSettings,
    how: TrialOptions,
    where: EngineOptions,
) -> None:
    """Write WebDataset tars: training shards in --out, held-out ones in its folder `heldout`.

    Examples:

        negmine shard --out data/ --image-size 256

        negmine shard --plan
    """
    from negmine.stages.shards.stage import write_shards
    from negmine.stages.shards.summary import summary

    if how.dry_run and (settings.plan or settings.image_negatives):
        raise UsageError(
            "a dry run's sample has no plan and no neighbours",
            fix="leave out --plan and --image-negatives, or --dry-run",
        )
    reading = IngestSettings(images=settings.images, max_bad=settings.max_bad, max_pixels=settings.max_pixels)
    with open_pairs(None, reading, how, where) as run:
        folder = run.work / "out" if how.dry_run else out
        made = write_shards(settings, run.work, folder, run.engine, overwrite=how.overwrite)
        run.show(summary(made, settings, run.work, folder))
