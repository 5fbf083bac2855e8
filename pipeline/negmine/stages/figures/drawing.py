"""The first phase of rendering: groups of figures, as a table of records and a tar of their drawings a part."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import IO

import pyarrow as pa

from negmine.base.counts import Counts
from negmine.base.documents import Document
from negmine.contract.records import FIGURES, Rejected
from negmine.engine import PartFunction
from negmine.stages.figures import group as groups
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import encode_png
from negmine.stages.figures.geometry import GEOMETRY
from negmine.stages.figures.geometry3k import BadRecord, read_records, to_program
from negmine.stages.figures.group import Group, make_group, perturb_program
from negmine.stages.figures.settings import GEOMETRY3K, GroupSettings, RenderSettings
from negmine.store import (
    PartRecord,
    part_name,
    write_file,
    write_table,
)
from negmine.store.rejected import write_rejected

Maker = Callable[[int], Group | Rejected]
"""Makes group number so and so, or says why it cannot."""


@dataclass(frozen=True)
class DrawPhase:
    """Make the groups of a part; a group's number alone decides what it is."""

    settings: RenderSettings

    def setup(self) -> PartFunction:
        wanted = self.settings.groups
        if self.settings.records is None:
            make: Maker = partial(make_group, DOMAINS[wanted.domain], wanted)
        else:
            make = partial(_redraw, wanted, read_records(Path(self.settings.records)))
        return partial(_draw_part, self.settings, make)


def _redraw(settings: GroupSettings, records: list[tuple[str, Document]], number: int) -> Group | Rejected:
    """A diagram of Geometry3K as the base of a group."""
    name, row = records[number]
    try:
        made = perturb_program(
            GEOMETRY, settings, to_program(row, Random(f"{settings.seed}/{name}")), f"{GEOMETRY3K}/{name}"
        )
    except BadRecord as error:
        return Rejected(number + 1, GEOMETRY3K, name, error.reason, error.detail)
    return Rejected(number + 1, GEOMETRY3K, name, made) if isinstance(made, str) else made


def _draw_part(settings: RenderSettings, make: Maker, index: int, folder: Path) -> PartRecord:
    first = index * settings.part_size
    numbers = range(first, min(first + settings.part_size, settings.count))
    records: list[dict[str, object]] = []
    rejected: list[Rejected] = []
    counts = Counts(rows=len(numbers))

    def write(stream: IO[bytes]) -> int:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            offset = 0
            for number in numbers:
                made = make(number)
                if isinstance(made, Rejected):
                    rejected.append(made)
                    counts.add("rejected", made.reason)
                    continue
                count_group(made, settings.groups.negatives, counts)
                record, offset = _store_drawings(made, tar, offset)
                records.append(record)
        return len(records)

    drawings = write_file(folder, part_name(index, "tar"), write)
    counts.check_sum("proposed", "negatives", groups=["refused"])
    table = write_table(folder, part_name(index), pa.Table.from_pylist(records, schema=FIGURES))
    return PartRecord(index, (table, drawings, *write_rejected(folder, index, rejected)), dict(counts))


def _store_drawings(made: Group, tar: tarfile.TarFile, offset: int) -> tuple[dict[str, object], int]:
    """Add the drawings of a group to a tar whose next header is at `offset`; its record, and the next offset."""
    members = []
    for number, member in enumerate(made.members):
        content = encode_png(member.image)
        info = tarfile.TarInfo(f"{made.key}.{number}.png")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
        offset += tarfile.BLOCKSIZE
        place = {"image": info.name, "offset": offset, "bytes": len(content)}
        offset += -(-len(content) // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE
        members.append(groups.member_record(member) | place)
    record = {
        "key": made.key,
        "origin": made.origin,
        "seed": made.seed,
        "domain": made.domain,
        "version": groups.VERSION,
        "style": groups.style_record(made),
        "unit": made.unit,
        "members": members,
        "edits": [groups.edit_record(made.members[0], member) for member in made.members[1:]],
        "matrix": groups.matrix(made),
    }
    return record, offset


def count_group(made: Group, wanted: int, counts: Counts) -> None:
    """Add a group to counts, of which ``proposed`` = ``negatives`` + all ``refused``."""
    negatives = len(made.members) - 1
    counts.update(groups=1, members=len(made.members), negatives=negatives, fewer_than_asked=negatives < wanted)
    for name, number in made.refused.items():
        if name == "proposed" or name.startswith("base"):
            counts["proposed" if name == "proposed" else "base"] += number
        else:
            counts.add("refused", name, number)
    for member in made.members[1:]:
        assert member.edit is not None
        counts.add("kind", member.edit.kind)
        counts.add("type", member.edit.type)
        counts.add("tier", str(member.edit.tier))
