"""The rows of the pairs, which lie scattered over parts, brought together by the tar that their images lie in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.base.arrays import Hashes
from negmine.base.console import progress
from negmine.contract.records import MEMBER_MARK, NEGATIVES, PAIRS, POSITIVES
from negmine.contract.split import Split
from negmine.stages.shards.write import Tables
from negmine.store import TEMPORARY, FileRecord, part_name, read_part, write_table
from negmine.store.spill import Spill

_NEGATIVE: Final = {"slot": "slot", "text": "negative", "kind": "kind", "rule": "rule", "score": "score"}
"""Fields of a `TextNegative`, and the columns that they are read from."""

_POSITIVE: Final = {"text": "positive", "kind": "kind", "rule": "rule"}
"""The same of a `TextPositive`."""

_TEXTS: Final = pa.list_(pa.string())
_ROWS: Final = pa.schema(
    [
        *(PAIRS.field(name) for name in ("key", "image_id", "image", "image_offset", "content", "caption")),
        pa.field("tar", pa.int64()),
        pa.field("captions", _TEXTS),
        pa.field("negatives", pa.list_(pa.struct([(n, NEGATIVES.field(of).type) for n, of in _NEGATIVE.items()]))),
        pa.field("neighbours", _TEXTS),
        pa.field("positives", pa.list_(pa.struct([(n, POSITIVES.field(of).type) for n, of in _POSITIVE.items()]))),
    ]
)
"""A pair, all captions of its image, its negatives by slot, the keys of its neighbours, the best first, and its
positives by slot."""


@dataclass(frozen=True)
class ByTar:
    """What is brought together.

    Attributes:
        tars: name to number, from 0 in the order of the names, of all that a row of the split lies in.
        slots: the most negatives of a row.
    """

    tables: Tables
    split: Split
    tars: Mapping[str, int]
    slots: int

    def write(self, folder: Path) -> list[FileRecord]:
        """A table for each tar, its rows in the order of their images. Every part is read once, and memory holds one,
        and some 30,000 rows or those of one tar."""
        scratch = folder / f"{TEMPORARY}by-tar"
        spill = Spill(scratch, _ROWS, self._hashes)
        with progress("sorting by tar", self.tables.parts, "parts") as bar:
            for part in range(self.tables.parts):
                spill.add(self._rows(part))
                bar.advance(1)
        buckets = filter(len, spill.buckets())
        files = [write_table(folder, part_name(tar), rows) for bucket in buckets for tar, rows in _cut(bucket)]
        shutil.rmtree(scratch)
        return files

    def _hashes(self, rows: pa.Table) -> Hashes:
        """Numbers of tars, spread over 64 bits."""
        found: Hashes = rows["tar"].to_numpy().astype(np.uint64) * np.uint64((2**64 - 1) // len(self.tars))
        return found

    def _rows(self, part: int) -> pa.Table:
        """The rows of one part that the split holds."""
        pairs = read_part(self.tables.pairs, part, list(_ROWS.names[:6]))
        held = [image_id for image_id in pc.unique(pairs["image_id"]).to_pylist() if self.split.holds(image_id)]
        rows = pairs.filter(pc.is_in(pairs["image_id"], pa.array(held, pa.string())))
        columns = [
            pa.array([self.tars[place_in_tar(image)[0]] for image in rows["image"].to_pylist()], pa.int64()),
            _lists(rows["image_id"], pairs, "image_id", pairs["caption"]),
            self._negatives(part, rows["key"]),
            self._neighbours(part, rows["key"]),
            self._positives(part, rows["key"]),
        ]
        for field, column in zip(list(_ROWS)[6:], columns, strict=True):
            rows = rows.append_column(field, column)
        return rows.cast(_ROWS)

    def _negatives(self, part: int, keys: pa.ChunkedArray) -> pa.Array:
        if self.tables.negatives is None:
            return pa.nulls(len(keys), _ROWS.field("negatives").type)
        table = read_part(self.tables.negatives, part, ["key", *_NEGATIVE.values()])
        table = table.filter(pc.field("slot") < self.slots).sort_by("slot")
        columns = [table[of].combine_chunks() for of in _NEGATIVE.values()]
        return _lists(keys, table, "key", pa.StructArray.from_arrays(columns, names=list(_NEGATIVE)))

    def _neighbours(self, part: int, keys: pa.ChunkedArray) -> pa.Array:
        if self.tables.neighbours is None:
            return pa.nulls(len(keys), _TEXTS)
        table = read_part(self.tables.neighbours, part, ["key", "neighbour_key", "rank", "selected"])
        table = table.filter(pc.field("selected")).sort_by("rank")
        return _lists(keys, table, "key", table["neighbour_key"])

    def _positives(self, part: int, keys: pa.ChunkedArray) -> pa.Array:
        if self.tables.positives is None:
            return pa.nulls(len(keys), _ROWS.field("positives").type)
        table = read_part(self.tables.positives, part, ["key", "slot", *_POSITIVE.values()]).sort_by("slot")
        columns = [table[of].combine_chunks() for of in _POSITIVE.values()]
        return _lists(keys, table, "key", pa.StructArray.from_arrays(columns, names=list(_POSITIVE)))


def place_in_tar(image: str) -> tuple[str, str]:
    """The file that an image lies in, and what it is called there."""
    file, _, member = image.partition(MEMBER_MARK)
    return file, member


def _lists(names: pa.ChunkedArray, rows: pa.Table, by: str, values: pa.Array | pa.ChunkedArray) -> pa.Array:
    """For each of the names the values of the rows that have it in column `by`, in their order; null for none."""
    distinct = pc.unique(rows[by])
    groups = pc.index_in(rows[by], distinct).to_numpy()
    ends = np.cumsum(np.bincount(groups, minlength=len(distinct)))
    ordered = values.take(pa.array(np.argsort(groups, kind="stable")))
    flat = ordered.combine_chunks() if isinstance(ordered, pa.ChunkedArray) else ordered
    lists = pa.ListArray.from_arrays(pa.array(np.concatenate([[0], ends]), pa.int32()), flat)
    return lists.take(pc.index_in(names, distinct))


def _cut(bucket: pa.Table) -> Iterator[tuple[int, pa.Table]]:
    """The rows of each tar, which all lie in one bucket."""
    rows = bucket.sort_by([(name, "ascending") for name in ("tar", "image_offset", "key")])
    tars, starts = np.unique(rows["tar"].to_numpy(), return_index=True)
    for tar, start, end in zip(tars.tolist(), starts, [*starts[1:], rows.num_rows], strict=True):
        yield tar, rows.slice(start, end - start)
