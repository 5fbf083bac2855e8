"""What is read off figures: the base of a group with its caption, the others' captions, the base's claims otherwise."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow as pa

from negmine.base.counts import Counts
from negmine.base.hashing import generator
from negmine.contract.records import (
    NEGATIVES,
    PAIRS,
    POSITIVES,
    SPLIT_MARK,
    FigureRow,
    Negative,
    PairRow,
    Positive,
    to_table,
)
from negmine.engine import PartFunction
from negmine.images.locate import inspect_image
from negmine.stages.figures.describe import CONTEXT, caption, count_tokens, draw_wording
from negmine.stages.figures.domain import Claim
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.edits import word_edits
from negmine.store import (
    PartRecord,
    folder_at,
    part_name,
    read_part,
    write_table,
)
from negmine.store.work_folder import Stage

TRIES: Final = 4
"""Wordings that are drawn for each positive asked for."""

TURNED: Final = 0.5
"""Share of the claims that are told from their other side, where they have one."""


@dataclass(frozen=True)
class TablePhase:
    """The pairs, the negatives or the positives of a part of figures.

    Attributes:
        positives: P, the most of a group.
    """

    stage: str
    figures: Path
    positives: int = 0

    def setup(self) -> PartFunction:
        if self.stage == Stage.POSITIVES:
            return partial(_positives_of_part, self.figures, self.positives)
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
        text = member["caption"]
        yield Negative(
            record["key"], image_id(record), base, text, edit["kind"], edit["type"], word_edits(base, text), slot
        )


def _positives_of_part(figures: Path, most: int, index: int, folder: Path) -> PartRecord:
    records = read_part(figures, index).to_pylist()
    rows = [positive for record in records for positive in _positives(record, most)]
    counts = Counts(pairs=len(records), positives=len(rows))
    counts.add_each("kind", (row.kind for row in rows))
    file = write_table(folder, part_name(index), to_table(rows, POSITIVES))
    return PartRecord(index, (file,), dict(counts))


def _positives(record: FigureRow, most: int) -> Iterator[Positive]:
    """The claims of the base in other words and another order, each told from its other side where chance has it.

    What proves them is that they are the same claims: the oracle found these true of the image.
    """
    base, domain = record["members"][0], DOMAINS[record["domain"]]
    claims = [Claim(what, tuple(of), value) for what, of, value in json.loads(base["claims"])]
    chance, seen = generator(record["seed"], "positives", record["key"]), {base["caption"]}
    for _ in range(TRIES * most):
        if len(seen) > most:
            return
        told = [(domain.converse(claim) if chance.random() < TURNED else None) or claim for claim in claims]
        text = caption(told, domain.templates, draw_wording(domain.templates, chance))
        if text in seen or count_tokens(text) > CONTEXT:
            continue
        kind, rule = ("form", "wording") if told == claims else ("order", "converse")
        edits = word_edits(base["caption"], text)
        yield Positive(record["key"], image_id(record), base["caption"], text, kind, rule, edits, len(seen) - 1)
        seen.add(text)
