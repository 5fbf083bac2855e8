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
from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.sources import Row, open_source
from negmine.store import input_files as files

from tests.pipeline.sources.reading import read_all

TEXT = st.text(st.characters(codec="utf-8"), max_size=40)
CAPTIONS = TEXT.map("a{}".format)
CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=40)
LINES = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\t"), max_size=40)


def read(path: Path, name: str | None = None) -> list[Row | Rejected]:
    return read_all(open_source(str(path), name), path)[0]


def reasons(rows: list[Row | Rejected]) -> list[tuple[int | None, str]]:
    return [(row.row, row.reason if isinstance(row, Rejected) else "ok") for row in rows]


# --- JSONL -----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(TEXT, CAPTIONS), min_size=1, max_size=8), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n"])
)
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
        '\n{"image": "b.jpg", "caption": "d"}\n{"caption": "words only"}\n{"image": "c.jpg", "title": "e"}'
    )
    assert read(path) == [
        Row(1, "a.jsonl", "a.jpg", "c", "12", "x y"),
        Row(3, "a.jsonl", "b.jpg", "d", None, None),
        Row(4, "a.jsonl", None, "words only", None, None),
        Rejected(5, "a.jsonl", None, "no_caption", "the caption is missing or null"),
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
        (b'{"image": "a.jpg", "caption": [5]}', "caption_not_text"),
        (b'{"image": "a.jpg", "caption": []}', "no_caption"),
        (b'{"image": "a.jpg", "caption": NaN}', "no_caption"),
        (b'{"image": "a.jpg", "caption": "N/A"}', "no_caption"),
        (b'{"image": "a.jpg", "caption": " ... "}', "no_caption"),
        (b'{"image": "a.jpg", "caption": "x", "n": ' + b"9" * 5000 + b"}", "json_syntax"),
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
@given(st.lists(st.tuples(CELLS, CELLS.map("a{}".format)), min_size=1, max_size=8), st.sampled_from(",;"))
def test_csv_gives_back_any_text(pairs: list[tuple[str, str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL)
    writer.writerows([("image", "caption"), *pairs])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs"
        path.write_bytes(text.getvalue().encode())
        rows = read(path)
        assert open_source(str(path)).name == "csv"
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
        (2, "ok"),
        (4, "column_count"),
        (5, "ok"),
        (6, "not_utf8"),
        (7, "csv_syntax"),
        (8, "ok"),
        (9, "csv_syntax"),
        (10, "ok"),
    ]


@pytest.mark.parametrize("header", ["image,caption", "caption,image", "caption"])
@pytest.mark.parametrize("closed", [True, False])
def test_a_quote_left_open_costs_its_own_row_alone(tmp_path: Path, header: str, closed: bool) -> None:
    def line(number: int, caption: str) -> str:
        return {"image,caption": f"{number}.jpg,{caption}", "caption,image": f"{caption},{number}.jpg"}.get(
            header, caption
        )

    captions = ["one dog"] * 5 + ['"two dogs'] + ["three dogs"] * 20_000 + ["four" + '"' * closed]
    path = tmp_path / "a.csv"
    path.write_text("\n".join([header, *map(line, range(len(captions)), captions)]) + "\n")
    found, noted = read_all(open_source(str(path)), path)
    if header == "caption" and closed:  # nothing but the quotes tells where a caption ends: it is counted
        assert (len(found), noted["joined_lines"]) == (6, 20_001)
        return
    assert [row.row for row in found] == list(range(2, len(captions) + 2))
    assert [row.row for row in found if isinstance(row, Rejected)] == [7]


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(LINES, LINES.map("a{}".format)), min_size=1, max_size=8))
def test_tsv_takes_quotes_as_characters(pairs: list[tuple[str, str]]) -> None:
    """Whatever a line holds, it is one row, and nobody's quotes change it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pairs.tsv"
        path.write_bytes("".join(f"{i}\t{c}\n" for i, c in [("image", "caption"), *pairs]).encode())
        rows = read(path)
    assert [(row.row, row.caption) for row in rows if isinstance(row, Row)] == [
        (number, caption) for number, (_, caption) in enumerate(pairs, 2)
    ]


@pytest.mark.parametrize(
    ("line", "caption"),
    [
        ('a.jpg\t"Stop" is painted on it', '"Stop" is painted on it'),
        ('a.jpg\t"two girls', '"two girls'),
        ('a.jpg\t"two girls sit"', '"two girls sit"'),
        ('"a.jpg"\t"two girls sit"', "two girls sit"),
        ('a.jpg\t"a ""stop"" sign"', 'a "stop" sign'),  # as pandas writes a "stop" sign
        ('a.jpg\t""a" b"', '""a" b"'),
    ],
)
def test_tsv_takes_away_the_quotes_that_only_a_writer_can_have_put(tmp_path: Path, line: str, caption: str) -> None:
    path = tmp_path / "a.tsv"
    path.write_text(f"image\tcaption\n{line}\n")
    (row,) = read(path)
    assert isinstance(row, Row)
    assert (row.image, row.caption) == ("a.jpg", caption)


@pytest.mark.parametrize(
    ("header", "line", "caption"),
    [
        ("image,caption", "a.jpg,a man , a dog, and a cat", "a man , a dog, and a cat"),
        ("caption,image", "a man, a dog,a.jpg", "a man, a dog"),
        ("image,number,caption", "a.jpg,0,a man, a dog", "a man, a dog"),
        ("image,caption", 'a.jpg,a sign says "go, now" , a man', 'a sign says "go, now" , a man'),
        ("image,number,caption", "a.jpg,my dog,a man, a dog", None),  # whose comma is it?
        ("image,caption", "photo one,a man, a dog", None),
        ("image,caption", '"a,b.jpg",a man, a dog', None),
        ("image,caption", "1,a.jpg,a dog", None),  # a column without a name
        ("caption,lang", "a man, a dog,en", None),
    ],
)
def test_bare_commas_in_a_caption(tmp_path: Path, header: str, line: str, caption: str | None) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"{header}\n{line}\n")
    (row,), noted = read_all(open_source(str(path)), path)
    if caption is None:
        assert isinstance(row, Rejected)
        assert row.reason == "column_count"
    else:
        assert isinstance(row, Row)
        assert (row.image, row.caption, noted["bare_delimiter"]) == ("a.jpg", caption, 1)


def test_a_row_of_several_lines_with_too_many_cells_is_refused_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('image,caption\na.jpg,"x\n\nhe sits",y\nc.jpg,"two\nlines"\n')
    rows, noted = read_all(open_source(str(path)), path)
    assert reasons(rows) == [(2, "column_count"), (4, "column_count"), (5, "ok")]
    assert noted["joined_lines"] == 1


def test_a_cell_may_be_as_long_as_a_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"image,caption\na.jpg,{'a ' * 100_000}\n")
    (row,) = read(path)
    assert isinstance(row, Row)
    assert len(row.caption) == 200_000


@pytest.mark.parametrize(
    ("cell", "captions"),
    [
        ('"[""a dog"", ""it\'s a cat""]"', ["a dog", "it's a cat"]),
        ('"[\'a dog\', ""it\'s a cat""]"', ["a dog", "it's a cat"]),
        ("['a dog' 'a cat']", ["a dog", "a cat"]),  # numpy's
        ("[a dog]", ["[a dog]"]),
        ("['a dog' is a b]", ["['a dog' is a b]"]),
    ],
)
def test_a_cell_may_be_a_list_of_captions(tmp_path: Path, cell: str, captions: list[str]) -> None:
    path = tmp_path / "a.csv"
    path.write_text(f"image,key,caption\na.jpg,k,{cell}\n")
    rows = read(path)
    assert [row.caption for row in rows if isinstance(row, Row)] == captions
    assert [row.key for row in rows] == (["k"] if len(captions) == 1 else ["k-0", "k-1"])


def test_a_table_without_captions_names_its_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("image,label\na.jpg,cat\n")
    with pytest.raises(InputError, match=r"image, label\n.*--caption-column"):
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
        "caption": pa.array(captions).dictionary_encode(),
        "image": [f"{n}.jpg" for n in range(10_000)],
        "key": range(10_000),
        "image_id": [float(n) for n in range(10_000)],
        "score": [0.5] * 10_000,
    }
    rows = read(parquet(tmp_path / "a.bin", columns, row_group_size=3_000))
    assert rows == [Row(n + 1, "a.bin", f"{n}.jpg", c, str(n), str(n)) for n, c in enumerate(captions)]


def test_parquet_bad_values_are_refused_one_by_one(tmp_path: Path) -> None:
    text = pa.array([b"good", b"\xff bad", None], pa.binary()).view(pa.string())
    assert reasons(read(parquet(tmp_path / "a.parquet", {"text": text}))) == [
        (1, "ok"),
        (2, "not_utf8"),
        (3, "no_caption"),
    ]


def test_parquet_numbers_are_no_captions(tmp_path: Path) -> None:
    assert reasons(read(parquet(tmp_path / "a.parquet", {"caption": [1, 2]}))) == [
        (1, "caption_not_text"),
        (2, "caption_not_text"),
    ]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"image": ["a"], "label": ["b"]}, "image, label"),
        ({"caption": [{"en": "a"}]}, "struct"),
        ({"caption": ["a"], "key": pa.array([1], pa.date32())}, "date32"),
        ({"caption": ["a"], "Caption ": ["b"]}, "two columns"),
    ],
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
