"""Geometry3K: records as they are in the data set, drawn again, and damaged ones refused by their id."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from negmine.base.errors import InputError, UsageError
from negmine.engine.local import LocalEngine
from negmine.stages.figures.geometry import statements as s
from negmine.stages.figures.geometry3k import BadRecord, read_records, to_program
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from negmine.store import load_manifest

RIGHT: dict[str, Any] = {
    "annot_id": "pan_2020-03-25_23_19_24",
    "point_instances": ["P", "Q", "R"],
    "line_instances": ["RP", "RQ", "PQ"],
    "circle_instances": [],
    "diagram_logic_forms": [
        "Equals(LengthOf(Line(P, Q)), 72)",
        "Equals(LengthOf(Line(R, Q)), 25)",
        "Perpendicular(Line(P, Q), Line(R, Q))",
        "Equals(LengthOf(Line(P, R)), 2x+1)",
    ],
    "point_positions": {"P": [0.0, 0.0], "Q": [3.0, 196.0], "R": [69.2, 195.3]},
}
"""Record 100 of the data set (MIT), its coordinates rounded; its length with an unknown is ours."""

CIRCLE: dict[str, Any] = {
    "line_instances": ["AB", "BO"],
    "circle_instances": ["O"],
    "diagram_logic_forms": [
        "PointLiesOnCircle(A, Circle(O, radius_0_0))",
        "PointLiesOnCircle(B, Circle(O, radius_0_0))",
        "Parallel(Line(A, B), Line(B, O))",
    ],
    "point_positions": {"A": [0.0, 50.0], "B": [50.0, 0.0], "O": [50.0, 50.0], "Z": [-1, -1]},
}


def test_a_record_is_drawn_as_it_lies_and_told_as_it_says() -> None:
    program = to_program(RIGHT, Random(0))
    told = [one for one in program if isinstance(one, s.Length | s.RightMark)]
    assert {(one.ends, one.value) for one in told if isinstance(one, s.Length)} == {("PQ", 72.0), ("QR", 25.0)}
    assert [(one.vertex, one.sides) for one in told if isinstance(one, s.RightMark)] == [("Q", "PR")]
    at = {one.point: complex(*one.at) for one in program if isinstance(one, s.Free)}
    assert (at["R"] - at["Q"]) / (at["P"] - at["Q"]) == pytest.approx(
        complex(66.2, 0.7) / complex(-3, 196), rel=1e-3
    )  # image coordinates run downwards, ours upwards


def test_a_circle_has_the_radius_of_its_points_and_false_predicates_are_not_told() -> None:
    program = to_program(CIRCLE, Random(0))
    (circle,) = (one for one in program if isinstance(one, s.Circle))
    assert circle.radius == pytest.approx(2.0)  # the drawing is 2 wide, and so is 50
    assert not [one for one in program if isinstance(one, s.Told) and one.value == "parallel"]
    assert "Z" not in {one.point for one in program if isinstance(one, s.Free)}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"point_positions": {"P": [0, 0], "Q": [-1, -1], "R": [5, 5]}}, "point_without_place"),
        ({"point_positions": {"P": [0, 0], "Q": "here", "R": [5, 5]}}, "damaged"),
        ({"point_positions": None}, "damaged"),
        ({"point_positions": {**RIGHT["point_positions"], "P": [float("nan"), 0]}}, "damaged"),
        ({"point_positions": {**RIGHT["point_positions"], "P": [10**400, 0]}}, "damaged"),
        ({"point_positions": {**RIGHT["point_positions"], "P": [1e308, -1e308]}}, "damaged"),
        ({"point_positions": {**RIGHT["point_positions"], "P": [1e6, 0.0]}}, "damaged"),
        ({"line_instances": []}, "damaged"),
        ({"line_instances": ["PQ", "QQ"]}, "damaged"),
        ({"point_positions": {"P": [1, 1], "Q": [1, 1], "R": [1, 1]}}, "damaged"),
        ({"circle_instances": ["Q"]}, "circle_without_radius"),
        ({"diagram_logic_forms": ["Equals(LengthOf(Line(P, R)), 2x+1)"]}, "nothing_to_tell"),
        ({"diagram_logic_forms": ["Equals(MeasureOf(Angle(P, Q, P)), 83)"]}, "nothing_to_tell"),
    ],
)
def test_damaged_records_have_a_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(BadRecord) as refused:
        to_program({**RIGHT, **change}, Random(0))
    assert refused.value.reason == reason


def test_rejected_records_are_listed_by_id(tmp_path: Path) -> None:
    source = tmp_path / "records.json"
    source.write_text(json.dumps({"100": RIGHT, "7": {**RIGHT, "line_instances": []}, "12": 5, "200": CIRCLE}))
    settings = RenderSettings(
        GroupSettings("geometry3k", level=5, negatives=3, size=128), count=4, part_size=2, records=str(source)
    )
    counts = render(settings, tmp_path / "work", LocalEngine(1)).counts
    assert counts["rows"] == 4
    assert counts["groups"] == 2
    assert counts["rejected:damaged"] == 2
    rows = pq.read_table(tmp_path / "work" / "figures" / "rejected.parquet").to_pylist()
    assert {row["key"] for row in rows} == {"7", "12"}
    pairs = load_manifest(tmp_path / "work" / "pairs")
    tables = [pq.read_table(tmp_path / "work" / "pairs" / part.files[0].file) for part in pairs.parts]
    sources = [source for table in tables for source in table["source"].to_pylist()]
    assert sorted(sources) == ["geometry geometry3k/100", "geometry geometry3k/200"]


def test_files_that_are_something_else(tmp_path: Path) -> None:
    for text in ("[1, 2]", "{", ""):
        (tmp_path / "x.json").write_text(text)
        with pytest.raises(InputError, match="not a Geometry3K file"):
            read_records(tmp_path / "x.json")
    with pytest.raises(UsageError, match="not drawn from records"):
        RenderSettings(GroupSettings("scenes"), count=1, records="x.json")
    with pytest.raises(UsageError, match="drawn from records"):
        RenderSettings(GroupSettings("geometry3k"), count=1)


@pytest.mark.parametrize("text", ['{"1":' + "[" * 100_000, '{"\\ud800": {}}', "[]"])
def test_what_is_no_file_of_records(text: str, tmp_path: Path) -> None:
    (tmp_path / "records.json").write_text(text)
    with pytest.raises(InputError, match="not a Geometry3K file"):
        read_records(tmp_path / "records.json")


def test_records_of_which_none_can_be_drawn(tmp_path: Path) -> None:
    source = tmp_path / "records.json"
    source.write_text(json.dumps({"7": {**RIGHT, "line_instances": []}}))
    settings = RenderSettings(GroupSettings("geometry3k", level=5, size=128), count=1, records=str(source))
    for _ in range(2):  # and when it is typed again
        with pytest.raises(InputError, match=r"none is left(.|\n)*damaged 1"):
            render(settings, tmp_path / "work", LocalEngine(1))
