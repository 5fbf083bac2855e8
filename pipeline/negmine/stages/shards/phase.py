"""The phase that writes the planned shards, and the index that lists them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from negmine.contract.shard_format import Index, ShardEntry, write_samples
from negmine.contract.split import Split
from negmine.engine import PartFunction
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.sidecar import SidecarPhase
from negmine.stages.shards.write import EncodedImages, ShardSource, Slice, Tables
from negmine.store import (
    PartRecord,
    Store,
    add_counts,
    folder_at,
    part_name,
    write_file,
)
from negmine.store.rejected import rejected_name, write_rejected


@dataclass(frozen=True)
class ShardPhase:
    """Write the planned shards."""

    tables: Tables
    split: Split
    plan: tuple[Slice, ...]
    settings: ShardSettings
    images: str

    @property
    def sizes(self) -> tuple[int, ...]:
        """Rows of each shard."""
        return tuple(rows.count for rows in self.plan)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files that the parts may have."""
        return tuple(name for index in range(len(self.plan)) for name in (_shard_name(index), rejected_name(index)))

    def setup(self) -> PartFunction:
        encoded = EncodedImages(self.images, self.settings.image_size, self.settings.max_pixels)
        return partial(_write_shard, self, encoded)


def _write_shard(phase: ShardPhase, encoded: EncodedImages, index: int, folder: Path) -> PartRecord:
    settings = phase.settings
    source = ShardSource(phase.tables, phase.split, settings.negatives, settings.image_negatives, encoded)

    def write(stream: IO[bytes]) -> int:
        return write_samples(stream, source.samples(phase.plan[index]))

    files = [write_file(folder, _shard_name(index), write)]
    folder_at(folder).release(files[0].file)
    files += write_rejected(folder, index, source.rejected)
    return PartRecord(index, tuple(files), dict(source.counts))


def _shard_name(index: int) -> str:
    return part_name(index, "tar", "shard")


def make_index(store: Store, phase: ShardPhase | SidecarPhase, batch: int | None, positives: int) -> Index:
    """``index.json`` of a store whose parts are all shards.

    Args:
        batch: size of the planned batches that follow each other in them; None where none were planned.
        positives: P, the most true texts of a sample.
    """
    records = [store.parts[index] for index in sorted(store.parts)]
    shards = tuple(
        ShardEntry(file.file, file.rows, file.bytes, file.sha256) for record in records for file in record.files
    )
    counts = add_counts(record.counts for record in records)
    kinds, image_kinds, positive_kinds = (
        {name.removeprefix(prefix): number for name, number in counts.items() if name.startswith(prefix)}
        for prefix in ("kind:", "image_kind:", "positive_kind:")
    )
    negatives = phase.settings.negatives
    image_slots = phase.tables.figure_slots(negatives) + phase.settings.image_negatives
    return Index(
        shards,
        negatives,
        kinds,
        image_kinds,
        dict(store.spec.inputs),
        {**store.spec.settings, "planned_batch": batch},
        image_negatives_per_sample=image_slots if image_kinds else 0,
        positives_per_sample=positives if positive_kinds else 0,
        positive_kinds=positive_kinds,
    )
