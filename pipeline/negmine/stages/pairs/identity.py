"""Which rows are of one image: their picture decides, and not the id that the input gives.

The same bytes are one image, under whatever path and id; so is the same path where no picture was looked at. An id that
stands for several pictures names none of them: those have their paths as ids. Only rows that name no picture are
grouped by what the input calls their image.

Memory does not grow with the input: rows are dealt by picture, ids by id, and what is found is dealt back.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import normpath
from typing import Any, Final
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.base.addresses import is_address
from negmine.base.hashing import hash64
from negmine.contract.records import PAIRS
from negmine.stages.pairs.spill import Hashes, Spill, hashed, stored, together

_BY_PICTURE: Final = pa.schema([*PAIRS, pa.field("picture", pa.uint64())])
_CALLED: Final = pa.schema([("image_id", pa.string()), ("picture", pa.uint64())])
_SETTLED: Final = pa.schema([*PAIRS, pa.field("hash", pa.uint64())])


def normal_path(image: str) -> str:
    """One spelling of a path: ``./a.jpg``, ``b//../a.jpg`` and ``a.jpg`` are one picture. The names of a tar's members
    stay as they are, and so do addresses."""
    path, mark, member = image.partition("::")
    return image if is_address(path) else f"{normpath(path)}{mark}{member}"


def settle(parts: Iterable[pa.Table], scratch: Path, counts: Counter[str]) -> Iterator[pa.Table]:
    """The rows of `PAIRS` with their images' final ids, those of an image together, in the order of the ids' hashes.

    Args:
        parts: the rows, their pictures looked at or not.
        scratch: a folder for what does not fit into memory; the caller deletes it.
        counts: gets the number of images by what was done to ids: ``image_id:shared`` (other pictures have it too),
            ``image_id:several`` (of which the first by alphabet stays), ``image_id:same_bytes`` (files of equal
            content).
    """
    rows, called = (
        Spill(scratch / "pictures", _BY_PICTURE, stored("picture")),
        Spill(scratch / "ids", _CALLED, hashed("image_id")),
    )
    for part in parts:
        pictures = _pictures(part)
        rows.add(part.append_column("picture", pa.array(pictures)).cast(_BY_PICTURE))
        called.add(_names(part, pictures))
    shared = Spill(scratch / "shared", _CALLED, stored("picture"))
    for bucket in called.buckets():
        shared.add(_of_several(bucket))
    settled = Spill(scratch / "settled", _SETTLED, stored("hash"))
    for bucket, several in together(rows, shared):
        settled.add(_renamed(bucket, several, counts))
    for bucket in settled.buckets():
        order = [("hash", "ascending"), ("image_id", "ascending"), ("key", "ascending")]
        yield bucket.sort_by(order).select(PAIRS.names).cast(PAIRS)


def _pictures(part: pa.Table) -> Hashes:
    """A number for the picture of each row: of its content, else of its path, else of what its image is called.

    A path is one in every normal form of Unicode: Macs write accents apart, others do not.
    """
    columns = (part[name].to_pylist() for name in ("content", "image", "image_id"))
    found = (
        hash64(normalize("NFC", path or name)) if content is None else content
        for content, path, name in zip(*columns, strict=True)
    )
    return np.fromiter(found, dtype=np.uint64, count=part.num_rows)


def _names(part: pa.Table, pictures: Hashes) -> pa.Table:
    """What pictures are called, their paths among it: each once."""
    columns = part["image_id"].to_pylist(), part["image"].to_pylist(), pictures.tolist()
    called = {(name, picture) for ids, path, picture in zip(*columns, strict=True) if path for name in (ids, path)}
    return pa.Table.from_pylist([{"image_id": name, "picture": picture} for name, picture in called], schema=_CALLED)


def _of_several(called: pa.Table) -> pa.Table:
    """The names that several pictures have."""
    kinds = called.group_by("image_id").aggregate([("picture", "count_distinct")])
    several = kinds.filter(pc.greater(kinds["picture_count_distinct"], 1))["image_id"]
    return called.filter(pc.is_in(called["image_id"], value_set=several.combine_chunks()))


def _renamed(rows: pa.Table, shared: pa.Table, counts: Counter[str]) -> pa.Table:
    """The rows, with one id for each picture, and the hash of that id."""
    pictures = rows["picture"].to_pylist()
    names, paths = dict[int, set[str]](), dict[int, set[str]]()
    for picture, name, path in zip(pictures, rows["image_id"].to_pylist(), rows["image"].to_pylist(), strict=True):
        names.setdefault(picture, set()).add(name)
        if path:
            paths.setdefault(picture, set()).add(path)
    useless = set(zip(shared["image_id"].to_pylist(), shared["picture"].to_pylist(), strict=True))
    chosen = {}
    for picture, called in names.items():
        own = paths.get(picture, set())
        given = called - own
        usable = {name for name in given if (name, picture) not in useless}
        chosen[picture] = min(usable or own or given)
        counts["image_id:shared"] += len(usable) < len(given)
        counts["image_id:several"] += len(usable) > 1
        counts["image_id:same_bytes"] += len({normalize("NFC", path) for path in own}) > 1
    hashes = {picture: hash64(name) for picture, name in chosen.items()}
    columns: dict[str, Any] = {name: rows[name] for name in PAIRS.names}
    columns["image_id"] = pa.array([chosen[picture] for picture in pictures], pa.string())
    columns["hash"] = pa.array([hashes[picture] for picture in pictures], pa.uint64())
    return pa.table(columns, schema=_SETTLED)
