"""``negmine shard``: plan the shards of both splits, write them on all workers, and describe them in ``index.json``."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import IO, Final

from negmine.base.errors import DamagedError, UsageError
from negmine.contract.shard_format import HELDOUT, INDEX_NAME, Index, ShardEntry, write_samples
from negmine.contract.split import Split
from negmine.engine import Engine, PartFunction, run_phase
from negmine.images.locate import root_of
from negmine.stages.pairs.stage import check_share
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
    each,
    part_name,
    read_part,
    reading,
    release,
    write_file,
    write_text,
)
from negmine.store.places import picture_root
from negmine.store.rejected import merge_rejected, write_rejected

STAGE: Final = "shards"
PLAN: Final = "plan"
_OPTIONAL: Final = ("negatives", "neighbours", "figures")
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
    with ExitStack() as stack:
        stages = {name: stack.enter_context(reading(work / name)) for name in _stages(work, settings)}
        _check_same_pairs(stages)
        if settings.image_negatives and "neighbours" not in stages:
            raise UsageError("image negatives are pictures of neighbours, and there are none", where=str(work),
                             fix="run negmine retrieve first, e.g. --recipe negclip_images")  # fmt: skip
        images = settings.images or root_of(stages["pairs"], work)
        if images is None:
            raise UsageError("the pairs were read without pictures", where=str(work), fix="add --images FOLDER")
        images = picture_root(images)
        steps: dict[str, Callable[[], Manifest]] = {}
        for name, folder in (("train", out), ("heldout", out / HELDOUT)):
            split = Split(settings.train_fraction, settings.seed, name == "heldout")
            planned = settings.plan and not split.heldout
            plan = (
                cut_plan(stages[PLAN], work / PLAN, settings)
                if planned
                else plan_shards(stages["pairs"], work / "pairs", split, settings.shard_size)
            )
            if plan or (folder / MANIFEST).exists():  # an emptied split must not keep its old shards
                negatives, neighbours, figures = (work / name if name in stages else None for name in _OPTIONAL)
                batches, parts = work / PLAN if planned else None, len(stages["pairs"].parts)
                tables = Tables(work / "pairs", negatives, neighbours, figures, batches, parts)
                phase = ShardPhase(tables, split, tuple(plan), settings, images)
                steps[name] = partial(_write_split, phase, folder, stages, engine, overwrite)
        return dict(zip(steps, each(steps.values()), strict=True))


def _stages(work: Path, settings: ShardSettings) -> list[str]:
    """The stages whose results go into shards, as far as they were run."""
    return ["pairs", *(name for name in _OPTIONAL if (work / name).is_dir()), *[PLAN] * settings.plan]


def _check_same_pairs(stages: Mapping[str, Manifest]) -> None:
    pairs = stages["pairs"]
    for name, manifest in stages.items():
        if name == "pairs":
            continue
        if name == "figures":  # the pairs were read off them
            together = pairs.spec.inputs.get("figures") == manifest.digest
        else:
            together = manifest.spec.inputs.get("pairs") == pairs.digest
        if not together:
            raise DamagedError(
                f"the {name} were made from other pairs",
                fix="run that stage again with --overwrite, or use another --work",
            )


def plan_shards(pairs: Manifest, folder: Path, split: Split, shard_size: int) -> list[Slice]:
    """Cut the rows of a split into shards, reading only the image ids."""
    sizes = []
    for part in pairs.parts:
        ids = read_part(folder, part.index, ["image_id"])["image_id"].to_pylist()
        sizes.append(sum(map(split.holds, ids)))
    return list(cut_into_shards(sizes, shard_size))


def cut_plan(plan: Manifest, folder: Path, settings: ShardSettings) -> list[Slice]:
    """Cut the planned samples into shards of whole batches.

    Raises:
        UsageError: the plan is for another split, or a shard is smaller than a batch.
    """
    chosen = plan.spec.settings
    for name, ours in (("train_fraction", settings.train_fraction), ("seed", settings.seed)):
        if chosen.get(name) != ours:
            raise UsageError(
                f"the plan was made with --{name.replace('_', '-')} {chosen.get(name)}, not {ours}", where=str(folder),
                fix="use the plan's, or plan again: negmine retrieve --plan ... --overwrite",
            )  # fmt: skip
    batch = batch_of(plan, folder)
    if settings.shard_size < batch:
        raise UsageError(
            f"a shard of {settings.shard_size} samples holds no batch of {batch}", fix="raise --shard-size"
        )
    sizes = [len(read_batches(folder, part.index)) for part in plan.parts]
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


def _write_split(
    phase: ShardPhase, folder: Path, stages: Mapping[str, Manifest], engine: Engine, overwrite: bool
) -> Manifest:
    inputs = {name: manifest.digest for name, manifest in stages.items() if name != PLAN or not phase.split.heldout}
    packages = {"pillow": version("pillow")} if phase.settings.image_size else {}
    chosen = {**phase.settings.chosen(), "split": HELDOUT if phase.split.heldout else "train"}
    spec = Spec(STAGE, chosen, inputs, packages, {"images": phase.images})
    with Store.open(folder, spec, engine.share, overwrite=overwrite) as store:
        if not store.finished:
            total = sum(rows.count for rows in phase.plan)
            run_phase(store, phase, engine, len(phase.plan), title=f"writing {folder}", unit="samples", total=total)
            rejected = merge_rejected(store)
            batch = batch_of(stages[PLAN], phase.tables.plan) if phase.tables.plan else None
            index = write_text(folder, INDEX_NAME, make_index(store, phase, batch).to_json())
            store.finish([rejected, index])
        assert store.manifest is not None
        if phase.plan:
            check_share(store.manifest.counts, phase.settings.max_bad, folder / REJECTED_FILE)
        return store.manifest


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
