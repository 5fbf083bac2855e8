"""``negmine render``: groups of figures as a work folder that the later stages take for any other.

Three stages in a row. *figures* makes the groups: a table of records and a tar of their pictures for each part.
*pairs* and *negatives* are read off them: the base of a group with its caption, and the captions of its other members.
"""

from __future__ import annotations

import io
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from random import Random
from typing import IO, Any, Final

import pyarrow as pa

from negmine.contract.records import FIGURES, NEGATIVES, PAIRS, SPLIT_MARK, Negative, Rejected, to_table
from negmine.engine import Engine, PartFunction, run_phase, run_stage
from negmine.images.locate import inspect_image
from negmine.stages.figures import group as groups
from negmine.stages.figures.domains import DOMAINS
from negmine.stages.figures.draw import FONT, encode_png, load_font
from negmine.stages.figures.edits import word_edits
from negmine.stages.figures.geometry import GEOMETRY
from negmine.stages.figures.geometry3k import BadRecord, read_records, to_program
from negmine.stages.figures.group import Group, make_group, perturb_program
from negmine.stages.figures.settings import GEOMETRY3K, GroupSettings, RenderSettings
from negmine.store import (
    Manifest,
    PartRecord,
    Spec,
    Store,
    fetch_local,
    file_sha256,
    part_name,
    read_part,
    refuse_other_settings,
    write_file,
    write_table,
)
from negmine.store.rejected import merge_rejected, write_rejected
from negmine.store.work_folder import Stage, WorkFolder

DERIVED: Final = {"from": Stage.FIGURES}
"""Settings of the pairs and negatives that are read off figures."""


def render(settings: RenderSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/figures``, ``work/pairs`` and ``work/negatives`` unless they are there.

    Raises:
        DamagedError: one of the folders was made otherwise: by other settings, or from other pairs.
        ResourceError: the font is missing.
    """
    load_font(16)
    chosen = {**asdict(settings), "version": groups.VERSION, "font": file_sha256(Path(FONT))}
    chosen.pop("records")  # where the file lies does not matter
    inputs = {"records": file_sha256(Path(settings.records))} if settings.records else {}
    spec = Spec(Stage.FIGURES, chosen, inputs, {"pillow": version("pillow")})
    if not overwrite:
        for stage in (Stage.PAIRS, Stage.NEGATIVES):
            refuse_other_settings(work / stage, stage, DERIVED)  # those of captions, before anything is drawn

    def draw(store: Store) -> Manifest:
        title = f"drawing {settings.groups.domain}"
        run_phase(store, DrawPhase(settings), engine, settings.parts, title=title, unit="rows", total=settings.count)
        return store.finish([merge_rejected(store)] if settings.records else [])

    figures = run_stage(work / Stage.FIGURES, spec, draw, engine.share, overwrite=overwrite)
    pairs = _derive(Stage.PAIRS, {Stage.FIGURES: figures.digest}, figures, work, engine, overwrite)
    _derive(
        Stage.NEGATIVES, {Stage.FIGURES: figures.digest, Stage.PAIRS: pairs.digest}, figures, work, engine, overwrite
    )
    return figures


def _derive(
    stage: str, inputs: dict[str, str], figures: Manifest, work: Path, engine: Engine, overwrite: bool
) -> Manifest:
    """One of the tables that are read off the figures; `stage` is its folder."""
    context = {"images": WorkFolder(work, {Stage.FIGURES: figures}).folder_of_figures} if stage == Stage.PAIRS else {}

    def write(store: Store) -> Manifest:
        parts, total = len(figures.parts), figures.counts["groups"]
        phase = TablePhase(stage, work / Stage.FIGURES)
        run_phase(store, phase, engine, parts, title=f"writing {stage}", unit="pairs", total=total)
        return store.finish()

    return run_stage(work / stage, Spec(stage, DERIVED, inputs, {}, context), write, None, overwrite=overwrite)


# --- figures ---------------------------------------------------------------------------------------------------------


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


def _redraw(settings: GroupSettings, records: list[tuple[str, Any]], number: int) -> Group | Rejected:
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
    records: list[dict[str, Any]] = []
    rejected: list[Rejected] = []
    counts: Counter[str] = Counter(rows=len(numbers))

    def write(stream: IO[bytes]) -> int:
        with tarfile.open(fileobj=stream, mode="w|", format=tarfile.GNU_FORMAT) as tar:
            offset = 0
            for number in numbers:
                made = make(number)
                if isinstance(made, Rejected):
                    rejected.append(made)
                    counts[f"rejected:{made.reason}"] += 1
                    continue
                count_group(made, settings.groups.negatives, counts)
                record, offset = _store_pictures(made, tar, offset)
                records.append(record)
        return len(records)

    pictures = write_file(folder, part_name(index, "tar"), write)
    table = write_table(folder, part_name(index), pa.Table.from_pylist(records, schema=FIGURES))
    return PartRecord(index, (table, pictures, *write_rejected(folder, index, rejected)), dict(counts))


def _store_pictures(made: Group, tar: tarfile.TarFile, offset: int) -> tuple[dict[str, Any], int]:
    """Add the pictures of a group to a tar whose next header is at `offset`; its record, and the next offset."""
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


def count_group(made: Group, wanted: int, counts: Counter[str]) -> None:
    """Add a group to counts that reconcile: ``proposed`` = ``negatives`` + all ``refused:REASON``."""
    negatives = len(made.members) - 1
    counts.update(groups=1, members=len(made.members), negatives=negatives, fewer_than_asked=negatives < wanted)
    for name, number in made.refused.items():
        counts["proposed" if name == "proposed" else "base" if name.startswith("base") else f"refused:{name}"] += number
    for member in made.members[1:]:
        assert member.edit is not None
        counts.update([f"kind:{member.edit.kind}", f"type:{member.edit.type}", f"tier:{member.edit.tier}"])


# --- pairs and negatives ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class TablePhase:
    """The pairs or the negatives of a part of figures."""

    stage: str
    figures: Path

    def setup(self) -> PartFunction:
        return partial(_pairs_of_part if self.stage == Stage.PAIRS else _negatives_of_part, self.figures)


def image_id(record: dict[str, Any]) -> str:
    """The id of a group's base picture; groups of one unit go to the same side of a split."""
    return f"{record['unit']}{SPLIT_MARK}{record['key']}"


def _pairs_of_part(figures: Path, index: int, folder: Path) -> PartRecord:
    rows = list(_pairs(figures, index))
    table = pa.Table.from_pylist(rows, schema=PAIRS)
    counts = {"rows": len(rows), "pairs": len(rows), "images": len(rows)}
    return PartRecord(index, (write_table(folder, part_name(index), table),), counts)


def _pairs(figures: Path, index: int) -> Iterator[dict[str, Any]]:
    archive = part_name(index, "tar")
    pictures = fetch_local(figures / archive).read_bytes()
    for record in read_part(figures, index).to_pylist():
        base = record["members"][0]
        facts = inspect_image(pictures[base["offset"] : base["offset"] + base["bytes"]])
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
    counts = Counter(f"kind:{row.kind}" for row in rows) + Counter(pairs=len(records), negatives=len(rows))
    file = write_table(folder, part_name(index), to_table(rows, NEGATIVES))
    return PartRecord(index, (file,), dict(counts))


def _negatives(record: dict[str, Any]) -> Iterator[Negative]:
    base = record["members"][0]["caption"]
    for slot, (edit, member) in enumerate(zip(record["edits"], record["members"][1:], strict=True)):
        caption = member["caption"]
        yield Negative(
            record["key"], image_id(record), base, caption, edit["kind"], edit["type"], word_edits(base, caption), slot
        )
