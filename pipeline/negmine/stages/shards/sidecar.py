"""A sidecar: negatives and neighbours beside somebody's tars, keyed like these, and no image copied."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO

import pyarrow.compute as pc

from negmine.base.counts import Counts
from negmine.base.errors import UsageError
from negmine.contract.records import MEMBER_MARK, PairRow, Sample
from negmine.contract.shard_format import Beside, write_sidecar
from negmine.contract.split import Split
from negmine.contract.tar_images import split_name
from negmine.engine import PartFunction
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.write import Slice, Tables, read_chosen
from negmine.store import PartRecord, folder_at, write_file
from negmine.store.work_folder import Stage, WorkFolder


@dataclass(frozen=True)
class SidecarPhase:
    """Write a tar of texts for each of somebody's tars.

    Attributes:
        plan: rows of each tar.
        tars: their paths, as the pairs have them.
        images: the folder that all of them lie in.
    """

    tables: Tables
    split: Split
    plan: tuple[Slice, ...]
    tars: tuple[str, ...]
    settings: ShardSettings
    images: str

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files that the parts have."""
        return tuple(PurePosixPath(tar).name for tar in self.tars)

    def setup(self) -> PartFunction:
        return partial(_write_tar, self)


def plan_sidecar(folder: WorkFolder, split: Split, images: str) -> tuple[str, dict[str, Slice]]:
    """The folder of somebody's tars, and each to the rows of a split whose images lie in it.

    Args:
        images: what the paths of the pairs begin in.

    Raises:
        UsageError: an image, of either split, that lies in no tar, or tars in several folders.
    """
    found: defaultdict[str, Counter[int]] = defaultdict(Counter)
    folders: dict[PurePosixPath, str] = {}
    for part in folder.pairs.parts:
        for row in folder.rows(Stage.PAIRS, part.index, ["image_id", "image", "image_offset"]).to_pylist():
            if row["image_offset"] is None:  # cells of tables are written as members are, and have no place in a file
                raise UsageError(
                    "a sidecar lies beside tars, and these images lie in no tar",
                    where=row["image"] or "pairs without images",
                    fix="leave out --sidecar: shards then have the images in them",
                )
            tar, _ = _place_of(row["image"])
            folders.setdefault(PurePosixPath(tar).parent, tar)
            if split.holds(row["image_id"]):
                found[tar][part.index] += 1
    if len(folders) > 1:
        raise UsageError(
            "these tars lie in several folders, and --images can name one to those who read the sidecar",
            where=", ".join(tar for _, tar in sorted(folders.items())[:2]),
            fix="parse each folder with a --work of its own, or links to all tars in one folder",
        )
    beside = "/".join([images.rstrip("/"), *(next(iter(folders)).parts if folders else ())])
    return beside or "/", {tar: Slice(tuple(sorted(of)), 0, of.total()) for tar, of in sorted(found.items())}


def tars_of(folder: WorkFolder) -> set[str]:
    """The files that hold the images of all pairs, where a file holds several."""
    columns = (folder.rows(Stage.PAIRS, part.index, ["image"])["image"] for part in folder.pairs.parts)
    inside = (column.filter(pc.match_substring(column, MEMBER_MARK)) for column in columns)
    return {_place_of(image)[0] for column in inside for image in pc.unique(column).to_pylist()}


def _place_of(image: str) -> tuple[str, str]:
    """The file that an image lies in, and what it is called there."""
    file, _, member = image.partition(MEMBER_MARK)
    return file, member


def _write_tar(phase: SidecarPhase, index: int, folder: Path) -> PartRecord:
    counts = Counts()

    def write(stream: IO[bytes]) -> int:
        return write_sidecar(stream, _samples(phase, index, counts))

    file = write_file(folder, PurePosixPath(phase.tars[index]).name, write)
    folder_at(folder).release(file.file)
    return PartRecord(index, (file,), dict(counts))


def _samples(phase: SidecarPhase, index: int, counts: Counts) -> Iterator[tuple[Sample, Beside]]:
    """The samples of one tar in the order of their images."""
    tar = phase.tars[index]

    def wanted(pair: PairRow) -> bool:
        return phase.split.holds(pair["image_id"]) and _place_of(pair["image"] or "")[0] == tar

    chosen = read_chosen(phase.tables, phase.plan[index].parts, phase.settings.negatives, wanted)
    for pair in sorted(chosen.pairs, key=lambda pair: (pair["image_offset"] or 0, pair["key"])):
        key, texts = pair["key"], chosen.negatives.get(pair["key"], ())
        neighbours = tuple(neighbour.key for neighbour in chosen.neighbours.get(key, []))
        captions = tuple(chosen.captions[pair["image_id"]])
        counts.add_each("kind", (negative.kind for negative in texts))
        counts.update(("samples", "rows"))
        sample = Sample(key, pair["image_id"], pair["caption"], b"", "", captions, texts, neighbours=neighbours)
        yield sample, Beside(split_name(_place_of(pair["image"] or "")[1])[0], pair["content"])
