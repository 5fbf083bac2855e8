"""``negmine shard``: plan the shards of both splits, write them on all workers, and describe them in ``index.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from negmine.base.errors import DamagedError, UsageError
from negmine.contract.shard_format import HELDOUT, INDEX_NAME, Index, ShardEntry, write_samples
from negmine.contract.split import Split
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.write import Pictures, ShardSource, Slice, Tables, read_batches
from negmine.store import (
    MANIFEST,
    REDO,
    REJECTED_FILE,
    Manifest,
    PartRecord,
    Spec,
    Store,
    add_counts,
    part_name,
    release,
    run_all,
    write_file,
    write_text,
)
from negmine.store.places import picture_root
from negmine.store.refusals import check_share
from negmine.store.rejected import merge_rejected, write_rejected
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
        UsageError: nobody said where the pictures are.
        InputError: more than `settings.max_bad` of the samples have no usable picture.
        DamagedError: a stage is unfinished or damaged, or the stages do not belong together.
    """
    needs = [Stage.PLAN] if settings.plan else []
    with WorkFolder.open(work, needs, _OPTIONAL) as folder:
        if settings.image_negatives and Stage.NEIGHBOURS not in folder.stages:
            raise UsageError("image negatives are pictures of neighbours, and there are none", where=str(work),
                             fix="run negmine retrieve first, e.g. --recipe negclip_images")  # fmt: skip
        images = settings.images or folder.image_root
        if images is None:
            raise UsageError("the pairs were read without pictures", where=str(work), fix="add --images FOLDER")
        images = picture_root(images)
        steps: dict[str, Callable[[], Manifest]] = {}
        for name, place in (("train", out), ("heldout", out / HELDOUT)):
            split = Split(settings.train_fraction, settings.seed, name == "heldout")
            planned = settings.plan and not split.heldout
            plan = cut_plan(folder, settings) if planned else plan_shards(folder, split, settings.shard_size)
            if plan or (place / MANIFEST).exists():  # an emptied split must not keep its old shards
                phase = ShardPhase(_tables(folder, planned), split, tuple(plan), settings, images)
                steps[name] = partial(_write_split, phase, place, folder, engine, overwrite)
        return dict(zip(steps, run_all(steps.values()), strict=True))


def _tables(folder: WorkFolder, planned: bool) -> Tables:
    negatives, neighbours, figures = map(folder.folder, _OPTIONAL)
    plan = folder.folder(Stage.PLAN) if planned else None
    return Tables(folder.path / Stage.PAIRS, negatives, neighbours, figures, plan, len(folder.pairs.parts))


def plan_shards(folder: WorkFolder, split: Split, shard_size: int) -> list[Slice]:
    """Cut the rows of a split into shards, reading only the image ids."""
    parts = [part.index for part in folder.pairs.parts]
    ids = (folder.rows(Stage.PAIRS, part, ["image_id"])["image_id"].to_pylist() for part in parts)
    return list(cut_into_shards([sum(map(split.holds, of_part)) for of_part in ids], shard_size))


def cut_plan(folder: WorkFolder, settings: ShardSettings) -> list[Slice]:
    """Cut the planned samples into shards of whole batches.

    Raises:
        UsageError: the plan is for another split, or a shard is smaller than a batch.
    """
    plan, path = folder.stages[Stage.PLAN], folder.path / Stage.PLAN
    chosen = plan.spec.settings
    for name, ours in (("train_fraction", settings.train_fraction), ("seed", settings.seed)):
        if chosen.get(name) != ours:
            raise UsageError(
                f"the plan was made with --{name.replace('_', '-')} {chosen.get(name)}, not {ours}", where=str(path),
                fix="use the plan's, or plan again: negmine retrieve --plan ... --overwrite",
            )  # fmt: skip
    batch = batch_of(plan, path)
    if settings.shard_size < batch:
        raise UsageError(
            f"a shard of {settings.shard_size} samples holds no batch of {batch}", fix="raise --shard-size"
        )
    sizes = [len(read_batches(path, part.index)) for part in plan.parts]
    return list(cut_into_shards(sizes, settings.shard_size // batch * batch))


def batch_of(plan: Manifest, folder: Path) -> int:
    batch = plan.spec.settings.get("batch")
    if not isinstance(batch, int) or batch < 2:
        raise DamagedError(
            "this plan says no size of its batches", where=str(folder), why=f"batch is {batch!r}", fix=REDO
        )
    return batch


def cut_into_shards(sizes: list[int], shard_size: int) -> Iterator[Slice]:
    """Cut rows that lie in parts of these sizes into runs of `shard_size`."""
    parts: list[int] = []
    skip = held = 0  # rows of parts[0] that the last shard took; rows at hand for the next one
    for part, size in enumerate(sizes):
        if size == 0:
            continue
        parts.append(part)
        held += size
        while held >= shard_size:
            yield Slice(tuple(parts), skip, shard_size)
            held -= shard_size
            skip, parts = (size - held, [part]) if held else (0, [])
    if held:
        yield Slice(tuple(parts), skip, held)


def _write_split(phase: ShardPhase, place: Path, work: WorkFolder, engine: Engine, overwrite: bool) -> Manifest:
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


def make_index(store: Store, phase: ShardPhase, batch: int | None) -> Index:
    """``index.json`` of a store whose parts are all shards.

    Args:
        batch: size of the planned batches that follow each other in them; None where none were planned.
    """
    records = [store.parts[index] for index in sorted(store.parts)]
    shards = tuple(
        ShardEntry(file.file, file.rows, file.bytes, file.sha256) for record in records for file in record.files
    )
    counts = add_counts(record.counts for record in records)
    kinds, image_kinds = (
        {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
        for prefix in ("kind:", "image_kind:")
    )
    negatives = phase.settings.negatives
    pictures = phase.tables.figure_slots(negatives) + phase.settings.image_negatives
    return Index(
        shards, negatives, kinds, image_kinds, dict(store.spec.inputs),
        {**store.spec.settings, "planned_batch": batch}, image_negatives_per_sample=pictures if image_kinds else 0,
    )  # fmt: skip


@dataclass(frozen=True)
class ShardPhase:
    """Write the planned shards."""

    tables: Tables
    split: Split
    plan: tuple[Slice, ...]
    settings: ShardSettings
    images: str

    def setup(self) -> PartFunction:
        pictures = Pictures(self.images, self.settings.image_size, self.settings.max_pixels)
        return partial(_write_shard, self, pictures)


def _write_shard(phase: ShardPhase, pictures: Pictures, index: int, folder: Path) -> PartRecord:
    settings = phase.settings
    source = ShardSource(phase.tables, phase.split, settings.negatives, settings.image_negatives, pictures)

    def write(stream: IO[bytes]) -> int:
        return write_samples(stream, source.samples(phase.plan[index]))

    files = [write_file(folder, part_name(index, "tar", "shard"), write)]
    release(folder / files[0].file)
    files += write_rejected(folder, index, source.rejected)
    return PartRecord(index, tuple(files), dict(source.counts))
