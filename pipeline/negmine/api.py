"""The stages as functions: what the commands do, for a program of your own.

    import negmine

    negmine.parse("captions.json", "work", images="photos")
    negmine.retrieve("work")
    negmine.shard("work", "data")

Each resumes where an earlier call with the same settings stopped, and does nothing where all is made. What a stage is
made with is a settings class; a preset or recipe gives one to change: ``replace(negmine.preset("swaps"), seed=1)``.
Errors that a user can act on are `negmine.base.errors.NegmineError`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from negmine.contract.records import TextNegative
from negmine.engine.local import LocalEngine
from negmine.stages.audit.settings import AuditSettings
from negmine.stages.figures.settings import GroupSettings as GroupSettings
from negmine.stages.figures.settings import RenderSettings
from negmine.stages.negatives.presets import load_preset as preset
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.neighbours.recipe import load_recipe
from negmine.stages.neighbours.settings import PlanSettings, RetrieveSettings
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.shards.settings import ShardSettings
from negmine.store import Manifest
from negmine.store.folder import place
from negmine.store.places import image_root, source
from negmine.store.work_folder import Stage, WorkFolder

if TYPE_CHECKING:
    from negmine.engine import Engine
    from negmine.stages.audit.measure import Report


def parse(
    pairs: str | Path,
    work: str | Path = "work",
    settings: ParseSettings | None = None,
    *,
    images: str | Path | None = None,
    reading: IngestSettings | None = None,
    positives: int | None = None,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Read `pairs` and make false captions of them by rule, as ``negmine parse`` does.

    Args:
        pairs: captions file, folder, tars or URL; the format is recognised.
        work: folder of the intermediate results, or its address.
        settings: None for those of preset ``unguessable``; see `preset`.
        images: root of the image paths; None looks at no image.
        reading: how the pairs are read, where there is more to say than `images`.
        positives: true texts of a caption beside it, at most; None for 2 where the settings deny something, else 0.
        engine: where parts are made; None for one worker process a core.

    Returns:
        The manifest of ``work/negatives``: ``.counts["negatives"]``, ``.counts["kind:replace_object"]``, ...

    Raises:
        UsageError: no such input, preset or model.
        InputError: the input is damaged, or too many of its rows cannot be used.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    from negmine.stages.negatives.stage import parse_pairs
    from negmine.stages.positives.settings import PositiveSettings, wanted
    from negmine.stages.positives.stage import make_positives

    folder, engine, settings = place(work), engine or _local(), settings or preset("unguessable")
    _ingest(pairs, folder, images, reading, engine, overwrite)
    made = parse_pairs(settings, folder, engine, overwrite=overwrite)
    if count := wanted(positives, settings.rules):
        true = PositiveSettings(positives=count, seed=settings.seed, texts=settings.texts, model=settings.model)
        make_positives(true, folder, engine, overwrite=overwrite)
    return made


def retrieve(
    work: str | Path = "work",
    settings: RetrieveSettings | None = None,
    *,
    pairs: str | Path | None = None,
    images: str | Path | None = None,
    reading: IngestSettings | None = None,
    plan: PlanSettings | None = None,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> Manifest:
    """Mine hard negatives among the pairs of a work folder, as ``negmine retrieve`` does.

    Args:
        settings: None for those of recipe ``default``; see `recipe`.
        pairs, images, reading: as for `parse`; None takes the pairs that lie in `work`.
        plan: also plan batches of hard neighbours.

    Returns:
        The manifest of ``work/neighbours``.

    Raises:
        UsageError, InputError, DamagedError: as `parse`; ResourceError: too little memory.
    """
    from negmine.stages.neighbours.stage import plan_batches
    from negmine.stages.neighbours.stage import retrieve as mine

    folder, engine, settings = place(work), engine or _local(), settings or recipe("default")
    if pairs is not None:
        _ingest(pairs, folder, images, reading, engine, overwrite)
    made = mine(settings, folder, engine, overwrite=overwrite)
    if plan is not None:
        plan_batches(settings, plan, folder, engine, overwrite=overwrite)
    return made


def render(
    settings: RenderSettings, work: str | Path = "work", *, engine: Engine | None = None, overwrite: bool = False
) -> Manifest:
    """Draw figures with captions and perturb them, as ``negmine render`` does: the manifest of ``work/figures``."""
    from negmine.stages.figures.stage import render as draw

    return draw(settings, place(work), engine or _local(), overwrite=overwrite)


def shard(
    work: str | Path = "work",
    out: str | Path = "data",
    settings: ShardSettings | None = None,
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> Mapping[str, Manifest]:
    """Write WebDataset tars, as ``negmine shard`` does: the manifests of ``train`` and ``heldout``."""
    from negmine.stages.shards.stage import write_shards

    return write_shards(settings or ShardSettings(), place(work), place(out), engine or _local(), overwrite=overwrite)


def audit(
    work: str | Path = "work",
    out: str | Path | None = None,
    settings: AuditSettings | None = None,
    *,
    engine: Engine | None = None,
    overwrite: bool = False,
) -> Report:
    """Measure negatives, as ``negmine audit`` does, and write the page to `out` (None: ``work/audit``)."""
    from negmine.stages.audit.stage import audit_negatives

    folder = place(work)
    settings = replace(settings or AuditSettings(), work=folder)
    return audit_negatives(settings, place(out) if out else folder / "audit", engine or _local(), overwrite=overwrite)


@dataclass(frozen=True, slots=True)
class WithNegatives:
    """A caption of an image, and captions that are false of it."""

    key: str
    image_id: str
    image: str | None
    caption: str
    negatives: tuple[TextNegative, ...]


def read(work: str | Path = "work") -> Iterator[WithNegatives]:
    """The pairs of a work folder with their negatives, part by part; the captions of one image follow each other.

        for pair in negmine.read("work"):
            print(pair.caption, [negative.text for negative in pair.negatives])

    Raises:
        UsageError, InputError, DamagedError: there are no pairs or no negatives, or they do not belong together.
    """
    columns = ("key", "image_id", "image", "caption")
    with WorkFolder.open(place(work), needs=[Stage.NEGATIVES]) as folder:
        for part in folder.pairs.parts:
            for pair, rows in folder.with_negatives(part.index, columns, ("negative", "kind", "rule", "score")):
                found = (TextNegative(r["slot"], r["negative"], r["kind"], r["rule"], r["score"]) for r in rows)
                yield WithNegatives(pair["key"], pair["image_id"], pair["image"], pair["caption"], tuple(found))


def recipe(name: str) -> RetrieveSettings:
    """The settings of a mining recipe: a name that ``negmine retrieve --recipe`` knows, or a YAML file."""
    return load_recipe(name).settings


def _ingest(
    pairs: str | Path,
    work: Path,
    images: str | Path | None,
    reading: IngestSettings | None,
    engine: Engine,
    overwrite: bool,
) -> None:
    from negmine.stages.pairs.stage import ingest

    how = replace(reading or IngestSettings(), path=source(str(pairs)))
    if images is not None:
        how = replace(how, images=image_root(str(images)))
    ingest(how, work, engine, overwrite=overwrite)


def _local() -> Engine:
    return LocalEngine(os.cpu_count() or 1)
