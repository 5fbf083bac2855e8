"""Offers of a table brought to the pairs that they are for: by key, by caption, by image; memory does not grow.

A row may name a pair in several ways. Each offer goes the first way that it names, and where that leads to no pair the
next: a key of somebody's own may be a key of ours by chance, so what else the row says must agree. Offers and pairs
are dealt into buckets on the disk by what they are joined by, and what is joined by the part it belongs to.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from negmine.base.arrays import Places
from negmine.base.console import progress
from negmine.base.counts import Counts
from negmine.base.errors import explain_os_error
from negmine.base.hashing import hash64
from negmine.contract.records import IMAGE_EXTENSIONS, MEMBER_MARK, REJECTED, Rejected, to_table
from negmine.sources.clean import clean_caption
from negmine.stages.texts.columns import Offer
from negmine.store import TEMPORARY, FileRecord, PartRecord, part_name, read_part, write_table
from negmine.store.rejected import write_streamed
from negmine.store.spill import Hashes, Spill, stored, together

CHUNK: Final = 8_192
MAX_TEXT: Final = 2_000
"""Characters of a text, as of a caption."""

KEY, CAPTION, IMAGE = "key", "caption", "image"
WAYS: Final = (KEY, CAPTION, IMAGE)

_OFFERED: Final = pa.schema(
    [
        ("ordinal", pa.int64()),
        ("row", pa.int64()),
        ("source", pa.string()),
        ("text", pa.string()),
        ("is_true", pa.bool_()),
        ("kind", pa.string()),
        ("score", pa.float64()),
        ("picture", pa.string()),
        *((way, pa.string()) for way in WAYS),
    ]
)
_DEALT: Final = _OFFERED.append(pa.field("hash", pa.uint64()))
_PAIRED: Final = pa.schema([*_OFFERED, ("part", pa.int32()), ("place", pa.int32()), ("hash", pa.uint64())])
_PAIRS: Final = pa.schema(
    [
        ("hash", pa.uint64()),
        ("part", pa.int32()),
        ("place", pa.int32()),
        ("said", pa.uint64()),
        ("name", pa.uint64()),
        ("image_id", pa.uint64()),
        ("path", pa.uint64()),
    ]
)
"""Pairs, as hashes: `said` of the caption, `name` of the image's name, `path` of all of its path."""

NAMELESS: Final = 0
"""Hash of the name of an image that has none: the pairs were read without images."""

_ENDINGS: Final = tuple(f".{extension}" for extension in (*IMAGE_EXTENSIONS, "gif", "bmp", "tif", "tiff"))
_NUMBER = re.compile(r"(?:COCO_[A-Za-z0-9]+_)?0*(\d+)")
_MARKS = re.compile(r"[\W_]+")


def loose(caption: str) -> str:
    """A caption without case, blanks and marks, which releases of one data set differ in."""
    return _MARKS.sub(" ", caption.casefold()).strip() or caption


def image_name(path: str) -> str:
    """What an image is called in every release: no folder, no ending, a COCO number as a number.

    >>> image_name("val2014/COCO_val2014_000000184613.jpg"), image_name("184613")
    ('184613', '184613')
    """
    name = PurePosixPath(path.rpartition(MEMBER_MARK)[2]).name
    for ending in _ENDINGS:
        if name.lower().endswith(ending):
            name = name[: -len(ending)]
            break
    number = _NUMBER.fullmatch(name)
    return number[1] if number else name


_Values = dict[str, Any]
"""An offer as a row of a table, each value of its column's type."""


class Joined(NamedTuple):
    """What was found out of a table: one file of offers for each part of the pairs, and what was refused."""

    record: PartRecord
    example: Offer | None


def join(offers: Iterable[Offer | Rejected], pairs: Path, parts: int, folder: Path) -> Joined:
    """Write the offers of each part, by place, to `folder`, with ``rejected.parquet``, as one unit of work.

    The counts hold ``rows:...`` and ``rejected:...`` and reconcile: ``offers`` = ``joined`` + all rejected.
    """
    scratch = folder / f"{TEMPORARY}join"
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        scratch.mkdir(parents=True)
        joined = _Join(pairs, parts, scratch).run(offers, folder)
        shutil.rmtree(scratch)
    except OSError as error:
        raise explain_os_error(error, str(folder)) from error
    return joined


class _Join:
    def __init__(self, pairs: Path, parts: int, scratch: Path) -> None:
        self._pairs, self._parts, self._scratch = pairs, parts, scratch
        self._counts = Counts(offers=0, joined=0)
        self._offers = {way: Spill(scratch / f"offers-{way}", _DEALT, stored("hash")) for way in WAYS}
        self._ways = dict.fromkeys(WAYS, 0)
        self._example: Offer | None = None

    def run(self, offers: Iterable[Offer | Rejected], folder: Path) -> Joined:
        joined = Spill(self._scratch / "joined", _PAIRED, stored("hash"))
        with pa.ipc.new_stream(self._scratch / "rejected.arrow", REJECTED) as refusals:
            for chunk in _chunks(offers):
                refusals.write_table(to_table(self._deal(chunk), REJECTED))
            for way, spill in self._pairs_by_way().items():
                for wanted, there in together(self._offers[way], spill):
                    if len(wanted):
                        refusals.write_table(to_table(self._match(way, wanted, there, joined), REJECTED))
        files = [*self._write(joined, folder), write_streamed(self._scratch / "rejected.arrow", folder)]
        return Joined(PartRecord(0, tuple(files), dict(self._counts)), self._example)

    def _deal(self, chunk: Sequence[Offer | Rejected]) -> list[Rejected]:
        """Send offers the first way that they name."""
        refused, dealt = list[Rejected](), list[_Values]()
        for one in chunk:
            self._counts["offers"] += 1
            if isinstance(one, Rejected):
                refused.append(one)
                continue
            self._example = self._example or one
            text, _ = clean_caption(one.text, MAX_TEXT)
            if not text:
                refused.append(Rejected(one.row, one.source, one.key, "empty_text", None))
                continue
            caption = clean_caption(one.caption, MAX_TEXT)[0] if one.caption else None
            dealt.append(
                {"ordinal": self._counts["offers"], "row": one.row, "source": one.source, "text": text}
                | {"is_true": one.is_true, "kind": one.kind, "score": one.score, "picture": one.picture}
                | {KEY: one.key, CAPTION: caption or None, IMAGE: one.image}
            )
        self._counts.add_each("rejected", (one.reason for one in refused))
        self._send(dealt, "")
        return refused

    def _send(self, offers: Sequence[_Values], before: str) -> list[_Values]:
        """Deal offers by the next way that they name. Gives back those that name none."""
        ways = WAYS[WAYS.index(before) + 1 :] if before else WAYS
        by_way: dict[str, list[_Values]] = {way: [] for way in ways}
        lost = []
        for offer in offers:
            way = next((way for way in ways if offer[way] is not None and (way != IMAGE or not offer[CAPTION])), None)
            if way is None:
                lost.append(offer)
            else:
                by_way[way].append(offer | {"hash": _hash_of(way, offer[way])})
        for way, several in by_way.items():
            if several:
                self._ways[way] += len(several)
                self._offers[way].add(pa.Table.from_pylist(several, schema=_DEALT))
        return lost

    def _pairs_by_way(self) -> dict[str, Spill]:
        """The pairs, dealt in each way that an offer may go."""
        spills = {way: Spill(self._scratch / f"pairs-{way}", _PAIRS, stored("hash")) for way in WAYS}
        ways = [way for way in WAYS if self._ways[way]]
        if self._ways[KEY]:  # what its key does not lead to a pair goes on
            ways = list(WAYS)
        with progress("joining", self._parts, "parts") as bar:
            for part in range(self._parts):
                table = read_part(self._pairs, part, ["key", "image_id", "image", "caption"])
                hashes = _hashes(table, part)
                for way in ways:
                    spills[way].add(hashes[way])
                bar.advance(1)
        return spills

    def _match(self, way: str, wanted: pa.Table, there: pa.Table, joined: Spill) -> list[Rejected]:
        """Send on what finds its pairs, and by the next way what does not; gives back what finds none."""
        found: dict[int, list[dict[str, int]]] = {}
        among = np.isin(there["hash"].to_numpy(), wanted["hash"].to_numpy())
        for pair in there.filter(pa.array(among)).to_pylist():
            found.setdefault(pair["hash"], []).append(pair)
        matched, left = list[_Values](), list[tuple[_Values, str]]()
        for offer in wanted.to_pylist():
            several = found.get(offer["hash"], [])
            fitting, reason = _fitting(way, offer, several)
            if fitting:
                self._counts.add("by", way)
                matched += [_paired(offer, pair, self._parts) for pair in fitting]
            else:
                left.append((offer, reason))
        if matched:
            joined.add(pa.Table.from_pylist(matched, schema=_PAIRED))
            self._counts["joined"] += len(matched)
            self._counts["offers"] += len(matched) - (wanted.num_rows - len(left))  # one for each of its pairs
        reasons = {offer["ordinal"]: reason for offer, reason in left}
        lost = self._send([offer for offer, _ in left], way)
        refused = [_refused(offer, reasons[offer["ordinal"]]) for offer in lost]
        self._counts.add_each("rejected", (one.reason for one in refused))
        return refused

    def _write(self, joined: Spill, folder: Path) -> Iterator[FileRecord]:
        """The offers of each part, by place and in the order of the table; empty where a part has none."""
        next_part = 0
        order = [("part", "ascending"), ("place", "ascending"), ("ordinal", "ascending")]
        for bucket in joined.buckets():
            rows = bucket.sort_by(order)
            parts = rows["part"].to_numpy()
            for part in np.unique(parts).tolist():
                first, last = np.searchsorted(parts, [part, part + 1]).tolist()
                for empty in range(next_part, part):
                    yield write_table(folder, part_name(empty), _PAIRED.empty_table())
                yield write_table(folder, part_name(part), rows.slice(first, last - first))
                next_part = part + 1
        for empty in range(next_part, self._parts):
            yield write_table(folder, part_name(empty), _PAIRED.empty_table())


def _chunks(offers: Iterable[Offer | Rejected]) -> Iterator[list[Offer | Rejected]]:
    chunk = list[Offer | Rejected]()
    with progress("reading", None, "texts") as bar:
        for offer in offers:
            chunk.append(offer)
            if len(chunk) == CHUNK:
                yield chunk
                bar.advance(len(chunk))
                chunk = []
        yield chunk


def _hash_of(way: str, value: str) -> int:
    return hash64({KEY: value, CAPTION: loose(value), IMAGE: image_name(value)}[way])


def _hashes(table: pa.Table, part: int) -> dict[str, pa.Table]:
    """The pairs of a part by each way; an image has the name of its id, and that of its path if it is another."""
    keys, ids, paths, captions = (table[name].to_pylist() for name in ("key", "image_id", "image", "caption"))
    said = _array(hash64(loose(caption)) for caption in captions)
    named = [name if path or name != key else None for key, name, path in zip(keys, ids, paths, strict=True)]
    by_id = _array(hash64(image_name(name)) if name else NAMELESS for name in named)
    by_path = _array(hash64(image_name(path)) if path else own for path, own in zip(paths, by_id.tolist(), strict=True))
    whole = _array(hash64(path or name) for path, name in zip(paths, ids, strict=True))
    id_ = _array(map(hash64, ids))
    place = np.arange(len(keys))

    def rows(hashes: Hashes, name: Hashes, of: Places = place) -> pa.Table:
        columns = [hashes[of], np.full(len(of), part), place[of], said[of], name[of], id_[of], whole[of]]
        return pa.table([pa.array(c, f.type) for c, f in zip(columns, _PAIRS, strict=True)], schema=_PAIRS)

    other = np.flatnonzero(by_id != by_path)
    return {
        KEY: rows(_array(map(hash64, keys)), by_path),
        CAPTION: pa.concat_tables([rows(said, by_path), rows(said, by_id, other)]),
        IMAGE: pa.concat_tables([rows(by_path, by_path), rows(by_id, by_id, other)]),
    }


def _array(hashes: Iterable[int]) -> Hashes:
    return np.fromiter(hashes, dtype=np.uint64)


def _fitting(way: str, offer: _Values, several: Sequence[dict[str, int]]) -> tuple[list[dict[str, int]], str]:
    """The pairs that all agree with what an offer says, each once; the reason if there are none."""
    if not several:
        return [], f"no_such_{way}"
    caption, image = offer[CAPTION], offer[IMAGE]
    if way == KEY:
        said = hash64(loose(caption)) if caption else None
        return [pair for pair in several if said in (None, pair["said"])], "other_caption"
    if image is None:
        return _once(several), ""
    named = hash64(image_name(image))
    found = [pair for pair in several if pair["name"] in (named, NAMELESS)]
    exact = hash64(image)
    if len({pair["image_id"] for pair in found}) > 1:  # one name in several folders
        found = [pair for pair in found if exact in (pair["path"], pair["image_id"])] if way == IMAGE else found
        return _once(found), "ambiguous_image"
    return _once(found), "other_image"


def _once(pairs: Sequence[dict[str, int]]) -> list[dict[str, int]]:
    return list({(pair["part"], pair["place"]): pair for pair in pairs}.values())


def _paired(offer: _Values, pair: dict[str, int], parts: int) -> _Values:
    step = (1 << 64) // max(parts, 1)
    return offer | {"part": pair["part"], "place": pair["place"], "hash": pair["part"] * step}


def _refused(offer: _Values, reason: str) -> Rejected:
    return Rejected(offer["row"], offer["source"], offer[KEY], reason, _named(offer))


def _named(offer: _Values) -> str:
    return "; ".join(f"{way} {offer[way]!r}" for way in WAYS if offer[way] is not None)[:400]
