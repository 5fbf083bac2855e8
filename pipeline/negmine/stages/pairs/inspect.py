"""The second phase of reading pairs: look at the images of gathered parts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from negmine.base.counts import Counts
from negmine.contract.records import PAIRS, PairRow, Rejected
from negmine.engine import PartFunction
from negmine.images.decode import BadImageError
from negmine.images.locate import ImageFacts, ImageRoot, inspect_image
from negmine.store import (
    PartRecord,
    part_name,
    read_part,
    write_table,
)
from negmine.store.rejected import write_rejected

Look = Callable[[PairRow], ImageFacts]


class GatheredRow(PairRow):
    """A pair whose image was not looked at yet, and its number in the input."""

    row: int | None


@dataclass(frozen=True)
class InspectPhase:
    """Look at the images of gathered parts; without `images`, only pass the rows on."""

    gathered: Path
    images: str | None
    max_pixels: int

    def setup(self) -> PartFunction:
        look: Look | None = None
        if self.images is not None:
            look = partial(_look, ImageRoot(self.images), self.max_pixels)
        return partial(_inspect_part, self.gathered, look)


def _look(root: ImageRoot, max_pixels: int, row: PairRow) -> ImageFacts:
    if row["image"] is None:
        raise BadImageError("no_image", "the row names no image")
    return inspect_image(root.read(row["image"], row["image_offset"], row["image_bytes"]), max_pixels)


def _inspect_part(gathered: Path, look: Look | None, index: int, folder: Path) -> PartRecord:
    table, rejected = read_part(gathered, index), list[Rejected]()
    if look is not None:
        kept, rejected = _inspect_rows(table.to_pylist(), look)
        table = pa.Table.from_pylist(kept, schema=PAIRS)
    table = table.select(PAIRS.names).combine_chunks()
    files = [write_table(folder, part_name(index), table)]
    counts = Counts(pairs=table.num_rows)
    counts.add_each("rejected", (row.reason for row in rejected))
    files += write_rejected(folder, index, rejected)
    return PartRecord(index, tuple(files), dict(counts))


def _inspect_rows(rows: list[GatheredRow], look: Look) -> tuple[list[PairRow], list[Rejected]]:
    kept, rejected = list[PairRow](), list[Rejected]()
    seen: tuple[tuple[str | None, int | None], ImageFacts | BadImageError] | None = (
        None  # rows of one image follow each other
    )
    for row in rows:
        place = row["image"], row["image_offset"]
        if seen is None or seen[0] != place:
            try:
                seen = place, look(row)
            except BadImageError as error:
                seen = place, error
        facts = seen[1]
        if isinstance(facts, BadImageError):
            rejected.append(Rejected(row["row"], row["source"], row["key"], facts.reason, facts.detail))
        else:
            row |= {
                "width": facts.width,
                "height": facts.height,
                "signature": facts.signature,
                "thumbnail": facts.thumbnail,
                "content": facts.content,
            }
            kept.append(row)
    return kept, rejected
