"""JSONL, CSV, TSV and Flickr token files, and Parquet with the same columns."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.errors import InputError
from negmine.records import Rejected
from negmine.sources import Row, files, open_source

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40)


def read(path: Path, name: str | None = None) -> list[Row | Rejected]:
    return list(open_source(str(path), name).read(str(path)))


def reasons(rows: list[Row | Rejected]) -> list[tuple[int | None, str]]:
    return [(row.row, row.reason if isinstance(row, Rejected) else "ok") for row in rows]


# --- JSONL -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT), min_size=1, max_size=8), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_jsonl_gives_back_any_text(pairs: list[tuple[str, str]], ascii_only: bool, end: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.txt"
        lines = [json.dumps({"image": i, "caption": c, "n": 1}, ensure_ascii=ascii_only) for i, c in pairs]
        path.write_bytes("".join(line + end for line in lines).encode())
        rows = read(path)
    assert [(row.image or "", row.caption) for row in rows if isinstance(row, Row)] == pairs


def test_jsonl_columns_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(
        '\ufeff{"image": "a.jpg", "caption": "c", "key": 12.0, "image_id": "x y", "negative_caption": "n"}\n'
        '\n{"file_name": "b.jpg", "text": "d"}\n{"caption": "words only"}\n{"filepath": "c.jpg", "title": "e"}'
    )
    assert read(path) == [
        Row(1, "a.jsonl", "a.jpg", "c", "12", "x y"),
        Row(3, "a.jsonl", "b.jpg", "d", None, None),
        Row(4, "a.jsonl", None, "words only", None, None),
        Row(5, "a.jsonl", "c.jpg", "e", None, None),
    ]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"image": "a.jpg", "caption": "x"', "json_syntax"),
        (b"[" * 100_000, "json_syntax"),
        (b"[1, 2]", "not_an_object"),
        (b'{"image": "a.jpg", "caption": "\xff"}', "not_utf8"),
        (b'{"image": "a.jpg", "caption": "\\ud800"}', "not_utf8"),
        (b'{"image": "a.jpg"}', "no_caption"),
        (b'{"image": "a.jpg", "caption": null}', "no_caption"),
        (b'{"image": "a.jpg", "caption": 5}', "caption_not_text"),
        (b'{"image": "a.jpg", "caption": ["x"]}', "caption_not_text"),
        (b'{"image": 5, "caption": "x"}', "image_not_text"),
        (b'{"image": "a.jpg", "caption": "x", "key": false}', "bad_key"),
        (b'{"image": "a.jpg", "caption": "x", "key": NaN}', "bad_key"),
        (b'{"image": "a.jpg", "caption": "x", "image_id": {}}', "bad_image_id"),
        (b'{"image": "a.jpg", "caption": "x", "image_id": 1e400}', "bad_image_id"),
    ],
)
def test_jsonl_bad_lines_are_refused_one_by_one(tmp_path: Path, line: bytes, reason: str) -> None:
    path = tmp_path / "a.jsonl"
    good = b'{"image": "b.jpg", "caption": "good"}\n'
    path.write_bytes(good + line + b"\n" + good)
    assert reasons(read(path)) == [(1, "ok"), (2, reason), (3, "ok")]


def test_jsonl_cut_in_its_last_line_says_so(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"caption": "good"}\n{"caption": "ba')
    bad = read(path)[1]
    assert isinstance(bad, Rejected)
    assert bad.reason == "json_syntax"
    assert bad.detail is not None
    assert "was it cut?" in bad.detail


@pytest.mark.parametrize("name", ["jsonl", "flickr", "csv"])
def test_a_line_too_long_is_refused_and_the_next_is_read(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "MAX_LINE_BYTES", 100)
    first, line = {
        "jsonl": ("", '{"image": "%s.jpg", "caption": "x"}\n'),
        "flickr": ("", "%s.jpg#0\tx\n"),
        "csv": ("image,caption\n", "%s.jpg,x\n"),
    }[name]
    path = tmp_path / "long"
    path.write_text(first + line % "a" + line % ("b" * 350) + line % "c")
    assert [reason for _, reason in reasons(read(path))] == ["ok", "line_too_long", "ok"]


# --- CSV and TSV -----------------------------------------------------------------------------------------------------


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(CELLS, CELLS), min_size=1, max_size=8), st.sampled_from(",;\t"))
def test_csv_gives_back_any_text(pairs: list[tuple[str, str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("image", "caption"), *pairs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs"
        path.write_bytes(text.getvalue().encode())
        rows = read(path)
        assert open_source(str(path)).name == ("tsv" if delimiter == "\t" else "csv")
    assert [(row.image or "", row.caption) for row in rows if isinstance(row, Row)] == pairs


def test_csv_header_names_and_ids(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b"\xef\xbb\xbf Title ,filepath,image_id,key,extra\r\na cat,a.jpg,7.0,12.0,1\r\n\r\na dog,b.jpg,,,\r\n"
    )
    assert read(path) == [
        Row(2, "a.csv", "a.jpg", "a cat", "12", "7"),
        Row(4, "a.csv", "b.jpg", "a dog", None, None),
    ]


def test_csv_bad_rows_are_refused_with_their_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(
        b'image,caption\na.jpg,"two\nlines"\nb.jpg\nc.jpg,x,y\nd.jpg,\xff\ne.jpg,"a "b" c"\nf.jpg,good\n'
        b'g.jpg,"open\nh.jpg,swallowed\n'
    )
    assert reasons(read(path)) == [
        (2, "ok"), (4, "column_count"), (5, "column_count"), (6, "not_utf8"), (7, "csv_syntax"), (8, "ok"),
        (9, "csv_syntax"), (10, "csv_syntax"),
    ]  # fmt: skip


def test_a_quote_left_open_does_not_swallow_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    rows = "".join(f"{n}.jpg\tcaption number {n}\n" for n in range(20_000))
    path.write_text('image\tcaption\nx.jpg\t"open\n' + rows)
    found = read(path)
    assert {row.row for row in found} == set(range(2, 20_003))
    assert sum(isinstance(row, Row) for row in found) > 10_000


def test_a_table_without_captions_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,label\na.jpg,cat\n")
    with pytest.raises(InputError, match="image,label"):
        read(path)


# --- Flickr ----------------------------------------------------------------------------------------------------------


def test_flickr_token_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.token"
    path.write_bytes(b"10.jpg#0\tTwo guys .\r\n10.jpg#1\tA\ttab #1\tcaf\xc3\xa9\n\n11.jpg\tno number\n12.jpg#0\t\xff\n")
    rows = read(path)
    assert rows[:2] == [
        Row(1, "results.token", "10.jpg", "Two guys .", None, None),
        Row(2, "results.token", "10.jpg", "A\ttab #1\tcafé", None, None),
    ]
    assert reasons(rows[2:]) == [(4, "line_syntax"), (5, "not_utf8")]


# --- Parquet ---------------------------------------------------------------------------------------------------------


def parquet(path: Path, columns: dict[str, Any], **options: Any) -> Path:
    pq.write_table(pa.table(columns), path, **options)
    return path


def test_parquet_rows_over_several_batches_and_row_groups(tmp_path: Path) -> None:
    captions = [f"caption {n} é" for n in range(10_000)]
    columns = {
        "caption": pa.array(captions).dictionary_encode(), "image": [f"{n}.jpg" for n in range(10_000)],
        "key": range(10_000), "image_id": [float(n) for n in range(10_000)], "score": [0.5] * 10_000,
    }  # fmt: skip
    rows = read(parquet(tmp_path / "a.bin", columns, row_group_size=3_000))
    assert rows == [Row(n + 1, "a.bin", f"{n}.jpg", c, str(n), str(n)) for n, c in enumerate(captions)]


def test_parquet_bad_values_are_refused_one_by_one(tmp_path: Path) -> None:
    text = pa.array([b"good", b"\xff bad", None], pa.binary()).view(pa.string())
    assert reasons(read(parquet(tmp_path / "a.parquet", {"text": text}))) == [
        (1, "ok"), (2, "not_utf8"), (3, "no_caption"),
    ]  # fmt: skip


def test_parquet_numbers_are_no_captions(tmp_path: Path) -> None:
    assert reasons(read(parquet(tmp_path / "a.parquet", {"caption": [1, 2]}))) == [
        (1, "caption_not_text"), (2, "caption_not_text"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("columns", "said"),
    [({"image": ["a"], "label": ["b"]}, "image, label"), ({"caption": ["a"], "image": [{"bytes": b"x"}]}, "struct")],
)
def test_parquet_without_usable_columns_says_what_it_has(tmp_path: Path, columns: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        read(parquet(tmp_path / "a.parquet", columns))


def test_parquet_cut_or_flipped_is_an_error(tmp_path: Path) -> None:
    path = parquet(tmp_path / "a.parquet", {"caption": [f"caption {n}" for n in range(5_000)]})
    content = path.read_bytes()
    path.write_bytes(content[:-100])
    with pytest.raises(InputError, match="cut or damaged"):
        read(path)
    path.write_bytes(content[:30] + bytes(len(content) // 2) + content[30 + len(content) // 2 :])
    with pytest.raises(InputError, match="after row 0"):
        read(path)
