"""Pairs and negatives as they are read off figures: the base of a group with its caption, and the others' captions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from negmine.base.counts import Counts
from negmine.contract.records import NEGATIVES, PAIRS, SPLIT_MARK, FigureRow, Negative, PairRow, to_table
from negmine.engine import PartFunction
from negmine.images.locate import inspect_image
from negmine.stages.figures.edits import word_edits
from negmine.store import (
    PartRecord,
    folder_at,
    part_name,
    read_part,
    write_table,
)
from negmine.store.work_folder import Stage


@dataclass(frozen=True)
class TablePhase:
    """The pairs or the negatives of a part of figures."""

    stage: str
    figures: Path

    def setup(self) -> PartFunction:
        return partial(_pairs_of_part if self.stage == Stage.PAIRS else _negatives_of_part, self.figures)


def image_id(record: FigureRow) -> str:
    """The id of a group's base drawing; groups of one unit go to the same side of a split."""
    return f"{record['unit']}{SPLIT_MARK}{record['key']}"


def _pairs_of_part(figures: Path, index: int, folder: Path) -> PartRecord:
    rows = list(_pairs(figures, index))
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    counts = {"rows": len(rows), "pairs": len(rows), "images": len(rows)}
    return PartRecord(index, (write_table(folder, part_name(index), table),), counts)


def _pairs(figures: Path, index: int) -> Iterator[PairRow]:
    archive = part_name(index, "tar")
    drawings = folder_at(figures).read(archive)
    for record in read_part(figures, index).to_pylist():
        base = record["members"][0]
        facts = inspect_image(drawings[base["offset"] : base["offset"] + base["bytes"]])
        yield {
            "key": record["key"],
            "image_id": image_id(record),
            "image": f"{archive}::{base['image']}",
            "image_offset": base["offset"],
            "image_bytes": base["bytes"],
            "caption": base["caption"],
            "width": facts.width,
            "height": facts.height,
            "signature": facts.signature,
            "thumbnail": facts.thumbnail,
            "content": facts.content,
            "source": f"{record['domain']} {record['origin']}",
        }


def _negatives_of_part(figures: Path, index: int, folder: Path) -> PartRecord:
    records = read_part(figures, index).to_pylist()
    rows = [negative for record in records for negative in _negatives(record)]
    counts = Counts(pairs=len(records), negatives=len(rows))
    counts.add_each("kind", (row.kind for row in rows))
    file = write_table(folder, part_name(index), to_table(rows, NEGATIVES))
    return PartRecord(index, (file,), dict(counts))


def _negatives(record: FigureRow) -> Iterator[Negative]:
    base = record["members"][0]["caption"]
    for slot, (edit, member) in enumerate(zip(record["edits"], record["members"][1:], strict=True)):
        caption = member["caption"]
        yield Negative(
            record["key"], image_id(record), base, caption, edit["kind"], edit["type"], word_edits(base, caption), slot
        )
