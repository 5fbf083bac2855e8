"""Files as programs and people write them: each row is a pair, refused with its reason, or said."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.sources import Columns, open_source

from tests.pipeline.sources.reading import read_all

DOG, CAT, COW = "a dog on a mat", "a cat in a box", "a cow, a barn and a tree"


def read(path: Path, columns: Columns | None = None) -> tuple[list[tuple[str | None, str]], dict[str, int]]:
    """Image and caption of each row, the reason in place of the caption where it is refused; what was noted."""
    rows, noted = read_all(open_source(str(path), columns=columns), path)
    return [(None, row.reason) if isinstance(row, Rejected) else (row.image, row.caption) for row in rows], noted


def written(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    path.write_bytes(
        content
        if isinstance(content, bytes)
        else content.encode()
        if isinstance(content, str)
        else json.dumps(content).encode()
    )
    return path


def tarred(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def filled(folder: Path, members: dict[str, bytes]) -> Path:
    folder.mkdir()
    for name, content in members.items():
        (folder / name).write_bytes(content)
    return folder


# --- JSON ------------------------------------------------------------------------------------------------------------


def rows(prefix: str, number: int, image: str = "image") -> list[dict[str, str]]:
    return [{image: f"{prefix}{n}.jpg", "caption": f"{prefix} {n}"} for n in range(number)]


def test_all_splits_of_a_document_are_read(tmp_path: Path) -> None:
    long = [row | {"padding": "x" * 1000} for row in rows("train", 1500)]  # val begins behind what the columns are by
    document = {
        "info": [{"description": "x"}],
        "train": long,
        "licenses": [{"text": "free"}],
        "val": rows("val", 3, "file_name"),
        "test": rows("test", 2),
    }
    found, noted = read(written(tmp_path / "a.json", document))
    assert found[1498:] == [
        *[(f"train{n}.jpg", f"train {n}") for n in (1498, 1499)],
        *[(f"val{n}.jpg", f"val {n}") for n in range(3)],
        *[(f"test{n}.jpg", f"test {n}") for n in range(2)],
    ]
    assert noted == {
        "columns:caption <- caption, image <- image": 2,
        "columns:caption <- caption, image <- file_name": 1,
    }


def test_rows_of_several_arrays_are_numbered_through(tmp_path: Path) -> None:
    path = written(tmp_path / "a.json", {"train": rows("a", 2), "val": [*rows("b", 1), 7, *rows("c", 1)]})
    found, _ = read_all(open_source(str(path)), path)
    assert [row.row for row in found] == [1, 2, 3, 4, 5]


@pytest.mark.parametrize("columns", [None, Columns(image="image"), Columns(caption="caption", image="{image}")])
def test_other_arrays_of_a_document_are_no_splits(tmp_path: Path, columns: Columns | None) -> None:
    document = {"categories": [{"id": 1, "name": "x"}], "data": rows("a", 2), "kinds": [{"title": "x"}], "n": [1, 2]}
    found, _ = read(written(tmp_path / "a.json", document), columns)
    assert found == [("a0.jpg", "a 0"), ("a1.jpg", "a 1")]


# --- several captions in one value -----------------------------------------------------------------------------------

TWO = [DOG, 'a cat\'s "big" box']
NOTATIONS = {
    "json": json.dumps(TWO),
    "python": str(TWO),
    "tuple": str(tuple(TWO)),
    "numpy": str(np.array(TWO)),
    "repr": repr(np.array(TWO, dtype=object)),
    "one": str(TWO[1:]),
    "spaced": json.dumps(TWO, indent=1),
}
OBJECTS: dict[str, Any] = {
    "sentences": [{"raw": text, "tokens": text.split(), "sentid": n} for n, text in enumerate(TWO)],
    "texts": [{"Text": text} for text in TWO],
    "lists": {"raw": TWO, "sentid": [0, 1]},
    "strings": TWO,
}


@pytest.mark.parametrize("notation", NOTATIONS)
@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl", "parquet", "tar", "folder"])
def test_a_list_written_as_text_is_a_row_for_each(tmp_path: Path, form: str, notation: str) -> None:
    text = NOTATIONS[notation]
    if form in ("csv", "tsv"):
        path = tmp_path / f"a.{form}"
        with path.open("w") as stream:
            csv.writer(stream, delimiter="," if form == "csv" else "\t").writerows([["image", "raw"], ["a.jpg", text]])
        if form == "tsv" and "\n" in text:
            return  # a line is a row
    elif form == "jsonl":
        path = written(tmp_path / "a.jsonl", {"image": "a.jpg", "raw": text})
    elif form == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"image": ["a.jpg"], "raw": [text]}), path)
    else:
        members = {"a.jpg": b"image", "a.txt": text.replace("\n", "").encode()}
        path = tarred(tmp_path / "a.tar", members) if form == "tar" else filled(tmp_path / "folder", members)
    found, _ = read(path)
    assert [caption for _, caption in found] == (TWO[1:] if notation == "one" else TWO)


@pytest.mark.parametrize("text", ['["Stop"] says a sign', "(a dog)", "['a' dog]", '("a dog")s', "[]", "['a', 5]"])
def test_brackets_alone_make_no_list(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path / "a.jsonl", {"caption": text}))[0] in ([(None, text)], [(None, "no_caption")])


@pytest.mark.parametrize("form", OBJECTS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "tar"])
def test_captions_in_objects(tmp_path: Path, kind: str, form: str) -> None:
    value = OBJECTS[form]
    if kind == "parquet":
        path = tmp_path / "a.parquet"
        pq.write_table(pa.table({"image": [{"bytes": b"x", "path": "a.jpg"}], "sentences": [value]}), path)
    elif kind == "jsonl":
        path = written(tmp_path / "a.jsonl", {"image": {"bytes": None, "path": "a.jpg"}, "sentences": value})
    else:
        path = tarred(tmp_path / "a.tar", {"a.jpg": b"x", "a.json": json.dumps({"sentences": value}).encode()})
    found, _ = read(path)
    where = {"parquet": "a.parquet::image.bytes[1]", "jsonl": "a.jpg", "tar": "a.tar::a.jpg"}[kind]
    assert found == [(where, text) for text in TWO]


def test_objects_without_a_known_name_are_refused(tmp_path: Path) -> None:
    found, _ = read(written(tmp_path / "a.jsonl", {"image": "a.jpg", "caption": {"en": DOG, "de": "ein Hund"}}))
    assert found == [(None, "caption_not_text")]
    found, _ = read(written(tmp_path / "a.jsonl", {"image": "a.jpg", "captions": [{"en": DOG}, {"text": CAT}]}))
    assert found == [(None, "caption_not_text"), ("a.jpg", CAT)]


def test_a_conversation_in_a_tar(tmp_path: Path) -> None:
    talk = {"conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": DOG}]}
    assert read(tarred(tmp_path / "a.tar", {"a.jpg": b"x", "a.json": json.dumps(talk).encode()}))[0] == [
        ("a.tar::a.jpg", DOG)
    ]


def test_lists_of_one_length(tmp_path: Path) -> None:
    kind = pa.list_(pa.string(), 2)
    pq.write_table(pa.table({"image": ["a.jpg"], "caption": pa.array([TWO], kind)}), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == [("a.jpg", text) for text in TWO]


# --- tables as programs write them -----------------------------------------------------------------------------------

TEXTS = [
    DOG,
    COW,
    'a sign says "stop" here',
    '"Stop", says a sign',
    "two lines\nof text",
    "a\ttab",
    "plain; | text",
    '5" nails',
]
STYLES: dict[str, dict[str, Any]] = {
    "minimal": {},
    "all": {"quoting": csv.QUOTE_ALL},
    "not numbers": {"quoting": csv.QUOTE_NONNUMERIC},
    "excel": {"lineterminator": "\r\n"},
    "backslashes": {"doublequote": False, "escapechar": "\\"},
}


def tabled(path: Path, texts: list[str], delimiter: str, style: str) -> Path:
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream, delimiter=delimiter, **({"lineterminator": "\n"} | STYLES[style]))
        writer.writerows([["n", "image", "caption"], *([n, f"{n}.jpg", text] for n, text in enumerate(texts))])
    return path


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_what_a_program_writes_is_read_back(tmp_path: Path, delimiter: str, style: str) -> None:
    if style == "backslashes" and delimiter in "\t|":
        return  # a backslash is a character there
    texts = [text for text in TEXTS if style != "backslashes" or "\n" not in text]
    found, noted = read(tabled(tmp_path / "a.csv", texts, delimiter, style))
    assert found == [(f"{n}.jpg", text) for n, text in enumerate(texts)]
    escaped = sum('"' in text for text in texts) if style == "backslashes" else 0
    assert noted.get("backslash_escapes", 0) == escaped


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(st.sampled_from('a "\n,;\\'), min_size=1), min_size=1, max_size=8), st.sampled_from("\t|"))
def test_rows_in_quotes_between_rows_without(
    tmp_path_factory: pytest.TempPathFactory, texts: list[str], delimiter: str
) -> None:
    """Whatever stands between, rows with as many cells as the header are never joined, and nothing is lost."""
    path = tmp_path_factory.mktemp("t") / "a.tsv"
    lines = [f"{n}.jpg{delimiter}{text!r:.40}" for n, text in enumerate(texts)]
    path.write_text("\n".join([f"image{delimiter}caption", *lines]) + "\n")
    assert len(read(path)[0]) == len(lines)


def test_a_column_in_quotes_and_a_row_in_quotes(tmp_path: Path) -> None:
    path = written(tmp_path / "a.tsv", "image\tcaption\n" + "".join(f'{n}.jpg\t"{DOG} {n}"\n' for n in range(5)))
    assert read(path)[0] == [(f"{n}.jpg", f"{DOG} {n}") for n in range(5)]
    path = written(tmp_path / "b.tsv", f'image\tcaption\n0.jpg\t"{DOG}"\n1.jpg\t{CAT}\n2.jpg\t"{COW}"\n')
    assert [caption for _, caption in read(path)[0]] == [f'"{DOG}"', CAT, f'"{COW}"']


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_delimiters_at_the_end_of_a_line_are_no_text(tmp_path: Path, delimiter: str) -> None:
    lines = [("image", "caption"), ("a.jpg", DOG, ""), ("b.jpg", CAT, "", "")]
    path = written(tmp_path / "a.csv", "\n".join(map(delimiter.join, lines)))
    assert read(path) == ([("a.jpg", DOG), ("b.jpg", CAT)], {"columns:caption <- caption, image <- image": 1})


def test_excel_says_what_it_separates_by(tmp_path: Path) -> None:
    text = f'sep=;\r\nimage;caption\r\na.jpg;{COW}\r\nb.jpg;"a; b"\r\n'
    path = written(tmp_path / "a.csv", text.encode("utf-8-sig"))
    assert read(path)[0] == [("a.jpg", COW), ("b.jpg", "a; b")]
    assert [row.row for row in read_all(open_source(str(path)), path)[0]] == [3, 4]
    assert read(written(tmp_path / "b.csv", f"sep=\t\nimage\tcaption\na.jpg\t{COW}\n"))[0] == [("a.jpg", COW)]


@pytest.mark.parametrize(
    ("line", "image", "caption"),
    [
        (r"C:\images\,a dog", "C:\\images\\", "a dog"),
        (r'"C:\images\","a ""big"" dog"', "C:\\images\\", 'a "big" dog'),
        (r'C:\images\a.jpg,"a \"big\", brown dog"', r"C:\images\a.jpg", 'a "big", brown dog'),
        (r"a.jpg,a back\slash and a \"quote\"", "a.jpg", r'a back\slash and a "quote"'),
    ],
)
def test_backslashes_escape_only_where_nothing_else_can_be_meant(
    tmp_path: Path, line: str, image: str, caption: str
) -> None:
    assert read(written(tmp_path / "a.csv", f"image,caption\n{line}\nb.jpg,{CAT}\n"))[0] == [
        (image, caption),
        ("b.jpg", CAT),
    ]


def test_one_column_is_a_line(tmp_path: Path) -> None:
    found, noted = read(written(tmp_path / "a.csv", f'caption\n{DOG}\n{COW}\n"a, b"\n'))
    assert [caption for _, caption in found] == [DOG, COW, "a, b"]
    assert noted["bare_delimiter"] == 1


@pytest.mark.parametrize("text", [r"\N", "<null>", "(null)", "undefined", "#NAME?", "#VALUE!", "#REF!"])
def test_what_programs_write_for_nothing(tmp_path: Path, text: str) -> None:
    assert read(written(tmp_path / "a.tsv", f"image\tcaption\na.jpg\t{text}\n"))[0] == [(None, "no_caption")]


@pytest.mark.parametrize(
    "text",
    [f"image,caption\ra.jpg,{DOG}\r", f"a.jpg#0\t{DOG}\ra.jpg#1\t{CAT}\r", '{"caption": "x"}\r{"caption": "y"}'],
)
def test_lines_that_end_in_cr_alone_are_not_one(tmp_path: Path, text: str) -> None:
    path = written(tmp_path / "a.jsonl", text)
    with pytest.raises(InputError, match=r"end in CR(.|\n)*a\.jsonl(.|\n)*tr "):
        read(path)
    found, _ = read(written(path, text.replace("\r", "\r\n")))
    assert len(found) == (1 if "image," in text else 2)


def test_tabs_without_a_header_are_seen_whatever_the_ending(tmp_path: Path) -> None:
    path = written(tmp_path / "a.txt", f"a.jpg\t{COW}\nb.jpg\t{CAT}\n")
    assert read(path, Columns(header=False, image="1", caption="2"))[0] == [("a.jpg", COW), ("b.jpg", CAT)]
