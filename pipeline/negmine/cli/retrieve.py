"""``negmine retrieve``."""

from __future__ import annotations

from typing import Annotated

from negmine.base.command import Given
from negmine.base.errors import UsageError
from negmine.base.options import Option, Values
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run import open_pairs
from negmine.cli.run_options import TrialOptions
from negmine.stages.neighbours.settings import MINE, PlanSettings, RetrieveSettings
from negmine.stages.pairs.settings import IngestSettings
from negmine.store.options import RUN
from negmine.store.places import named, source


@shares_work
def retrieve(
    *,
    pairs: Annotated[
        str | None, Option("as for `parse`; left out: the pairs already in --work", parser=source, argument=True)
    ] = None,
    reading: IngestSettings,
    recipe: Annotated[
        str, Option("default, mmclip, nv_retriever, sample4geo, ... or a YAML file", parser=named, panel=MINE)
    ] = "default",
    given: Annotated[Values, Given(RetrieveSettings)],
    without: Annotated[tuple[str, ...], Option("leave a filter out, or `all`", panel=MINE)] = (),
    batches: Annotated[Values, Given(PlanSettings)],
    how: TrialOptions,
    memory: Annotated[
        str | None, Option("most that the search takes, as 4G", unset="half of what is free", panel=RUN)
    ] = None,
    database_actors: Annotated[
        int, Option("of Ray, that hold the corpus in memory; 0: read in tiles", least=0, panel=RUN)
    ] = 0,
    where: EngineOptions,
) -> None:
    """Mine hard negatives among the other pairs, and refuse those that are probably true.

    A recipe sets every piece; options replace its settings.

    Examples:

        negmine retrieve

        negmine retrieve captions.jsonl --images photos/ --score i2i

        negmine retrieve --recipe nv_retriever --filter percentage=0.9 --neighbours 8

        negmine retrieve --recipe sample4geo --plan neighbours --batch-size 128
    """
    from negmine.stages.neighbours.open_scorers import resolved
    from negmine.stages.neighbours.recipe import load_recipe, override
    from negmine.stages.neighbours.stage import plan_batches
    from negmine.stages.neighbours.stage import retrieve as mine
    from negmine.stages.neighbours.summary import mined, planned, summary

    if pairs is None and reading.says_how():
        raise UsageError(
            "--images, --format, --limit and the columns say how PAIRS are read, and PAIRS are not given",
            fix="name PAIRS, or leave these options out",
        )
    chosen = load_recipe(recipe, given["progress"])
    settings = override(chosen.settings, without=without, **given)
    planner = batches.pop("planner", chosen.plan)
    plan = None if planner in (None, "none") else PlanSettings(planner, **batches, seed=settings.seed)
    with open_pairs(pairs, reading, how, where) as run:
        settings = resolved(settings)
        made = mine(settings, run.work, run.engine, memory=memory, actors=database_actors, overwrite=how.overwrite)
        figures = mined(made, settings, run.work)
        if plan is not None:
            made = plan_batches(settings, plan, run.work, run.engine, overwrite=how.overwrite)
            figures[f"plan: {planner}"] = planned(made)
        run.show(summary(figures, how.work, plan=plan is not None))
