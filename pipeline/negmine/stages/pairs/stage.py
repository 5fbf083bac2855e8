"""PAIRS in, ``work/pairs/`` out: read, clean, check, and bring the captions of one image together.

Three phases. *Gather* reads the source once, from front to back, and deals its rows into buckets on the disk by the
hash of their image's path, so that memory does not grow with the input; each bucket is sorted and cut into parts.
*Inspect* looks at the images, part by part, on all workers. *Settle* says which rows are of one image, and brings
them together, in the order of the hashes of the images' ids: a shuffle that does not depend on the order of the rows.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Final

import pyarrow.compute as pc

from negmine import sources
from negmine.base.console import note, progress
from negmine.base.counts import Counts
from negmine.base.storage_errors import explained
from negmine.contract.records import Rejected
from negmine.engine import Engine, run_phase, run_stage
from negmine.sources import Noted, Row
from negmine.stages.pairs import gather
from negmine.stages.pairs.identity import settle
from negmine.stages.pairs.inspect import InspectPhase
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.variety import Variety
from negmine.store import (
    REJECTED_FILE,
    TEMPORARY,
    Manifest,
    PartRecord,
    Spec,
    Store,
    folder_at,
    part_name,
    read_part,
    write_table,
)
from negmine.store.places import image_root
from negmine.store.refusals import check_share
from negmine.store.rejected import merge_rejected
from negmine.store.work_folder import Stage, WorkFolder, load_pairs

GATHERED: Final = ".gathered"
INSPECTED: Final = ".inspected"


def ingest(settings: IngestSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/pairs`` unless it is there.

    Raises:
        UsageError: no such input, or its format is not recognised.
        InputError: the input is cut or empty, or more than `settings.max_bad` of its rows were rejected.
        DamagedError: ``work/pairs`` was made from other input or with other settings.
    """
    with explained(settings.path):
        source = sources.open_source(settings.path, settings.format, settings.columns, settings.images)
        images = settings.images or sources.image_root(source, settings.path)
        images = image_root(images) if images is not None else None
        inputs = {"source": sources.digest(settings.path)}
    chosen = settings.chosen() | {"format": source.name, "images": images is not None}
    spec = Spec(Stage.PAIRS, chosen, inputs, context={"images": images})
    make = partial(_make, settings=settings, source=source, images=images, engine=engine)
    counts = run_stage(work / Stage.PAIRS, spec, make, engine.share, overwrite=overwrite).counts
    counts.check_sum("rows", "pairs", groups=["rejected"])
    if few := counts["different_captions"]:
        note(f"there are only {few:,} different captions: is the column one of questions? --caption-column names it")
    check_share(counts, settings.max_bad, work / Stage.PAIRS / REJECTED_FILE)
    return load_pairs(work)


def _make(
    store: Store, settings: IngestSettings, source: sources.Source, images: str | None, engine: Engine
) -> Manifest:
    gathered, inspected = store.folder / GATHERED, store.folder / INSPECTED
    make = partial(_gather, settings=settings, source=source)
    counts = dict(run_stage(gathered, store.spec, make, None).counts)
    parts, pairs = counts.pop("parts"), counts.pop("pairs")

    def inspect(inspecting: Store) -> Manifest:
        phase = InspectPhase(gathered, images, settings.max_pixels)
        run_phase(inspecting, phase, engine, parts, title="reading pairs", unit="pairs", total=pairs)
        return inspecting.finish([merge_rejected(inspecting, gathered / REJECTED_FILE)], counts)

    before = run_stage(inspected, store.spec, inspect, engine.share)
    made = _settle(store, before, inspected, settings.part_size)
    for folder in (gathered, inspected):
        folder_at(folder).delete_all()
    return made


def _gather(store: Store, settings: IngestSettings, source: sources.Source) -> Manifest:
    """Read the source from front to back, into sorted parts."""
    limits, variety = gather.Limits(settings.max_caption, settings.part_size, settings.limit), Variety()
    record = gather.gather(variety.watch(_rows(source, settings.path)), store.folder, limits)
    store.commit(replace(record, counts={**record.counts, **variety.counts}))
    return store.finish()


def _settle(store: Store, before: Manifest, inspected: Path, part_size: int) -> Manifest:
    """Make the parts of the pairs out of what was inspected."""
    scratch = store.folder / f"{TEMPORARY}settle"
    counts = Counts({**before.counts, "pairs": 0, "images": 0})
    read = (read_part(inspected, part.index) for part in before.parts)
    with progress("bringing images together", before.counts.get("pairs", 0), "pairs") as bar:
        for index, table in enumerate(gather.cut_at_images(settle(read, scratch, counts), part_size)):
            if index not in store.parts:
                file = write_table(store.folder, part_name(index), table)
                images = len(pc.unique(table["image_id"]))
                store.commit(PartRecord(index, (file,), {"pairs": table.num_rows, "images": images}))
            bar.advance(table.num_rows)
    shutil.rmtree(scratch)
    return store.finish([merge_rejected(store, inspected / REJECTED_FILE)], counts)


def _rows(source: sources.Source, path: str) -> Iterator[Row | Rejected | Noted]:
    with explained(path):
        yield from source.read(path)


def write_sample(work: Path, folder: Path, pairs: int) -> tuple[Path, str | None]:
    """The first pairs of a work folder as a JSONL file, and the root of their images."""
    folder_of_pairs = WorkFolder(work, {Stage.PAIRS: load_pairs(work)})
    table = folder_of_pairs.rows(Stage.PAIRS, 0, ["key", "image_id", "image", "caption"]).slice(0, pairs)
    path = folder / "sample.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path, folder_of_pairs.image_root
