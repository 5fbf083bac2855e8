"""The rows that went no further: a file beside each part while a stage runs, one table when it is done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import IO, Final

import pyarrow as pa
import pyarrow.parquet as pq

from negmine.contract.records import REJECTED, Rejected, to_table
from negmine.store.files import write_file, write_table
from negmine.store.folder import folder_at
from negmine.store.manifest import FileRecord, PartRecord
from negmine.store.stage_folder import REJECTED_FILE, Store

_STEM: Final = "rejected-"


def write_rejected(folder: Path, index: int, rows: Sequence[Rejected]) -> list[FileRecord]:
    """The rejected rows of a part, in a file that `merge_rejected` takes up; no file for no rows."""
    if not rows:
        return []
    return [write_table(folder, rejected_name(index), to_table(rows, REJECTED))]


def rejected_name(index: int) -> str:
    """The file that `write_rejected` writes."""
    return f"{_STEM}{index:05d}.parquet"


def write_streamed(stream: Path, folder: Path) -> FileRecord:
    """``rejected.parquet`` out of a file in Arrow's stream format, which rows were appended to one after the other."""

    def write(out: IO[bytes]) -> int:
        rows = 0
        with pa.OSFile(str(stream)) as file, pq.ParquetWriter(out, REJECTED, compression="zstd") as writer:
            for batch in pa.ipc.open_stream(file):
                writer.write_batch(batch)
                rows += batch.num_rows
        return rows

    return write_file(folder, REJECTED_FILE, write)


def merge_rejected(store: Store, gathered: Path | None = None) -> FileRecord:
    """Bring the rejected rows of all parts, and of an earlier phase, together in one ``rejected.parquet``.

    The parts' own files go: a run that is killed before the manifest is written makes those parts again.
    """
    sidecars = [
        store.folder / file.file
        for index in sorted(store.parts)
        for file in store.parts[index].files
        if file.file.startswith(_STEM)
    ]

    def write(stream: IO[bytes]) -> int:
        rows = 0
        with pq.ParquetWriter(stream, REJECTED, compression="zstd") as writer:
            for path in [*([gathered] if gathered else []), *sidecars]:
                for batch in pq.ParquetFile(folder_at(path.parent).file(path.name)).iter_batches():
                    writer.write_batch(batch)
                    rows += batch.num_rows
        return rows

    record = write_file(store.folder, REJECTED_FILE, write)
    for path in sidecars:
        folder_at(path.parent).delete(path.name)
    for index, part in store.parts.items():
        files = tuple(file for file in part.files if not file.file.startswith(_STEM))
        store.parts[index] = PartRecord(part.index, files, part.counts)
    return record
