"""Read rows once, clean their text, give them keys, bring those of one path together: memory does not grow."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.base.console import progress
from negmine.base.counts import Counts
from negmine.base.errors import explain_os_error
from negmine.base.hashing import hash64
from negmine.contract.records import KEY_PATTERN, PAIRS, REJECTED, Rejected, to_table
from negmine.sources import Noted, Row
from negmine.sources.clean import clean_caption
from negmine.stages.pairs.identity import normal_path
from negmine.store import TEMPORARY, PartRecord, part_name, write_table
from negmine.store.rejected import write_streamed
from negmine.store.spill import Spill, hashed, stored, together

CHUNK: Final = 8_192  # rows in memory while reading
MAX_KEY: Final = 200

_ROW: Final = pa.schema([*PAIRS, pa.field("row", pa.int64())])
_SPILLED: Final = pa.schema(
    [*_ROW, pa.field("hash", pa.uint64()), pa.field("ordinal", pa.int64()), pa.field("given", pa.bool_())]
)
_KEYS: Final = pa.schema(
    [
        _SPILLED.field(name)
        for name in ("key", "image_id", "caption", "row", "source", "ordinal", "given", "image_offset", "hash")
    ]
)
_REPEATS: Final = pa.schema([_SPILLED.field("hash"), _SPILLED.field("ordinal"), pa.field("again", pa.bool_())])
"""Rows whose key an earlier row has; `again` where it starts again in another archive."""


@dataclass(frozen=True)
class Limits:
    """How much of the input is taken.

    Attributes:
        max_caption: characters kept of a caption.
        part_size: pairs in a part.
        rows: rows to read; None for all.
    """

    max_caption: int
    part_size: int
    rows: int | None = None


def gather(rows: Iterable[Row | Rejected | Noted], folder: Path, limits: Limits) -> PartRecord:
    """Write gathered parts and ``rejected.parquet`` to `folder`, as one unit of work.

    The counts hold ``rows``, ``pairs``, ``parts``, ``changed:...``, ``noted:...`` and ``rejected:...``, and reconcile:
    rows = pairs + all rejected.
    """
    scratch = folder / f"{TEMPORARY}gather"
    try:
        scratch.mkdir(parents=True)
        record = _gather(rows, folder, scratch, limits)
        shutil.rmtree(scratch)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error
    return record


def _gather(rows: Iterable[Row | Rejected | Noted], folder: Path, scratch: Path, limits: Limits) -> PartRecord:
    by_image, by_key, repeats = (
        Spill(scratch / "images", _SPILLED, stored("hash")),
        Spill(scratch / "keys", _KEYS, hashed("key")),
        Spill(scratch / "repeats", _REPEATS, stored("hash")),
    )
    counts = Counts(rows=0, pairs=0, parts=0)
    with pa.ipc.new_stream(scratch / "rejected.arrow", REJECTED) as refusals:
        for pairs, rejected in _chunks(islice(_noting(rows, counts), limits.rows), limits.max_caption, counts):
            refusals.write_table(to_table(rejected, REJECTED))
            by_image.add(pairs)
            by_key.add(pairs.select(_KEYS.names))
        counts.add("noted", "key_of_another_archive", 0)  # said where there is none, too
        for bucket in filter(len, by_key.buckets()):
            found = list(_repeats(bucket))
            repeats.add(pa.Table.from_pylist([row for row, _ in found], schema=_REPEATS))
            rejected = [refusal for _, refusal in found if refusal is not None]
            counts.add("noted", "key_of_another_archive", len(found) - len(rejected))
            counts.add_each("rejected", (row.reason for row in rejected))
            refusals.write_table(to_table(rejected, REJECTED))
    files = []
    unique = (_unique(bucket, repeated) for bucket, repeated in together(by_image, repeats) if len(bucket))
    for index, part in enumerate(cut_at_images(unique, limits.part_size)):
        files.append(write_table(folder, part_name(index), part.select(_ROW.names)))
        counts["parts"] += 1
        counts["pairs"] += part.num_rows
    files.append(write_streamed(scratch / "rejected.arrow", folder))
    return PartRecord(0, tuple(files), dict(counts))


# --- rows ------------------------------------------------------------------------------------------------------------


def _noting(rows: Iterable[Row | Rejected | Noted], counts: Counts) -> Iterator[Row | Rejected]:
    for row in rows:
        if isinstance(row, Noted):
            counts.add("noted", str(row), row.number)
        else:
            yield row


def _chunks(
    rows: Iterable[Row | Rejected], max_caption: int, counts: Counts
) -> Iterator[tuple[pa.Table, list[Rejected]]]:
    """Cleaned rows as tables of `_SPILLED`, with the refused ones beside them."""
    ordinals = iter(enumerate(rows))
    with progress("reading", None, "rows") as bar:
        while chunk := list(islice(ordinals, CHUNK)):
            pairs, rejected = [], []
            for ordinal, row in chunk:
                kept = row if isinstance(row, Rejected) else _pair(row, ordinal, max_caption, counts)
                if isinstance(kept, Rejected):
                    rejected.append(kept)
                    counts.add("rejected", kept.reason)
                else:
                    pairs.append(kept)
            counts["rows"] += len(chunk)
            bar.advance(len(chunk))
            yield pa.Table.from_pylist(pairs, schema=_SPILLED), rejected


def _pair(row: Row, ordinal: int, max_caption: int, counts: Counts) -> dict[str, object] | Rejected:
    caption, changes = clean_caption(row.caption or "", max_caption)
    counts.add_each("changed", changes)
    if not caption:
        return Rejected(row.row, row.source, row.key, "empty_caption", None)
    if row.key is not None and not (KEY_PATTERN.fullmatch(row.key) and len(row.key) <= MAX_KEY):
        return Rejected(
            row.row, row.source, row.key[:MAX_KEY], "key_characters", f"a key is 1 to {MAX_KEY} of 0-9 A-Z a-z _ -"
        )
    image = normal_path(row.image) if row.image else None
    key = row.key or _key(image or row.image_id or "", caption)
    image_id = row.image_id or image or key
    return {
        "key": key,
        "image_id": image_id,
        "image": image,
        "image_offset": row.image_offset,
        "image_bytes": row.image_bytes,
        "caption": caption,
        "source": row.source,
        "row": row.row,
        "hash": hash64(image or image_id),
        "ordinal": ordinal,
        "given": row.key is not None,
    }


def _key(image_id: str, caption: str) -> str:
    return hashlib.blake2b(f"{image_id}\0{caption}".encode(), digest_size=10).hexdigest()


# --- groups ----------------------------------------------------------------------------------------------------------


def _repeats(bucket: pa.Table) -> Iterator[tuple[dict[str, object], Rejected | None]]:
    """Rows of `_REPEATS`, and the refusal of each whose key does not start again in another archive.

    "Earlier" is by image and caption, not by place in the input.
    """
    counts = pc.value_counts(bucket["key"])
    twice = counts.filter(pc.greater(counts.field("counts"), 1)).field("values")
    rows = bucket.filter(pc.is_in(bucket["key"], twice)).sort_by([(name, "ascending") for name in _KEYS.names[:4]])
    previous, archives = None, set[str]()
    for row in rows.to_pylist():
        repeat = {"hash": row["hash"], "ordinal": row["ordinal"], "again": False}
        if row["key"] != previous:
            previous, archives = row["key"], {row["source"]}
        elif row["given"] and row["image_offset"] is not None and row["source"] not in archives:
            archives.add(row["source"])
            yield repeat | {"again": True}, None
        else:
            reason = "duplicate_key" if row["given"] else "duplicate_pair"
            yield repeat, Rejected(row["row"], row["source"], row["key"], reason, None)


def _unique(bucket: pa.Table, repeats: pa.Table) -> pa.Table:
    """The rows that stay, in the order of their images; keys that another archive has too with a hash of their own
    archive's name."""
    if len(repeats):
        again = repeats["again"].combine_chunks()
        bucket = _told_apart(bucket, repeats["ordinal"].filter(again))
        bucket = bucket.filter(pc.invert(pc.is_in(bucket["ordinal"], repeats["ordinal"].filter(pc.invert(again)))))
    return bucket.sort_by([("hash", "ascending"), ("image_id", "ascending"), ("key", "ascending")])


def _told_apart(bucket: pa.Table, again: pa.ChunkedArray) -> pa.Table:
    """The rows, those of these ordinals under another key."""
    chosen = pc.is_in(bucket["ordinal"], again)
    if not pc.any(chosen).as_py():
        return bucket
    archives = bucket["source"].to_pylist()
    marks = {name: hashlib.blake2b(name.encode(), digest_size=5).hexdigest() for name in set(archives)}
    own = pa.array([marks[name] for name in archives])
    keys = pc.if_else(chosen, pc.binary_join_element_wise(bucket["key"], own, "-"), bucket["key"])
    return bucket.set_column(bucket.schema.get_field_index("key"), _SPILLED.field("key"), keys)


def cut_at_images(tables: Iterable[pa.Table], part_size: int) -> Iterator[pa.Table]:
    """Cut a sequence of rows, grouped by image, into parts of at most `part_size` rows; no image is split.

    An image with more rows than `part_size` is a part of its own. Where the tables end does not matter.
    """
    pending = None
    for table in tables:
        pending = table if pending is None else pa.concat_tables([pending, table])
        images = pending["image_id"].to_numpy(zero_copy_only=False)
        starts, at = np.flatnonzero(images[1:] != images[:-1]) + 1, 0
        while (cut := _cut(starts, at, pending.num_rows, part_size)) is not None:
            yield pending.slice(at, cut - at)
            at = cut
        pending = pending.slice(at)
    if pending is not None and pending.num_rows:
        yield pending


def _cut(starts: np.ndarray[tuple[int], np.dtype[np.int64]], at: int, rows: int, part_size: int) -> int | None:
    """Where the part that begins at row `at` ends, or None when rows to come might still belong to it.

    Args:
        starts: ascending, the rows at which another image begins.
    """
    if rows - at <= part_size:
        return None
    fitting = int(np.searchsorted(starts, at + part_size, side="right"))
    if fitting and starts[fitting - 1] > at:
        return int(starts[fitting - 1])
    return int(starts[fitting]) if fitting < len(starts) else None
