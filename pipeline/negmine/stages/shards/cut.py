"""Which rows lie in which shard: runs of equal length, or whole batches of a plan."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from negmine.base.errors import DamagedError, UsageError
from negmine.contract.split import Split
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.write import Slice, read_batches
from negmine.store import (
    REDO,
    Manifest,
)
from negmine.store.work_folder import Stage, WorkFolder


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
                f"the plan was made with --{name.replace('_', '-')} {chosen.get(name)}, not {ours}",
                where=str(path),
                fix="use the plan's, or plan again: negmine retrieve --plan ... --overwrite",
            )
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
