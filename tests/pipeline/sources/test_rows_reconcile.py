"""No reader loses a row or joins two: what is in the file is in the pairs, among the rejected, or counted as merged."""

from __future__ import annotations

import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.contract.records import Rejected
from negmine.sources import Row, open_source
from negmine.store import input_files as files

from tests.pipeline.sources.reading import read_all

NASTY = st.text(
    st.one_of(st.sampled_from("\"'\\,;|\t\n\r#a1. \u2028\ufeff[]{}"), st.characters(codec="utf-8")), max_size=12
)
ROWS = st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=12)
Write = Callable[[list[tuple[str, str]]], bytes]


def read(content: bytes, name: str) -> tuple[list[Row | Rejected], Counter[str]]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs"
        path.write_bytes(content)
        return read_all(open_source(str(path), name), path)


def raw(delimiter: str) -> Write:
    """As people write tables: no quoting, so that a cell may be anything."""
    return lambda rows: "".join(f"{i}{delimiter}{c}\n" for i, c in [("image", "caption"), *rows]).encode()


def karpathy(rows: list[tuple[str, str]]) -> bytes:
    return json.dumps({"images": [{"filename": i, "sentences": [{"raw": c}]} for i, c in rows]}).encode()


def coco(rows: list[tuple[str, str]]) -> bytes:
    body = {
        "images": [{"id": n, "file_name": i or "x"} for n, (i, _) in enumerate(rows)],
        "annotations": [{"id": n, "image_id": n, "caption": c} for n, (_, c) in enumerate(rows)],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def parquet(rows: list[tuple[str, str]]) -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": [i for i, _ in rows], "caption": [c for _, c in rows]}), stream, row_group_size=3)
    return stream.getvalue()


ENTRIES: dict[str, Write] = {
    "json": lambda rows: json.dumps([{"image": i, "caption": c} for i, c in rows], ensure_ascii=False).encode(),
    "jsonl": lambda rows: "\n".join(json.dumps({"image": i, "caption": c}) for i, c in rows).encode(),
    "parquet": parquet,
    "coco": coco,
    "karpathy": karpathy,
}
"""Formats in which a row cannot be misread: each gives exactly one, whatever text it holds."""


@pytest.mark.parametrize("name", ENTRIES)
@settings(max_examples=40, deadline=None)
@given(ROWS)
def test_each_entry_is_a_row(name: str, rows: list[tuple[str, str]]) -> None:
    found, _ = read(ENTRIES[name](rows), name)
    assert [row.row for row in found] == list(range(1, len(rows) + 1))
    for row, (_, caption) in zip(found, rows, strict=True):
        assert row.caption == caption if isinstance(row, Row) else row.reason == "no_caption"


@pytest.mark.parametrize("delimiter", ["\t", "|"])
@settings(max_examples=100, deadline=None)
@given(ROWS)
def test_each_line_of_a_plain_table_is_a_row(delimiter: str, rows: list[tuple[str, str]]) -> None:
    content = raw(delimiter)(rows)
    found, _ = read(content, "tsv" if delimiter == "\t" else "csv")
    assert [row.row for row in found] == lines_of(content)[1:]


@pytest.mark.parametrize("delimiter", [",", ";"])
@settings(max_examples=200, deadline=None)
@given(ROWS)
def test_each_line_of_a_quoted_table_is_a_row_or_counted_as_part_of_one(
    delimiter: str, rows: list[tuple[str, str]]
) -> None:
    content = raw(delimiter)(rows)
    found, counted = read(content, "csv")
    assert len(found) + counted["joined_lines"] == len(lines_of(content)) - 1
    assert {row.row for row in found} <= set(lines_of(content))


@settings(max_examples=60, deadline=None)
@given(ROWS)
def test_each_line_of_a_token_file_is_a_row(rows: list[tuple[str, str]]) -> None:
    content = "".join(f"{image}#0\t{caption}\n" for image, caption in rows).encode()
    found, _ = read(content, "flickr")
    assert [row.row for row in found] == lines_of(content)


def lines_of(content: bytes) -> list[int]:
    """Numbers of the lines that are not blank."""
    lines = content.removeprefix(files.BOM).split(b"\n")
    return [number for number, line in enumerate(lines, 1) if line.decode("utf-8", "surrogateescape").strip()]
