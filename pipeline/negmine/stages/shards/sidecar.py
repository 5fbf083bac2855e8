"""A sidecar: negatives and neighbours beside somebody's tars, keyed like these, and no image copied."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

from negmine.base.errors import UsageError
from negmine.contract.records import PairRow, Sample
from negmine.contract.shard_format import Beside, key_of_member, write_sidecar
from negmine.contract.split import Split
from negmine.engine import PartFunction
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.write import Slice, Tables, read_chosen
from negmine.store import PartRecord, folder_at, write_file
from negmine.store.work_folder import Stage, WorkFolder

_MEMBER: Final = "::"
"""Between a tar and its member, in the pairs."""


@dataclass(frozen=True)
class SidecarPhase:
    """Write a tar of texts for each of somebody's tars.

    Attributes:
        plan: rows of each tar.
        tars: their paths, as the pairs have them.
    """

    tables: Tables
    split: Split
    plan: tuple[Slice, ...]
    tars: tuple[str, ...]
    settings: ShardSettings
    images: str

    def setup(self) -> PartFunction:
        return partial(_write_tar, self)


def plan_sidecar(folder: WorkFolder, split: Split) -> dict[str, Slice]:
    """Somebody's tars to the rows of a split whose images lie in them, reading only ids and paths.

    Raises:
        UsageError: an image that lies in no tar, or two tars of one name.
    """
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for part in folder.pairs.parts:
        rows = folder.rows(Stage.PAIRS, part.index, ["image_id", "image"])
        for image_id, image in zip(rows["image_id"].to_pylist(), rows["image"].to_pylist(), strict=True):
            if split.holds(image_id):
                found[_place_of(image)[0]][part.index] += 1
    by_name: dict[str, str] = {}
    for tar in found:
        other = by_name.setdefault(PurePosixPath(tar).name, tar)
        if other != tar:
            raise UsageError(
                "a sidecar has a tar for each of yours under the same name, and two have one name",
                where=f"{other}, {tar}",
                fix="make a sidecar of each folder by itself",
            )
    return {tar: Slice(tuple(sorted(of)), 0, of.total()) for tar, of in sorted(found.items())}


def _place_of(image: str | None) -> tuple[str, str]:
    """The tar that an image lies in, and its member there."""
    tar, mark, member = (image or "").partition(_MEMBER)
    if not mark:
        raise UsageError(
            "a sidecar lies beside tars, and these images lie in none",
            where=image or "pairs without images",
            fix="leave out --sidecar: shards then have the images in them",
        )
    return tar, member


def _write_tar(phase: SidecarPhase, index: int, folder: Path) -> PartRecord:
    counts: Counter[str] = Counter()

    def write(stream: IO[bytes]) -> int:
        return write_sidecar(stream, _samples(phase, index, counts))

    file = write_file(folder, PurePosixPath(phase.tars[index]).name, write)
    folder_at(folder).release(file.file)
    return PartRecord(index, (file,), dict(counts))


def _samples(phase: SidecarPhase, index: int, counts: Counter[str]) -> Iterator[tuple[Sample, Beside]]:
    """The samples of one tar in the order of their images."""
    tar = phase.tars[index]

    def wanted(pair: PairRow) -> bool:
        return phase.split.holds(pair["image_id"]) and _place_of(pair["image"])[0] == tar

    chosen = read_chosen(phase.tables, phase.plan[index].parts, phase.settings.negatives, wanted)
    for pair in sorted(chosen.pairs, key=lambda pair: (pair["image_offset"] or 0, pair["key"])):
        key, texts = pair["key"], chosen.negatives.get(pair["key"], ())
        neighbours = tuple(neighbour.key for neighbour in chosen.neighbours.get(key, []))
        captions = tuple(chosen.captions[pair["image_id"]])
        counts.update(f"kind:{negative.kind}" for negative in texts)
        counts.update(("samples", "rows"))
        sample = Sample(key, pair["image_id"], pair["caption"], b"", "", captions, texts, neighbours=neighbours)
        yield sample, Beside(key_of_member(_place_of(pair["image"])[1]), pair["content"])
