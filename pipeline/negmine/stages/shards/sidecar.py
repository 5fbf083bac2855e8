"""A sidecar: negatives and neighbours beside somebody's tars, keyed like these, and no image copied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import IO, Final

import pyarrow.compute as pc

from negmine.base.counts import Counts
from negmine.base.errors import UsageError
from negmine.contract.records import MEMBER_MARK, Sample, TextNegative, TextPositive
from negmine.contract.shard_format import Beside, write_sidecar
from negmine.contract.split import Split
from negmine.contract.tar_images import split_name
from negmine.engine import PartFunction
from negmine.stages.shards.by_tar import ByTar, place_in_tar
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.write import Tables
from negmine.store import Manifest, PartRecord, Store, folder_at, read_part, write_file
from negmine.store.work_folder import Stage, WorkFolder

BY_TAR: Final = ".by-tar"
"""Sub-folder with the rows of each tar, while the tars are written."""


@dataclass(frozen=True)
class SidecarPhase:
    """Write a tar of texts for each of somebody's tars.

    Attributes:
        sizes: rows of each tar.
        tars: their paths, as the pairs have them.
        images: the folder that all of them lie in.
        place: where the sidecar is written.
    """

    tables: Tables
    split: Split
    sizes: tuple[int, ...]
    tars: tuple[str, ...]
    settings: ShardSettings
    images: str
    place: Path

    @property
    def names(self) -> tuple[str, ...]:
        """Of the files that the parts have."""
        return tuple(PurePosixPath(tar).name for tar in self.tars)

    @property
    def rows(self) -> Path:
        """The folder of the rows by tar."""
        return self.place / BY_TAR

    def gather(self, store: Store) -> Manifest:
        """Bring the rows of each tar together, in the folder `rows`, as one unit of work."""
        numbers = {tar: number for number, tar in enumerate(self.tars)}
        by_tar = ByTar(self.tables, self.split, numbers, self.settings.negatives)
        store.commit(PartRecord(0, tuple(by_tar.write(store.folder)), {"rows": sum(self.sizes)}))
        return store.finish()

    def setup(self) -> PartFunction:
        return partial(_write_tar, self)


def plan_sidecar(folder: WorkFolder, split: Split, images: str) -> tuple[str, dict[str, int]]:
    """The folder of somebody's tars, and the number of rows of a split whose images lie in each.

    Args:
        images: what the paths of the pairs begin in.

    Raises:
        UsageError: an image, of either split, that lies in no tar, or tars in several folders.
    """
    found = Counter[str]()
    folders: dict[PurePosixPath, str] = {}
    for part in folder.pairs.parts:
        for row in folder.rows(Stage.PAIRS, part.index, ["image_id", "image", "image_offset"]).to_pylist():
            if row["image_offset"] is None:  # cells of tables are written as members are, and have no place in a file
                raise UsageError(
                    "a sidecar lies beside tars, and these images lie in no tar",
                    where=row["image"] or "pairs without images",
                    fix="leave out --sidecar: shards then have the images in them",
                )
            tar, _ = place_in_tar(row["image"])
            folders.setdefault(PurePosixPath(tar).parent, tar)
            found[tar] += split.holds(row["image_id"])
    if len(folders) > 1:
        raise UsageError(
            "these tars lie in several folders, and --images can name one to those who read the sidecar",
            where=", ".join(tar for _, tar in sorted(folders.items())[:2]),
            fix="parse each folder with a --work of its own, or links to all tars in one folder",
        )
    beside = "/".join([images.rstrip("/"), *(next(iter(folders)).parts if folders else ())])
    return beside or "/", {tar: rows for tar, rows in sorted(found.items()) if rows}


def tars_of(folder: WorkFolder) -> set[str]:
    """The files that hold the images of all pairs, where a file holds several."""
    columns = (folder.rows(Stage.PAIRS, part.index, ["image"])["image"] for part in folder.pairs.parts)
    inside = (column.filter(pc.match_substring(column, MEMBER_MARK)) for column in columns)
    return {place_in_tar(image)[0] for column in inside for image in pc.unique(column).to_pylist()}


def _write_tar(phase: SidecarPhase, index: int, folder: Path) -> PartRecord:
    counts = Counts()

    def write(stream: IO[bytes]) -> int:
        return write_sidecar(stream, _samples(phase.rows, index, counts))

    file = write_file(folder, PurePosixPath(phase.tars[index]).name, write)
    folder_at(folder).release(file.file)
    return PartRecord(index, (file,), dict(counts))


def _samples(rows: Path, index: int, counts: Counts) -> Iterator[tuple[Sample, Beside]]:
    """The samples of one tar in the order of their images."""
    for row in read_part(rows, index).to_pylist():
        texts = tuple(TextNegative(**negative) for negative in row["negatives"] or ())
        positives = tuple(TextPositive(**positive) for positive in row["positives"] or ())
        counts.add_each("kind", (negative.kind for negative in texts))
        counts.add_each("positive_kind", (positive.kind for positive in positives))
        counts.update(("samples", "rows"))
        sample = Sample(
            row["key"],
            row["image_id"],
            row["caption"],
            b"",
            "",
            tuple(row["captions"]),
            texts,
            neighbours=tuple(row["neighbours"] or ()),
            positives=positives,
        )
        yield sample, Beside(split_name(place_in_tar(row["image"])[1])[0], row["content"])
