"""Rows in any order give the same parts; nothing is lost uncounted; memory holds one bucket."""

from __future__ import annotations

import itertools
import random
import unicodedata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from negmine.base.hashing import hash64
from negmine.contract.records import Rejected
from negmine.sources import Noted, Row
from negmine.stages.pairs import gather as module
from negmine.stages.pairs.gather import Limits, clean_caption, cut_at_images, gather
from negmine.store import PartRecord, part_name, spill

LIMITS = Limits(max_caption=200, part_size=10)


def rows(images: int = 20, captions: int = 5) -> list[Row]:
    return [
        Row(i * captions + c + 1, "x", f"{i}.jpg", f"caption {c} of image {i}", None, None)
        for i in range(images)
        for c in range(captions)
    ]


def run(folder: Path, items: list[Any], limits: Limits = LIMITS) -> tuple[PartRecord, list[dict[str, Any]]]:
    folder.mkdir()
    record = gather(items, folder, limits)
    tables = [pq.read_table(folder / part_name(index)) for index in range(record.counts["parts"])]
    return record, [row for table in tables for row in table.to_pylist()]


def test_order_of_rows_does_not_matter(tmp_path: Path) -> None:
    items = rows()
    first, _ = run(tmp_path / "a", items)
    random.Random(1).shuffle(items)
    second, _ = run(tmp_path / "b", items)
    assert first.files == second.files


def test_captions_of_an_image_share_a_part(tmp_path: Path) -> None:
    record, _ = run(tmp_path / "a", rows())
    for index in range(record.counts["parts"]):
        images = pq.read_table(tmp_path / "a" / part_name(index))["image_id"].to_pylist()
        assert len(images) <= 10
        assert all(images.count(image) == 5 for image in images)


def test_chunks_and_buckets_do_not_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, _ = run(tmp_path / "a", rows())
    monkeypatch.setattr(module, "CHUNK", 7)
    monkeypatch.setattr(spill, "LARGEST", 3)
    second, _ = run(tmp_path / "b", rows())
    assert first.files == second.files


def test_every_row_is_counted(tmp_path: Path) -> None:
    items: list[Row | Rejected] = [
        *rows(2, 3),
        Row(8, "x", "0.jpg", "caption 0 of image 0", None, None),  # the same pair again
        Row(9, "x", "9.jpg", " \x00\t ", None, None),
        Row(10, "x", "9.jpg", "kept", "k-1", None),
        Row(11, "x", "8.jpg", "same key, other image", "k-1", None),
        Row(12, "x", "8.jpg", "key too long", "k" * 500, None),
        Rejected(13, "x", None, "json_syntax", "line 13"),
    ]
    record, kept = run(tmp_path / "a", items)
    counts = record.counts
    assert (
        counts["rows"] == len(items) == counts["pairs"] + sum(n for k, n in counts.items() if k.startswith("rejected:"))
    )
    assert {name: n for name, n in counts.items() if name.startswith("rejected:")} == {
        "rejected:duplicate_pair": 1,
        "rejected:empty_caption": 1,
        "rejected:duplicate_key": 1,
        "rejected:key_characters": 1,
        "rejected:json_syntax": 1,
    }
    assert len({row["key"] for row in kept}) == len(kept) == counts["pairs"]
    listed = pq.read_table(tmp_path / "a" / "rejected.parquet").to_pylist()
    assert sorted((row["row"], row["reason"]) for row in listed) == [
        (8, "duplicate_pair"),
        (9, "empty_caption"),
        (10, "duplicate_key"),  # the other pair with this key has the smaller image id
        (12, "key_characters"),
        (13, "json_syntax"),
    ]


def test_limit_reads_no_further(tmp_path: Path) -> None:
    def endless() -> Any:
        number = 0
        while True:
            number += 1
            yield Row(number, "x", f"{number}.jpg", "a caption", None, None)

    record, _ = run(tmp_path / "a", endless(), Limits(200, 10, rows=25))
    assert record.counts["rows"] == 25


@given(st.text())
def test_clean_captions_are_clean(text: str) -> None:
    caption, changes = clean_caption(text, 50)
    assert clean_caption(caption, 50) == (caption, [])
    assert len(caption) <= 50
    assert caption.isprintable() or any(c in "\u200c\u200d" for c in caption) or not caption.isascii()
    assert caption == unicodedata.normalize("NFC", caption)
    assert "  " not in caption
    assert caption == caption.strip()
    assert (caption == text) == (not changes)
    caption.encode()


@pytest.mark.parametrize(
    ("text", "clean", "changes"),
    [
        ("A cat.\n", "A cat.", ["space"]),
        ("A  cat\ton a mat", "A cat on a mat", ["space"]),
        ("cafe\u0301", "caf\u00e9", ["nfc"]),
        ("\x1b[31mred\x1b[0m", "[31mred[0m", ["control"]),
        ("\u202eevil\u202c", "evil", ["control"]),
        ("lone \ud800 surrogate", "lone surrogate", ["control", "space"]),
        ("\u56db\u53ea\u732b", "\u56db\u53ea\u732b", []),
        ("word " * 40_000, ("word " * 10).strip(), ["space", "length"]),
    ],
)
def test_clean_caption_examples(text: str, clean: str, changes: list[str]) -> None:
    assert clean_caption(text, 50) == (clean, changes)


@given(st.lists(st.integers(1, 9), max_size=30), st.integers(1, 12), st.lists(st.integers(0, 40), max_size=6))
def test_cutting_keeps_order_and_images_whole(sizes: list[int], part_size: int, cuts: list[int]) -> None:
    images = [f"{i}" for i, size in enumerate(sizes) for _ in range(size)]
    table = pa.table({"image_id": pa.array(images, pa.string())})
    bounds = [0, *sorted(min(cut, len(images)) for cut in cuts), len(images)]
    tables = [table.slice(a, b - a) for a, b in itertools.pairwise(bounds)]
    parts = [part["image_id"].to_pylist() for part in cut_at_images(tables, part_size)]
    assert [image for part in parts for image in part] == images
    assert all(len(part) <= part_size or len(set(part)) == 1 for part in parts)
    whole = [part["image_id"].to_pylist() for part in cut_at_images([table], part_size)]
    assert parts == whole


def test_hash64_is_the_same_everywhere() -> None:
    assert hash64("a cat") == 0x67F5DFB40B23DDA2


def test_keys_that_start_again_in_another_archive_are_told_apart(tmp_path: Path) -> None:
    def archive(name: str, keys: range, first: int = 0) -> list[Row]:
        return [Row(n, name, f"{name}::{n}.jpg", f"caption {n + first}", f"{n:03d}", None, 512, 9) for n in keys]

    items = [
        *archive("run0.tar", range(50)),
        *archive("run1.tar", range(25, 75), 100),
        *archive("run2.tar", range(5), 200),
    ]
    again = Row(7, "run0.tar", "run0.tar::7.jpg", "a second time in one archive", "007", None, 512, 9)
    record, found = run(tmp_path / "a", [*items, again])
    assert (record.counts["rows"], record.counts["pairs"]) == (106, 105)
    assert record.counts["rejected:duplicate_key"] == 1
    assert record.counts["noted:key_of_another_archive"] == 30
    assert len({row["key"] for row in found}) == len({row["image_id"] for row in found}) == 105
    for row in found:
        key = f"{int(row['image'].partition('::')[2].partition('.')[0]):03d}"
        assert row["key"] == key or (row["key"].startswith(f"{key}-") and len(row["key"]) == 14)
    marks = {row["key"][3:] for row in found if row["source"] == "run2.tar"}
    assert len(marks) == 1  # of the archive's name, for people who look for it
    random.Random(3).shuffle(items)
    assert run(tmp_path / "b", [again, *items])[0].files == record.files


def test_a_key_twice_in_a_table_is_still_refused(tmp_path: Path) -> None:
    record, _ = run(tmp_path / "a", [Row(n, f"{n}.csv", f"{n}.jpg", "a cat", "k", None) for n in range(2)])
    assert record.counts["rejected:duplicate_key"] == 1


def test_notes_are_counted_and_are_no_rows(tmp_path: Path) -> None:
    items = [Noted("extra_member", 3), *rows(1, 4), Noted("extra_member"), Noted("broken_json")]
    record, _ = run(tmp_path / "a", items, Limits(200, 10, rows=3))
    assert record.counts["rows"] == 3
    assert record.counts["noted:extra_member"] == 3
    record, _ = run(tmp_path / "b", items)
    assert (record.counts["noted:extra_member"], record.counts["noted:broken_json"]) == (4, 1)


def test_a_bucket_is_never_in_memory_as_its_whole_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mapped file counts as memory of the process, and a bucket that is dealt again may be of any size."""
    monkeypatch.setattr(spill, "LARGEST", 64)
    rows = pa.table({"hash": pa.array([hash64(str(n)) for n in range(20_000)], pa.uint64())})
    dealt = spill.Spill(tmp_path / "spill", rows.schema, spill.stored("hash"))
    dealt.add(rows)
    read = []
    for bucket in dealt.buckets():
        assert str(tmp_path) not in Path("/proc/self/maps").read_text()
        assert len(bucket) <= 64
        read += bucket["hash"].to_pylist()
    assert sorted(read) == sorted(rows["hash"].to_pylist())
