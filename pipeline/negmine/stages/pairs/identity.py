"""Which rows are of one image: its bytes decide, and not the id that the input gives.

The same bytes are one image, under whatever path and id; so is the same path where no image was looked at. An id that
stands for several images names none of them: those have their paths as ids. Only rows that name no image are
grouped by what the input calls their image.

Memory does not grow with the input: rows are dealt by identity, ids by id, and what is found is dealt back.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from posixpath import normpath
from typing import Final
from unicodedata import normalize

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from negmine.base.addresses import is_address
from negmine.base.counts import Counts
from negmine.base.hashing import hash64
from negmine.contract.records import MEMBER_MARK, PAIRS
from negmine.store.spill import Hashes, Spill, hashed, stored, together

_BY_IDENTITY: Final = pa.schema([*PAIRS, pa.field("identity", pa.uint64())])
_CALLED: Final = pa.schema([("image_id", pa.string()), ("identity", pa.uint64())])
_SETTLED: Final = pa.schema([*PAIRS, pa.field("hash", pa.uint64())])


def normal_path(image: str) -> str:
    """One spelling of a path: ``./a.jpg``, ``b//../a.jpg`` and ``a.jpg`` are one image. The names of a tar's members
    stay as they are, and so do addresses."""
    path, mark, member = image.partition(MEMBER_MARK)
    return image if is_address(path) else f"{normpath(path)}{mark}{member}"


def settle(parts: Iterable[pa.Table], scratch: Path, counts: Counts) -> Iterator[pa.Table]:
    """The rows of `PAIRS` with their images' final ids, those of an image together, in the order of the ids' hashes.

    Args:
        parts: the rows, their images looked at or not.
        scratch: a folder for what does not fit into memory; the caller deletes it.
        counts: gets the number of images by what was done to ids: ``image_id:shared`` (other images have it too),
            ``image_id:several`` (of which the first by alphabet stays), ``image_id:same_bytes`` (files of equal
            content).
    """
    rows, called = (
        Spill(scratch / "identities", _BY_IDENTITY, stored("identity")),
        Spill(scratch / "ids", _CALLED, hashed("image_id")),
    )
    for part in parts:
        identities = _identities(part)
        rows.add(part.append_column("identity", pa.array(identities)).cast(_BY_IDENTITY))
        called.add(_names(part, identities))
    shared = Spill(scratch / "shared", _CALLED, stored("identity"))
    for bucket in called.buckets():
        shared.add(_of_several(bucket))
    settled = Spill(scratch / "settled", _SETTLED, stored("hash"))
    for bucket, several in together(rows, shared):
        settled.add(_renamed(bucket, several, counts))
    for bucket in settled.buckets():
        order = [("hash", "ascending"), ("image_id", "ascending"), ("key", "ascending")]
        yield bucket.sort_by(order).select(PAIRS.names).cast(PAIRS)


def _identities(part: pa.Table) -> Hashes:
    """A number for the image of each row: of its content, else of its path, else of what its image is called.

    A path is one in every normal form of Unicode: Macs write accents apart, others do not.
    """
    columns = (part[name].to_pylist() for name in ("content", "image", "image_id"))
    found = (
        hash64(normalize("NFC", path or name)) if content is None else content
        for content, path, name in zip(*columns, strict=True)
    )
    return np.fromiter(found, dtype=np.uint64, count=part.num_rows)


def _names(part: pa.Table, identities: Hashes) -> pa.Table:
    """What images are called, their paths among it: each once."""
    columns = part["image_id"].to_pylist(), part["image"].to_pylist(), identities.tolist()
    called = {(name, identity) for ids, path, identity in zip(*columns, strict=True) if path for name in (ids, path)}
    return pa.Table.from_pylist([{"image_id": name, "identity": identity} for name, identity in called], schema=_CALLED)


def _of_several(called: pa.Table) -> pa.Table:
    """The names that several images have."""
    kinds = called.group_by("image_id").aggregate([("identity", "count_distinct")])
    several = kinds.filter(pc.greater(kinds["identity_count_distinct"], 1))["image_id"]
    return called.filter(pc.is_in(called["image_id"], value_set=several.combine_chunks()))


def _renamed(rows: pa.Table, shared: pa.Table, counts: Counts) -> pa.Table:
    """The rows, with one id for each image, and the hash of that id."""
    identities = rows["identity"].to_pylist()
    names, paths = dict[int, set[str]](), dict[int, set[str]]()
    for identity, name, path in zip(identities, rows["image_id"].to_pylist(), rows["image"].to_pylist(), strict=True):
        names.setdefault(identity, set()).add(name)
        if path:
            paths.setdefault(identity, set()).add(path)
    useless = set(zip(shared["image_id"].to_pylist(), shared["identity"].to_pylist(), strict=True))
    chosen = {}
    for identity, called in names.items():
        own = paths.get(identity, set())
        given = called - own
        usable = {name for name in given if (name, identity) not in useless}
        chosen[identity] = min(usable or own or given)
        counts.add("image_id", "shared", len(usable) < len(given))
        counts.add("image_id", "several", len(usable) > 1)
        counts.add("image_id", "same_bytes", len({normalize("NFC", path) for path in own}) > 1)
    hashes = {identity: hash64(name) for identity, name in chosen.items()}
    columns: dict[str, object] = {name: rows[name] for name in PAIRS.names}
    columns["image_id"] = pa.array([chosen[identity] for identity in identities], pa.string())
    columns["hash"] = pa.array([hashes[identity] for identity in identities], pa.uint64())
    return pa.table(columns, schema=_SETTLED)
