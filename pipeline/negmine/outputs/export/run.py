"""``negmine export``: stream the negatives of a work folder into one file, whole or not at all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Final

from negmine.base.console import Summary
from negmine.base.names import pick
from negmine.outputs.export.formats import FORMATS, Foil, Record
from negmine.store import FileRecord, write_output
from negmine.store.work_folder import Stage, WorkFolder

CAPTIONS: Final = "captions"
BARE: Final = "captions without a negative"
NEGATIVES: Final = "negatives"
_PAIR: Final = ("key", "image_id", "image", "caption")


def export(work: Path, name: str, out: Path) -> tuple[FileRecord, dict[str, int]]:
    """Write ``work/negatives`` in the format `name` to the file `out`.

    Returns:
        The file (its rows are the format's own), and how many captions and negatives were read.

    Raises:
        UsageError: no such format.
        InputError: no row of its input could be used.
        DamagedError: the work folder is unfinished, damaged, or its negatives were made from other pairs.
    """
    pick("format", name, FORMATS)
    counts: Counter[str] = Counter({CAPTIONS: 0, BARE: 0, NEGATIVES: 0})

    def write(stream: IO[bytes]) -> int:
        rows = 0
        for text, held in FORMATS[name](_counted(records(work), counts)):
            stream.write(text.encode())
            rows += held
        return rows

    return write_output(out, write), dict(counts)


def summary(name: str, file: FileRecord, counts: Mapping[str, int], out: Path) -> Summary:
    """What is said of a file that was written."""
    figures = {**counts, "rows written": file.rows, "MB": round(file.bytes / 1e6, 1)}
    return Summary(f"negmine export {name}", "done", figures, {"written to": str(out)})


def records(work: Path) -> Iterator[Record]:
    """Captions of a work folder with their negatives, part by part; captions of one image follow each other."""
    with WorkFolder.open(work, needs=[Stage.NEGATIVES]) as folder:
        for part in folder.pairs.parts:
            for pair, rows in folder.with_negatives(part.index, _PAIR, ["negative", "kind", "rule"]):
                foils = tuple(Foil(row["negative"], row["kind"], row["rule"]) for row in rows)
                yield Record(pair["key"], pair["image_id"], pair["image"] or pair["image_id"], pair["caption"], foils)


def _counted(read: Iterator[Record], counts: Counter[str]) -> Iterator[Record]:
    for record in read:
        counts[CAPTIONS] += 1
        counts[NEGATIVES] += len(record.negatives)
        counts[BARE] += not record.negatives
        yield record
