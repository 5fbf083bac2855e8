"""Every format can be read back, by the reader it is meant for where that is at hand."""

from __future__ import annotations

import ast
import csv
import json
from collections import Counter
from pathlib import Path

import pytest
from negmine.base.errors import DamagedError, UsageError
from negmine.cli.app import app
from negmine.outputs.export.formats import FORMATS, SUGARCREPE, Foil, Record, ce_clip, negclip, sugarcrepe, triplets
from negmine.outputs.export.run import export, records
from negmine.stages.audit.read import open_source
from typer.testing import CliRunner

from tests.pipeline.conftest import add_negatives, rows_of

AWKWARD = "a \"cat\"\twith\na 'hat', ü <b>"
"""Quotes, a tab, a line break: what tables trip over."""


def record(number: int, *foils: tuple[str, str], image: str = "i", caption: str | None = None) -> Record:
    return Record(
        f"k{number}", image, f"{image}.jpg", caption or f"a cat {number}", tuple(Foil(t, k, "rule") for t, k in foils)
    )


def text(pieces) -> str:  # type: ignore[no-untyped-def]
    return "".join(piece for piece, _ in pieces)


@pytest.fixture
def work(small_work: Path) -> Path:
    add_negatives(small_work)
    return small_work


@pytest.mark.parametrize(("name", "ending"), [("jsonl", "jsonl"), ("negclip", "tsv")])
def test_the_audit_reads_back_what_was_written(work: Path, tmp_path: Path, name: str, ending: str) -> None:
    out = tmp_path / f"negatives.{ending}"
    file, counts = export(work, name, out)
    ours = {(row.caption, tuple(t for t, _ in row.negatives)) for row in open_source(work, None).rows()}
    merged: dict[str, tuple[str, tuple[str, ...]]] = {}
    for row in open_source(work, out).rows():
        before = merged.get(row.key, (row.caption, ()))[1]
        merged[row.key] = row.caption, (*before, *(t for t, _ in row.negatives))
    assert set(merged.values()) == ours
    assert counts == {"captions": 200, "captions without a negative": 0, "negatives": 400}
    assert file.rows == {"jsonl": 400, "negclip": 200}[name]


def test_negclips_columns_survive_awkward_text(tmp_path: Path) -> None:
    path = tmp_path / "t.tsv"
    path.write_text(text(negclip([record(1, (AWKWARD, "negate"), ("b", "negate"), caption=AWKWARD), record(2)])))
    with path.open(newline="") as lines:
        rows = list(csv.reader(lines, delimiter="\t"))
    assert rows[0] == ["", "title", "filepath", "neg_caption", "neg_image"]
    assert rows[1][:3] == ["0", AWKWARD, "i.jpg"]
    assert ast.literal_eval(rows[1][3]) == [AWKWARD, "b"]
    assert len(rows) == 2, "a caption without negatives has no row"


def test_pandas_reads_negclips_table_as_open_clip_does(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    path = tmp_path / "t.tsv"
    path.write_text(text(negclip([record(1, (AWKWARD, "negate"), caption="a cat")])))
    frame = pandas.read_csv(path, sep="\t")
    assert frame["title"].tolist() == ["a cat"]
    assert ast.literal_eval(frame["neg_caption"][0]) == [AWKWARD]


def test_ce_clip_has_four_slots_and_says_which_are_filled() -> None:
    found = json.loads(
        text(ce_clip([record(1, ("x", "replace_object"), ("y", "swap_object"), ("z", "replace_object"))]))
    )
    assert (found["object"], found["relation"]) == ("x", "y")
    assert found["attribute"] == found["action"] == found["caption"]
    assert found["valid"] == [1, 0, 1, 0]


def test_sugarcrepe_is_one_object_by_running_number() -> None:
    foils = [("x", "replace_count"), ("y", "negate"), (AWKWARD, "swap_object")]
    pieces = list(sugarcrepe([record(1, *foils), record(2, ("z", "add_object"))]))
    found = json.loads(text(pieces))
    assert list(found) == ["0", "1", "2"]
    assert [row["kind"] for row in found.values()] == ["replace_att", "swap_obj", "add_obj"]
    assert found["1"]["negative_caption"] == AWKWARD
    assert sum(rows for _, rows in pieces) == 3
    assert json.loads(text(sugarcrepe([record(1)]))) == {}
    assert set(SUGARCREPE.values()) == {f"{a}_{b}" for a in ("swap", "replace", "add") for b in ("obj", "att")} | {
        "replace_rel"
    }


def test_triplets_have_another_caption_of_the_same_image() -> None:
    one = record(1, ("x", "k"), ("y", "k"), image="a", caption="cat")
    rows = [one, record(2, image="a", caption="pet"), record(3, image="a", caption="animal")]
    rows += [record(4, ("z", "k"), image="b", caption="bus")]
    found = [json.loads(line) for line in text(triplets(rows)).splitlines()]
    assert found == [
        {"anchor": "cat", "positive": "pet", "negative": "x"},
        {"anchor": "cat", "positive": "animal", "negative": "y"},
    ]


def test_a_triplets_negative_is_no_caption_of_the_image() -> None:
    rows = [record(1, ("pet", "k"), ("x", "k"), caption="cat"), record(2, caption="pet"), record(3, caption="cat")]
    assert [json.loads(line)["negative"] for line in text(triplets(rows)).splitlines()] == ["x"]


def test_captions_of_a_image_follow_each_other(work: Path) -> None:
    images = [found.image_id for found in records(work)]
    runs = Counter(image for i, image in enumerate(images) if i == 0 or images[i - 1] != image)
    assert len(images) == 200 and set(runs.values()) == {1}


@pytest.mark.parametrize("name", FORMATS)
def test_the_command_counts_what_it_wrote(work: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "new" / "file"
    shown = CliRunner().invoke(app, ["export", name, "--work", str(work), "--out", str(out), "--json"])
    assert shown.exit_code == 0, shown.output
    figures = json.loads(shown.stdout)["figures"]
    assert (figures["captions"], figures["negatives"]) == (200, 400)
    rows = len(json.loads(out.read_text())) if name == "sugarcrepe" else len(out.read_text().splitlines())
    assert figures["rows written"] == (rows - 1 if name == "negclip" else rows)
    assert [path.name for path in out.parent.iterdir()] == ["file"]


def test_the_exported_jsonl_keeps_kind_and_rule(work: Path, tmp_path: Path) -> None:
    export(work, "jsonl", tmp_path / "n.jsonl")
    rows = rows_of(tmp_path / "n.jsonl")
    assert {(row["kind"], row["rule"]) for row in rows} == {("negate", "test")}
    assert all(row["negative"] == f"no {row['caption']}" and str(row["image"]).endswith(".jpg") for row in rows)


def test_an_unfinished_work_folder_leaves_no_file(small_work: Path, tmp_path: Path) -> None:
    with pytest.raises(DamagedError):
        export(small_work, "jsonl", tmp_path / "n.jsonl")
    with pytest.raises(UsageError, match="unknown format 'xml'"):
        export(small_work, "xml", tmp_path / "n.jsonl")
    assert list(tmp_path.glob("*n.jsonl")) == []
