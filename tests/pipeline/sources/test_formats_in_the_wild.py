"""Files as programs and people write them: each row is a pair, refused with its reason, or said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from negmine.records import Rejected
from negmine.sources import Columns, open_source

from tests.pipeline.sources.reading import read_all

DOG, CAT, COW = "a dog on a mat", "a cat in a box", "a cow, a barn and a tree"


def read(path: Path, columns: Columns | None = None) -> tuple[list[tuple[str | None, str]], dict[str, int]]:
    """Image and caption of each row, the reason in place of the caption where it is refused; what was noted."""
    rows, noted = read_all(open_source(str(path), columns=columns), path)
    return [(None, row.reason) if isinstance(row, Rejected) else (row.image, row.caption) for row in rows], noted


def written(path: Path, content: str | bytes | dict[str, Any]) -> Path:
    path.write_bytes(
        content if isinstance(content, bytes) else
        content.encode() if isinstance(content, str) else json.dumps(content).encode()
    )  # fmt: skip
    return path


# --- JSON ------------------------------------------------------------------------------------------------------------


def rows(prefix: str, number: int, image: str = "image") -> list[dict[str, str]]:
    return [{image: f"{prefix}{n}.jpg", "caption": f"{prefix} {n}"} for n in range(number)]


def test_all_splits_of_a_document_are_read(tmp_path: Path) -> None:
    long = [row | {"padding": "x" * 1000} for row in rows("train", 1500)]  # val begins behind what the columns are by
    document = {
        "info": [{"description": "x"}], "train": long, "licenses": [{"text": "free"}],
        "val": rows("val", 3, "file_name"), "test": rows("test", 2),
    }  # fmt: skip
    found, noted = read(written(tmp_path / "a.json", document))
    assert found[1498:] == [
        *[(f"train{n}.jpg", f"train {n}") for n in (1498, 1499)], *[(f"val{n}.jpg", f"val {n}") for n in range(3)],
        *[(f"test{n}.jpg", f"test {n}") for n in range(2)],
    ]  # fmt: skip
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
