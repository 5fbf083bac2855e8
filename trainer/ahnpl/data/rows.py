"""Somebody's tars and tables as they are: negmine's readers look at them once, and an index keeps where each row lies.

Nothing is written beside them: the index is the run's. Its rows are read, with their images, where they are needed, in
a worker.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import IO, Final

import pyarrow as pa
from negmine import sources
from negmine.base.counts import Counts
from negmine.base.errors import DamagedError, InputError
from negmine.base.hashing import hash64
from negmine.contract.records import Rejected, Sample
from negmine.images.decode import BadImageError
from negmine.images.locate import ImageRoot
from negmine.sources import Columns, Noted
from negmine.store import locked, write_file, write_text
from negmine.store.file_systems import file_system, request
from negmine.store.places import image_root

TOGETHER: Final = 500
"""Rows of a table that make a shard: tables are often sorted, and shards are shuffled."""

_BATCH: Final = 500
_ROW: Final = pa.schema(
    [
        ("key", pa.string()),
        ("image_id", pa.string()),
        ("image", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
        ("caption", pa.string()),
    ]
)


@dataclass(frozen=True)
class Reading:
    """How somebody's files are read.

    Attributes:
        folder: of the indexes.
        columns: what the user says of the columns of tables.
        images: root of the images of tables; None for the working directory.
        max_bad: the share of the rows of a file that may be unusable.
    """

    folder: Path
    columns: Columns = field(default_factory=Columns)
    images: str | None = None
    max_bad: float = 0.01


@dataclass(frozen=True)
class Indexed:
    """A file whose rows were looked at.

    Attributes:
        index: the Arrow file of its rows.
        root: what the paths of its images begin in.
        samples: usable rows.
        refused: other rows, by reason.
        digest: of its content but for the images, see `negmine.sources.digest`, and of the keys and captions read.
        holds_images: whether its images lie in itself, in the order of its rows.
    """

    index: str
    root: str
    samples: int
    refused: dict[str, int]
    digest: str
    holds_images: bool


@dataclass(frozen=True, slots=True)
class Rows:
    """A run of rows of an index.

    Attributes:
        first: its first row.
        root: see `Indexed`.
    """

    index: str
    root: str
    first: int

    def read(self, position: int) -> tuple[Sample, BadImageError | None]:
        """One of them, and what is wrong with its image, which is empty then."""
        number = self.first + position
        batch, names = _opened(self.index).get_batch(number // _BATCH), _ROW.names
        key, image_id, image, offset, size, caption = (batch[name][number % _BATCH].as_py() for name in names)
        extension = PurePosixPath(image).suffix[1:].lower()
        try:
            content, problem = _images(self.root).read(image, offset, size), None
        except BadImageError as error:
            content, problem = b"", error
        return Sample(key, image_id, caption, content, extension, (caption,)), problem


@lru_cache(maxsize=64)
def _opened(index: str) -> pa.ipc.RecordBatchFileReader:
    return pa.ipc.open_file(pa.memory_map(index))


@lru_cache(maxsize=16)
def _images(root: str) -> ImageRoot:
    return ImageRoot(root)


def index_rows(url: str, reading: Reading) -> Indexed:
    """Look at the rows of a file, unless an index of the same file is there.

    Raises:
        UsageError: its format is not known, or it has no such columns.
        InputError: more than `reading.max_bad` of its rows cannot be used.
        DamagedError: the index is damaged.
    """
    system, path = file_system(url)
    root = image_root(reading.images or ".")
    told = [url, request(lambda: system.ukey(path), url), asdict(reading.columns), root]
    name = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
    record = reading.folder / f"{name}.json"
    if not record.exists():
        reading.folder.mkdir(parents=True, exist_ok=True)
        with locked(reading.folder, waits=True):  # of several processes one looks
            if not record.exists():
                _write(url, reading, name)
    try:
        index = str(record.with_suffix(".arrow").absolute())  # a run's folder may have moved
        found = Indexed(index, **json.loads(record.read_text()))
        with pa.memory_map(found.index) as file:
            pa.ipc.open_file(file)
    except (OSError, ValueError, TypeError, AttributeError) as error:
        fix = f"delete {reading.folder}: it is made again"
        raise DamagedError("this index of rows is damaged", where=str(record), why=str(error), fix=fix) from None
    _check_refused(url, found, reading.max_bad)
    return found


def _write(url: str, reading: Reading, name: str) -> None:
    source = sources.open_source(url, columns=reading.columns, images=reading.images)
    root = reading.images or sources.image_root(source, url) or "."
    counts, told = Counts(), hashlib.sha256()

    def write(stream: IO[bytes]) -> int:
        rows = _usable(source, url, counts)
        with pa.ipc.new_file(stream, _ROW) as writer:
            while several := list(islice(rows, _BATCH)):
                writer.write_batch(pa.RecordBatch.from_pylist(several, _ROW))
                told.update(json.dumps([(row["key"], row["caption"]) for row in several]).encode())
        return counts["samples"]

    file = write_file(reading.folder, f"{name}.arrow", write)
    refused = {reason.removeprefix("rejected:"): n for reason, n in counts.items() if reason.startswith("rejected:")}
    digest = f"{sources.digest(url)} {told.hexdigest()}"
    found = Indexed(file.file, image_root(root), file.rows, refused, digest, source.holds_images)
    told_of = {fact: value for fact, value in asdict(found).items() if fact != "index"}
    write_text(reading.folder, f"{name}.json", json.dumps(told_of))


def _usable(source: sources.Source, url: str, counts: Counts) -> Iterator[dict[str, object]]:
    """The rows that can be trained on; the others are counted with their reasons."""
    seen = set[int]()
    for row in source.read(url):
        if isinstance(row, Noted):
            continue
        if isinstance(row, Rejected):
            counts.add("rejected", row.reason)
            continue
        caption = " ".join(row.caption.split())
        key = row.key or f"{hash64(f'{row.image} {caption}'):016x}"
        if not caption or row.image is None:
            counts.add("rejected", "no_image" if caption else "empty_caption")
        elif hash64(key) in seen:
            counts.add("rejected", "duplicate_key" if row.key else "duplicate_pair")
        else:
            seen.add(hash64(key))
            counts["samples"] += 1
            place = {"image": row.image, "offset": row.image_offset, "size": row.image_bytes}
            yield {"key": key, "image_id": row.image_id or row.image, "caption": caption, **place}


def _check_refused(url: str, found: Indexed, max_bad: float) -> None:
    bad = sum(found.refused.values())
    if not bad and not found.samples:
        raise InputError("there are no rows", where=url, fix="check the file")
    if bad > max_bad * (bad + found.samples) or not found.samples:
        raise InputError(
            f"{bad:,} of {bad + found.samples:,} rows cannot be used, more than --max-bad {max_bad:g}",
            where=url,
            why=", ".join(f"{reason} {number:,}" for reason, number in sorted(found.refused.items())),
            fix="mend it, name the columns (--caption-column, --image-column, --delimiter), or raise --max-bad",
        )
