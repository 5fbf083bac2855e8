"""Inputs that once took the memory, the stack or the interpreter: refused by row or by file, in little of each."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import Rejected
from negmine.sources import Noted, Row, open_source

from tests.pipeline.sources.reading import read_all

CASES = Path(__file__).parents[2] / "cases" / "attack"


def outcome(path: Path) -> list[str] | str:
    """The reasons row by row, or the kind of the error; anything else is a fault."""
    try:
        rows, _ = read_all(open_source(str(path)), path)
    except (InputError, UsageError) as error:
        return type(error).__name__
    return [row.reason if isinstance(row, Rejected) else "ok" for row in rows]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        ("bigint.jsonl", ["json_syntax", *["ok"] * 5]),
        ("bigint_coco.json", "InputError"),
        ("bigexp_coco.json", ["bad_key"]),
        ("nest30k.jsonl", ["json_syntax", *["ok"] * 5]),
        ("surr_coco.json", ["not_utf8"]),
        ("raw_surrogate.jsonl", ["not_utf8", "ok"]),
        ("raw_surrogate_line2.jsonl", ["ok", "not_utf8"]),
        ("u2028.jsonl", "InputError"),
        ("t_date.parquet", "InputError"),
        ("t_dupcol.parquet", "InputError"),
        ("src_auto_m00192.json", "InputError"),
        ("src_coco_m00111.json", "InputError"),
        ("src_karpathy_m00012.json", "InputError"),
        ("src_karpathy_m00092.json", "InputError"),
        ("src_tsv_m00059.tsv", "UsageError"),
    ],
)
def test_hostile_files(file: str, expected: list[str] | str) -> None:
    assert outcome(CASES / file) == expected


@pytest.mark.parametrize("file", ["src_auto_m00038.jsonl", "src_coco_m00057.json"])
def test_mutated_files_lose_no_row(file: str) -> None:
    found = outcome(CASES / file)
    lines = [line for line in (CASES / file).read_bytes().split(b"\n") if line.strip()]
    assert len(found) == (len(lines) if file.endswith("jsonl") else 60)


@pytest.mark.parametrize("escaped", [True, False])
@pytest.mark.parametrize("name", ["coco", "karpathy", "json", "jsonl"])
def test_halves_of_surrogate_pairs_are_refused_in_every_json(tmp_path: Path, name: str, escaped: bool) -> None:
    body = {
        "coco": {
            "images": [{"id": 1, "file_name": "a.jpg"}],
            "annotations": [{"id": 2, "image_id": 1, "caption": "a @"}],
        },
        "karpathy": {"images": [{"filename": "a.jpg", "sentences": [{"raw": "a @"}]}]},
        "json": [{"image": "a.jpg", "caption": "a @"}],
        "jsonl": {"image": "a.jpg", "caption": "a @"},
    }[name]
    path = tmp_path / "a"
    path.write_bytes(json.dumps(body).encode().replace(b"@", b"\\ud800" if escaped else b"\xed\xa0\x80"))
    assert open_source(str(path), name).name == name
    assert [row.reason for row in open_source(str(path), name).read(str(path)) if isinstance(row, Rejected)] == [
        "not_utf8"
    ]


# --- memory ----------------------------------------------------------------------------------------------------------

LIMIT = 3 * 1024**3


def read_under_a_limit(path: Path) -> str:
    """What reading prints in a process with `LIMIT` bytes of address space: the number of rows of each reason."""
    code = (
        "import sys; from collections import Counter; from negmine.base.errors import NegmineError\n"
        "from negmine.sources import Noted, open_source\n"
        "rows = (r for r in open_source(sys.argv[1]).read(sys.argv[1]) if not isinstance(r, Noted))\n"
        "try: print(Counter(getattr(r, 'reason', 'ok') for r in rows))\n"
        "except NegmineError as error: print(type(error).__name__, error.why)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_document_nested_too_deeply_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    body = {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"image_id": 1, "caption": "x"}], "x": 0}
    path.write_text(json.dumps(body).replace("0}", "[" * 100_000 + "]" * 100_000 + "}"))
    assert read_under_a_limit(path) == "InputError it is nested too deeply"


@pytest.mark.parametrize("nested", [False, True])
def test_a_small_parquet_that_repeats_a_long_text_takes_no_memory(tmp_path: Path, nested: bool) -> None:
    """20,000 references to 20 MB: 400 GB if each were a text of its own."""
    column: pa.Array = pa.DictionaryArray.from_arrays(
        pa.array([0, 1] * 10_000, pa.int32()), ["x" * 20_000_000, "a dog"]
    )
    if nested:
        column = pa.ListArray.from_arrays(pa.array(range(0, 20_001, 2), pa.int32()), column)
    pq.write_table(pa.table({"caption": column}), tmp_path / "a.parquet", compression="zstd", store_schema=False)
    assert (tmp_path / "a.parquet").stat().st_size < 20_000
    assert read_under_a_limit(tmp_path / "a.parquet") == "Counter({'line_too_long': 10000, 'ok': 10000})"


def test_long_texts_are_refused_in_every_format(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negmine.sources import row

    monkeypatch.setattr(row, "MAX_TEXT", 100)
    long, short = "x" * 101, "x" * 100
    (tmp_path / "a.json").write_text(json.dumps([{"caption": long}, {"caption": short}]))
    pq.write_table(pa.table({"caption": [long, short]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text(f"caption\n{long}\n{short}\n")
    for name in ("a.json", "a.parquet", "a.csv"):
        assert outcome(tmp_path / name) == ["line_too_long", "ok"]


def test_an_entry_that_does_not_end_is_not_read_to_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from negmine.store import input_files as files

    monkeypatch.setattr(files, "MAX_LINE_BYTES", 200_000)
    path = tmp_path / "a.json"
    path.write_text('[{"caption": "x"}, {"caption": "' + "x" * 1_000_000 + '"}]')
    rows = open_source(str(path)).read(str(path))
    assert isinstance(next(rows), Noted)
    assert isinstance(next(rows), Row)
    with pytest.raises(InputError, match="longer than 200,000 characters"):
        next(rows)
