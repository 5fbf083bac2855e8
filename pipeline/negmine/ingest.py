"""PAIRS in, ``work/pairs/`` out: read, clean, check, and bring the captions of one image together.

Three phases. *Gather* reads the source once, from front to back, and deals its rows into buckets on the disk by the
hash of their picture's path, so that memory does not grow with the input; each bucket is sorted and cut into parts.
*Inspect* looks at the pictures, part by part, on all workers. *Settle* says which rows are of one image, and brings
them together, in the order of the hashes of the images' ids: a shuffle that does not depend on the order of the rows.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from negmine import gather, refusals, sources
from negmine.console import note, progress
from negmine.engine import Engine, PartFunction, run_phase
from negmine.errors import DamagedError, InputError, UsageError
from negmine.identity import settle
from negmine.images import ImageFacts, ImageRoot, inspect_image, root_of
from negmine.pixels import MAX_PIXELS, BadImageError
from negmine.places import picture_root
from negmine.records import PAIRS, Rejected
from negmine.sources import Columns, Noted, Row
from negmine.storage_errors import explained
from negmine.store import (
    REJECTED_FILE,
    TEMPORARY,
    Manifest,
    PartRecord,
    Spec,
    Store,
    delete_folder,
    load_manifest,
    part_name,
    read_part,
    write_table,
)
from negmine.store.rejected import merge_rejected, write_rejected

STAGE: Final = "pairs"
_SEEN: Final = ("width", "height", "signature", "thumbnail", "content")
GATHERED: Final = ".gathered"
INSPECTED: Final = ".inspected"

_FEW: Final = 1_000
"""Different captions that are counted; no input of captions has so few for each hundred."""


@dataclass(frozen=True)
class IngestSettings:
    """How PAIRS are read.

    Attributes:
        path: file, folder, glob or URL.
        format: name of a source; None to recognise it.
        images: root of the picture paths; None: no picture is looked at (sources that hold pictures bring their own).
        max_caption: characters kept of a caption.
        max_pixels: larger pictures are rejected.
        part_size: pairs in a part; the pairs of one image stay together.
        limit: rows to read; None for all.
        columns: what the user says of the input's columns.
    """

    path: str
    format: str | None = None
    images: str | None = None
    max_caption: int = 2_000
    max_pixels: int = MAX_PIXELS
    part_size: int = 4_096
    limit: int | None = None
    columns: Columns = field(default_factory=Columns)

    def chosen(self) -> dict[str, Any]:
        """What changes the result, apart from the input itself; of the columns only what the user says."""
        said = {one.name: value for one in fields(Columns) if (value := getattr(self.columns, one.name)) != one.default}
        others = {name: value for name, value in asdict(self).items() if name not in ("path", "images", "columns")}
        return others | ({"columns": said} if said else {})


def ingest(
    settings: IngestSettings, work: Path, engine: Engine, *, max_bad: float = 0.01, overwrite: bool = False
) -> Manifest:
    """Make ``work/pairs`` unless it is there.

    Args:
        max_bad: share of rows, 0 to 1, that may be rejected.

    Raises:
        UsageError: no such input, or its format is not recognised.
        InputError: the input is cut or empty, or more than `max_bad` of its rows were rejected.
        DamagedError: ``work/pairs`` was made from other input or with other settings.
    """
    with explained(settings.path):
        source = sources.open_source(settings.path, settings.format, settings.columns, settings.images)
        images = settings.images or sources.image_root(source, settings.path)
        images = picture_root(images) if images is not None else None
        inputs = {"source": sources.digest(settings.path)}
    chosen = settings.chosen() | {"format": source.name, "images": images is not None}
    spec = Spec(STAGE, chosen, inputs, context={"images": images})
    with Store.open(work / STAGE, spec, engine.share, overwrite=overwrite) as store:
        if not store.finished:
            _make(store, settings, source, images, engine)
    counts = load_manifest(work / STAGE).counts
    if few := counts.get("different_captions"):
        note(f"there are only {few:,} different captions: is the column one of questions? --caption-column names it")
    check_share(counts, max_bad, work / STAGE / REJECTED_FILE)
    return load_pairs(work)


def _make(store: Store, settings: IngestSettings, source: sources.Source, images: str | None, engine: Engine) -> None:
    gathered, inspected = store.folder / GATHERED, store.folder / INSPECTED
    with Store.open(gathered, store.spec, waits=True) as gathering:
        if not gathering.finished:
            limits = gather.Limits(settings.max_caption, settings.part_size, settings.limit)
            variety = _Variety()
            record = gather.gather(variety.watch(_rows(source, settings.path)), gathered, limits)
            gathering.enter(replace(record, counts={**record.counts, **variety.counts}))
            gathering.finish()
        assert gathering.manifest is not None
        counts = dict(gathering.manifest.counts)
        parts, pairs = counts.pop("parts"), counts.pop("pairs")
    with Store.open(inspected, store.spec, engine.share) as inspecting:
        if not inspecting.finished:
            phase = InspectPhase(gathered, images, settings.max_pixels)
            run_phase(inspecting, phase, engine, parts, title="reading pairs", unit="pairs", total=pairs)
            inspecting.finish([merge_rejected(inspecting, gathered / REJECTED_FILE)], counts)
        assert inspecting.manifest is not None
        _settle(store, inspecting.manifest, inspected, settings.part_size)
    for folder in (gathered, inspected):
        delete_folder(folder)


def _settle(store: Store, before: Manifest, inspected: Path, part_size: int) -> None:
    """Make the parts of the pairs out of what was inspected."""
    scratch = store.folder / f"{TEMPORARY}settle"
    counts = Counter({**before.counts, "pairs": 0, "images": 0})
    read = (read_part(inspected, part.index) for part in before.parts)
    with progress("bringing images together", before.counts.get("pairs", 0), "pairs") as bar:
        for index, table in enumerate(gather.cut_at_images(settle(read, scratch, counts), part_size)):
            if index not in store.parts:
                file = write_table(store.folder, part_name(index), table)
                images = len(pc.unique(table["image_id"]))
                store.enter(PartRecord(index, (file,), {"pairs": table.num_rows, "images": images}))
            bar.advance(table.num_rows)
    shutil.rmtree(scratch)
    store.finish([merge_rejected(store, inspected / REJECTED_FILE)], counts)


def _rows(source: sources.Source, path: str) -> Iterator[Row | Rejected | Noted]:
    with explained(path):
        yield from source.read(path)


class _Variety:
    """Notices an input whose captions are nearly all the same, as a column of questions is."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._captions = 0

    def watch(self, rows: Iterator[Row | Rejected | Noted]) -> Iterator[Row | Rejected | Noted]:
        for row in rows:
            if isinstance(row, Row):
                self._captions += 1
                if len(self._seen) < _FEW:
                    self._seen.add(row.caption)
            yield row

    @property
    def counts(self) -> dict[str, int]:
        few = self._captions >= 5 and len(self._seen) <= max(1, self._captions // 100) and len(self._seen) < _FEW
        return {"different_captions": len(self._seen)} if few else {}


def check_share(counts: Mapping[str, int], max_bad: float, rejected: Path) -> None:
    """Stop if more than `max_bad` of the rows were rejected.

    Raises:
        InputError: with the reasons and their numbers, an example of the commonest, and what helps.
    """
    reasons, rows = refusals.reasons(counts), counts["rows"]
    bad = sum(reasons.values())
    if rows == 0:
        raise InputError("the input has no rows", fix="check the file, or name its --format")
    if bad > max_bad * rows or bad == rows:
        why, help_ = refusals.explain(counts, rejected)
        limit = "and none is left" if bad == rows else f"more than --max-bad {max_bad:g} allows"
        raise InputError(
            f"{bad:,} of {rows:,} rows were rejected, {limit}",
            where=str(rejected),
            why=why,
            fix=(f"{help_}; else " if help_ else "")
            + "mend the input (that table lists every row); add --overwrite"
            + ("" if bad == rows else ", or raise --max-bad"),
        )


def check_usable(pairs: Manifest, folder: Path) -> None:
    """Stop where an earlier command read its input to the end and found nothing.

    Raises:
        InputError: with the reasons and their numbers.
    """
    if not pairs.counts["pairs"]:
        raise InputError(
            "there are no pairs here: none of the input's rows could be used",
            where=str(folder / REJECTED_FILE),
            why=refusals.named(pairs.counts) or "the input had no rows",
            fix="mend the input, and run negmine parse with it and --overwrite",
        )


def load_pairs(work: Path) -> Manifest:
    """The pairs that an earlier command left.

    Raises:
        UsageError: there are none.
        DamagedError: an earlier version of negmine made them.
        InputError: none of its input's rows could be used.
    """
    if not (work / STAGE).is_dir():
        raise UsageError(
            "there are no pairs yet", where=str(work), fix="name captioned images, e.g. negmine parse PAIRS"
        )
    manifest = load_manifest(work / STAGE)
    check_usable(manifest, work / STAGE)
    if manifest.parts and set(PAIRS.names) - set(read_part(work / STAGE, 0).column_names):
        raise DamagedError(
            "these pairs were made by an earlier negmine, which looked at pictures in another way",
            where=str(work / STAGE),
            fix="read them again: negmine parse PAIRS --overwrite",
        )
    return manifest


def write_sample(work: Path, folder: Path, pairs: int) -> tuple[Path, str | None]:
    """The first pairs of a work folder as a JSONL file, and the root of their pictures."""
    manifest = load_pairs(work)
    table = read_part(work / STAGE, 0, ["key", "image_id", "image", "caption"]).slice(0, pairs)
    path = folder / "sample.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in table.to_pylist()))
    return path, root_of(manifest, work)


# --- inspect ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class InspectPhase:
    """Look at the pictures of gathered parts; without `images`, only pass the rows on."""

    gathered: Path
    images: str | None
    max_pixels: int

    def setup(self) -> PartFunction:
        look: Callable[[dict[str, Any]], ImageFacts] | None = None
        if self.images is not None:
            look = partial(_look, ImageRoot(self.images), self.max_pixels)
        return partial(_inspect_part, self.gathered, look)


def _look(root: ImageRoot, max_pixels: int, row: dict[str, Any]) -> ImageFacts:
    if row["image"] is None:
        raise BadImageError("no_image", "the row names no picture")
    return inspect_image(root.read(row["image"], row["image_offset"], row["image_bytes"]), max_pixels)


def _inspect_part(
    gathered: Path, look: Callable[[dict[str, Any]], ImageFacts] | None, index: int, folder: Path
) -> PartRecord:
    table, rejected = read_part(gathered, index), list[Rejected]()
    if look is not None:
        kept, rejected = _inspect_rows(table.to_pylist(), look)
        table = pa.Table.from_pylist(kept, schema=PAIRS)
    table = table.select(PAIRS.names).combine_chunks()
    files = [write_table(folder, part_name(index), table)]
    counts = {"pairs": table.num_rows}
    for row in rejected:
        counts[f"rejected:{row.reason}"] = counts.get(f"rejected:{row.reason}", 0) + 1
    files += write_rejected(folder, index, rejected)
    return PartRecord(index, tuple(files), counts)


def _inspect_rows(
    rows: list[dict[str, Any]], look: Callable[[dict[str, Any]], ImageFacts]
) -> tuple[list[dict[str, Any]], list[Rejected]]:
    kept, rejected = [], []
    seen: tuple[Any, ImageFacts | BadImageError] | None = None  # rows of one picture follow each other
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
            kept.append(row | {name: getattr(facts, name) for name in _SEEN})
    return kept, rejected
