"""``negmine shard``: plan the shards of both splits, write them on all workers, and describe them in ``index.json``."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.addresses import is_address, one_spelling
from negmine.base.errors import UsageError
from negmine.contract.records import TEXTS_FOLDER
from negmine.contract.shard_format import HELDOUT, INDEX_NAME
from negmine.contract.split import Split
from negmine.engine import Engine, run_phase, run_stage
from negmine.stages.shards.cut import batch_of, cut_plan, plan_shards
from negmine.stages.shards.phase import ShardPhase, make_index
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.sidecar import SidecarPhase, plan_sidecar, tars_of
from negmine.stages.shards.write import Tables
from negmine.store import (
    MANIFEST,
    REJECTED_FILE,
    Manifest,
    Spec,
    Store,
    check_own,
    folder_at,
    run_all,
    write_text,
)
from negmine.store.places import image_root
from negmine.store.refusals import check_share
from negmine.store.rejected import merge_rejected
from negmine.store.texts import PICTURES_ROOT, texts_stage
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = "shards"
_OPTIONAL: Final = (Stage.NEGATIVES, Stage.NEIGHBOURS, Stage.FIGURES, Stage.POSITIVES)
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
        UsageError: nobody said where the images are, `out` is a stage's folder, or a file would be replaced that is
            somebody's, or that images lie in.
        InputError: more than `settings.max_bad` of the samples have no usable image.
        DamagedError: a stage is unfinished or damaged, or the stages do not belong together.
    """
    if out.name in set(Stage) and out.resolve().parent == work.resolve():
        raise UsageError("the shards would lie among what they are made of", where=str(out), fix="choose another --out")
    texts = [texts_stage(name) for name in settings.pictures]
    needs = [*([Stage.PLAN] if settings.plan else []), *texts]
    with WorkFolder.open(work, needs, _OPTIONAL) as folder:
        if settings.image_negatives and Stage.NEIGHBOURS not in folder.stages and not texts:
            raise UsageError(
                "image negatives are images of neighbours, and there are none",
                where=str(work),
                fix="run negmine retrieve first, e.g. --recipe negclip_images; or name texts with --pictures",
            )
        for name in texts:
            if not folder.stages[name].counts["pictures"]:
                raise UsageError("these texts have no pictures", where=str(work / name), fix="leave out --pictures")
        images = settings.images or folder.image_root
        if images is None:
            raise UsageError("the pairs were read without images", where=str(work), fix="add --images FOLDER")
        images = image_root(images)
        if settings.sidecar and Stage.FIGURES in folder.stages:
            raise UsageError("figures lie in no tar of yours", where=str(work), fix="leave out --sidecar")
        splits = {
            name: (
                _phase(folder, Split(settings.train_fraction, settings.seed, heldout), settings, images, place),
                place,
            )
            for name, heldout, place in (("train", False, out), ("heldout", True, out / HELDOUT))
        }
        own = {place: check_own(place, _names(phase)) for phase, place in splits.values()}
        if any(own.values()):
            _check_no_source(folder, images, own)
        steps: dict[str, Callable[[], Manifest]] = {
            name: partial(_write_split, phase, place, folder, engine, overwrite)
            for name, (phase, place) in splits.items()
            if phase.sizes or own[place] or (place / MANIFEST).exists()  # an emptied split must not keep its old shards
        }
        return dict(zip(steps, run_all(steps.values()), strict=True))


def _phase(
    folder: WorkFolder, split: Split, settings: ShardSettings, images: str, place: Path
) -> ShardPhase | SidecarPhase:
    if settings.sidecar:
        beside, tars = plan_sidecar(folder, split, images)
        return SidecarPhase(_tables(folder, False), split, tuple(tars.values()), tuple(tars), settings, beside, place)
    planned = settings.plan and not split.heldout
    plan = cut_plan(folder, settings) if planned else plan_shards(folder, split, settings.shard_size)
    return ShardPhase(_tables(folder, planned), split, tuple(plan), settings, images)


def _tables(folder: WorkFolder, planned: bool) -> Tables:
    negatives, neighbours, figures, positives = map(folder.folder, _OPTIONAL)
    plan = folder.folder(Stage.PLAN) if planned else None
    parts, pictures = (
        len(folder.pairs.parts),
        tuple(
            (folder.path / name, str(made.spec.context[PICTURES_ROOT]))
            for name, made in folder.stages.items()
            if name.startswith(TEXTS_FOLDER)
        ),
    )
    return Tables(folder.path / Stage.PAIRS, negatives, neighbours, figures, positives, plan, parts, pictures)


def _positives(folder: WorkFolder) -> int:
    """The most positives of a sample."""
    made = folder.stages.get(Stage.POSITIVES)
    return 0 if made is None else int(str(made.spec.settings["positives"]))


def _names(phase: ShardPhase | SidecarPhase) -> tuple[str, ...]:
    """Of the files that a split may have."""
    return (*phase.names, REJECTED_FILE, INDEX_NAME)


def _check_no_source(folder: WorkFolder, images: str, names: Mapping[Path, Collection[str]]) -> None:
    """Refuse to replace or remove a tar that images lie in: shards of an earlier run may have been read as pairs.

    Args:
        images: their root.
        names: of the files that this run may replace or remove, by folder.

    Raises:
        UsageError: one of them is such a tar.
    """
    sources = {place for tar in tars_of(folder) for place in _real_places(f"{images.rstrip('/')}/{tar}")}
    for at, of in names.items():
        root = folder_at(at).address or str(at)
        for name in of:
            if not sources.isdisjoint(_real_places(f"{root}/{name}")):
                raise UsageError(
                    "this is a tar that the images lie in, and it would be replaced",
                    where=f"{root}/{name}",
                    fix="choose another --out",
                )


def _real_places(path: str) -> set[str]:
    """A file's place by the one name it has however it is written, and that of a link of this name."""
    if is_address(path):
        return {one_spelling(path.rpartition("::")[2])}
    folder, _, name = path.rpartition("/")
    return {os.path.realpath(path), f"{os.path.realpath(folder or '/')}/{name}"}


def _write_split(
    phase: ShardPhase | SidecarPhase, place: Path, work: WorkFolder, engine: Engine, overwrite: bool
) -> Manifest:
    inputs = {name: made.digest for name, made in work.stages.items() if name != Stage.PLAN or not phase.split.heldout}
    packages = {"pillow": version("pillow")} if phase.settings.image_size else {}
    chosen = {**phase.settings.chosen(), "split": HELDOUT if phase.split.heldout else "train"}

    def write(store: Store) -> Manifest:
        if isinstance(phase, SidecarPhase) and phase.sizes:
            run_stage(phase.rows, store.spec, phase.gather, None)
        parts, total = len(phase.sizes), sum(phase.sizes)
        run_phase(store, phase, engine, parts, title=f"writing {place}", unit="samples", total=total)
        rejected = merge_rejected(store)
        batch = batch_of(work.stages[Stage.PLAN], phase.tables.plan) if phase.tables.plan else None
        made = store.finish(
            [rejected, write_text(place, INDEX_NAME, make_index(store, phase, batch, _positives(work)).to_json())]
        )
        if isinstance(phase, SidecarPhase):
            folder_at(phase.rows).delete_all()
        return made

    spec = Spec(STAGE, chosen, inputs, packages, {"images": phase.images})
    made = run_stage(place, spec, write, engine.share, overwrite=overwrite, names=_names(phase))
    if phase.sizes:
        check_share(made.counts, phase.settings.max_bad, place / REJECTED_FILE)
    return made
