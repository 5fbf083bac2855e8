"""``negmine shard``: plan the shards of both splits, write them on all workers, and describe them in ``index.json``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
from negmine.contract.shard_format import HELDOUT, INDEX_NAME
from negmine.contract.split import Split
from negmine.engine import Engine, run_phase, run_stage
from negmine.stages.shards.cut import batch_of, cut_plan, plan_shards
from negmine.stages.shards.phase import ShardPhase, make_index
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.sidecar import SidecarPhase, plan_sidecar
from negmine.stages.shards.write import Tables
from negmine.store import (
    MANIFEST,
    REJECTED_FILE,
    Manifest,
    Spec,
    Store,
    run_all,
    write_text,
)
from negmine.store.places import image_root
from negmine.store.refusals import check_share
from negmine.store.rejected import merge_rejected
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = "shards"
_OPTIONAL: Final = (Stage.NEGATIVES, Stage.NEIGHBOURS, Stage.FIGURES)
"""Stages whose results go into shards if they were run."""


def write_shards(
    settings: ShardSettings,
    work: Path,
    out: Path,
    engine: Engine,
    *,
    overwrite: bool = False,
) -> dict[str, Manifest]:
    """Write ``out/*.tar`` and ``out/heldout/*.tar``.

    Returns:
        The manifests, by ``train`` and ``heldout``; a split without samples is absent.

    Raises:
        UsageError: nobody said where the images are, or `out` is a stage's folder.
        InputError: more than `settings.max_bad` of the samples have no usable image.
        DamagedError: a stage is unfinished or damaged, or the stages do not belong together.
    """
    if out.name in set(Stage) and out.resolve().parent == work.resolve():
        raise UsageError("the shards would lie among what they are made of", where=str(out), fix="choose another --out")
    needs = [Stage.PLAN] if settings.plan else []
    with WorkFolder.open(work, needs, _OPTIONAL) as folder:
        if settings.image_negatives and Stage.NEIGHBOURS not in folder.stages:
            raise UsageError(
                "image negatives are images of neighbours, and there are none",
                where=str(work),
                fix="run negmine retrieve first, e.g. --recipe negclip_images",
            )
        images = settings.images or folder.image_root
        if images is None:
            raise UsageError("the pairs were read without images", where=str(work), fix="add --images FOLDER")
        images = image_root(images)
        if settings.sidecar and Stage.FIGURES in folder.stages:
            raise UsageError("figures lie in no tar of yours", where=str(work), fix="leave out --sidecar")
        steps: dict[str, Callable[[], Manifest]] = {}
        for name, place in (("train", out), ("heldout", out / HELDOUT)):
            split = Split(settings.train_fraction, settings.seed, name == "heldout")
            phase = _phase(folder, split, settings, images)
            if phase.plan or (place / MANIFEST).exists():  # an emptied split must not keep its old shards
                steps[name] = partial(_write_split, phase, place, folder, engine, overwrite)
        return dict(zip(steps, run_all(steps.values()), strict=True))


def _phase(folder: WorkFolder, split: Split, settings: ShardSettings, images: str) -> ShardPhase | SidecarPhase:
    if settings.sidecar:
        tars = plan_sidecar(folder, split)
        return SidecarPhase(_tables(folder, False), split, tuple(tars.values()), tuple(tars), settings, images)
    planned = settings.plan and not split.heldout
    plan = cut_plan(folder, settings) if planned else plan_shards(folder, split, settings.shard_size)
    return ShardPhase(_tables(folder, planned), split, tuple(plan), settings, images)


def _tables(folder: WorkFolder, planned: bool) -> Tables:
    negatives, neighbours, figures = map(folder.folder, _OPTIONAL)
    plan = folder.folder(Stage.PLAN) if planned else None
    return Tables(folder.path / Stage.PAIRS, negatives, neighbours, figures, plan, len(folder.pairs.parts))


def _write_split(
    phase: ShardPhase | SidecarPhase, place: Path, work: WorkFolder, engine: Engine, overwrite: bool
) -> Manifest:
    inputs = {name: made.digest for name, made in work.stages.items() if name != Stage.PLAN or not phase.split.heldout}
    packages = {"pillow": version("pillow")} if phase.settings.image_size else {}
    chosen = {**phase.settings.chosen(), "split": HELDOUT if phase.split.heldout else "train"}

    def write(store: Store) -> Manifest:
        total = sum(rows.count for rows in phase.plan)
        run_phase(store, phase, engine, len(phase.plan), title=f"writing {place}", unit="samples", total=total)
        rejected = merge_rejected(store)
        batch = batch_of(work.stages[Stage.PLAN], phase.tables.plan) if phase.tables.plan else None
        return store.finish([rejected, write_text(place, INDEX_NAME, make_index(store, phase, batch).to_json())])

    spec = Spec(STAGE, chosen, inputs, packages, {"images": phase.images})
    made = run_stage(place, spec, write, engine.share, overwrite=overwrite)
    if phase.plan:
        check_share(made.counts, phase.settings.max_bad, place / REJECTED_FILE)
    return made
