"""docs/formats.md is true: its examples are read, its reasons and columns are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

import pyarrow as pa
import pytest
from negmine.contract import records
from negmine.sources import SOURCES, Row, open_source
from negmine.sources.noted import Note
from negmine.sources.row import CAPTION_COLUMNS, IMAGE_COLUMNS, Reason

from tests.pipeline.sources.reading import read_all

PAGE = (Path(__file__).parents[3] / "docs" / "formats.md").read_text()
EXAMPLES = {name: body for name, body in re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL) if name in SOURCES}


def section(title: str) -> str:
    return re.split(r"\n##+ ", PAGE.partition(f"# {title}\n")[2])[0]


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_are_recognised_and_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "example"
    path.write_text(EXAMPLES[name])
    source = open_source(str(path))
    rows, _ = read_all(source, path)
    assert source.name == name
    assert rows
    assert all(isinstance(row, Row) and row.image and row.caption for row in rows)


def test_every_format_with_text_has_an_example() -> None:
    assert set(SOURCES) - set(EXAMPLES) == {"parquet", "tars", "folder"}


def test_every_reason_is_explained() -> None:
    rows = [line.split("|")[1] for line in section("What is refused").splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == set(get_args(Reason))


def test_every_note_is_explained() -> None:
    rows = [line.split("|")[1] for line in section("What is noted").splitlines() if line.startswith("| `")]
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {*get_args(Note), "key_of_another_archive"}


def test_column_names_are_listed_in_order() -> None:
    page = " ".join(PAGE.split())
    assert "- image: " + ", ".join(f"`{name}`" for name in IMAGE_COLUMNS) in page
    assert "- caption: " + ", ".join(f"`{name}`" for name in CAPTION_COLUMNS) in page


@pytest.mark.parametrize(
    ("title", "schema"),
    [
        ("pairs", records.PAIRS),
        ("negatives", records.NEGATIVES),
        ("neighbours", records.NEIGHBOURS),
        ("rejected", records.REJECTED),
    ],
)
def test_tables_have_the_columns_of_the_schema(title: str, schema: pa.Schema) -> None:
    rows = [line.split("|")[1] for line in section(title).splitlines() if line.startswith("| `")]
    assert sorted(re.findall(r"`(\w+)`", " ".join(rows))) == sorted(schema.names)
