"""What the message of many refused rows says: the commonest reason, an example, its cause and the option that helps."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from negmine.base.errors import InputError, UsageError
from negmine.engine.local import LocalEngine
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest

CASES = Path(__file__).parents[1] / "cases"
FORMATS = CASES / "formats"


def refusal(
    path: Path, work: Path, columns: dict[str, Any] | None = None, images: Path | None = FORMATS / "img"
) -> InputError:
    settings = IngestSettings(str(path), images=str(images) if images else None, **(columns or {}))
    with pytest.raises(InputError) as caught:
        ingest(settings, work, LocalEngine(1), overwrite=True)
    return caught.value


@pytest.mark.parametrize(
    ("file", "why", "fix"),
    [
        (
            "urls.jsonl",
            "missing_image 10; for example row {} of urls.jsonl: https://example.com/{}.jpg: ",
            "img2dataset",
        ),
        ("win.jsonl", "missing_image 10; for example row {} of win.jsonl: img\\{}.jpg: ", "write them with /"),
        ("textcaps.json", "missing_image 10; for example row {} of textcaps.json: {}: ", "'{{image_name}}.jpg'"),
        (
            "title_null.jsonl",
            "no_caption 5; for example row 1 of title_null.jsonl: the caption is missing",
            "--caption-column",
        ),
        ("title_null.jsonl", "read as: caption <- caption, image <- image", "--caption-column"),
    ],
)
def test_the_cause_and_what_to_type(tmp_path: Path, file: str, why: str, fix: str) -> None:
    said = refusal(FORMATS / file, tmp_path)
    shown = [why.format(number + 1, number) for number in range(10)]
    assert any(text in (said.why or "") for text in shown)
    assert fix.format() in (said.fix or "")
    assert "--overwrite" in (said.fix or "")


def test_what_the_message_says_is_what_helps(tmp_path: Path) -> None:
    """The pattern that the message names reads the file."""
    path = FORMATS / "textcaps.json"
    said = refusal(path, tmp_path)
    pattern = (said.fix or "").partition("--image-column '")[2].partition("'")[0]
    settings = IngestSettings(str(path), images=str(FORMATS / "img"), image_column=pattern)
    counts = ingest(settings, tmp_path, LocalEngine(1), overwrite=True).counts
    assert (counts["pairs"], counts["rows"]) == (10, 10)
    assert counts["noted:columns:caption <- caption_str, image <- {image_name}.jpg"] == 1


def test_rows_without_a_image_say_which_columns_there_are(tmp_path: Path) -> None:
    path = tmp_path / "ln.jsonl"
    path.write_text(
        "".join(json.dumps({"image_id": f"{n}", "caption": f"a dog and {n} cats"}) + "\n" for n in range(3))
    )
    said = refusal(path, tmp_path / "work")
    assert "no_image 3; for example row " in (said.why or "")
    assert "no column names the images (among image_id, caption)" in (said.why or "")
    assert "--image-column '{image_id}.jpg'" in (said.fix or "")


def test_options_belong_to_the_input_and_unset_ones_change_nothing() -> None:
    assert "columns" not in IngestSettings("a.csv").chosen()
    assert IngestSettings("a.csv", key_column="id", header=False).chosen()["columns"] == {
        "key": "id",
        "header": False,
    }


@pytest.mark.parametrize(
    ("rows", "different", "counted"), [(10, 1, 1), (400, 4, 4), (399, 4, None), (10, 2, None), (4, 1, None)]
)
def test_a_column_of_questions_is_noticed(
    tmp_path: Path, rows: int, different: int, counted: int | None, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "llava_eval.jsonl"
    lines = [{"image": f"{n}.jpg", "text": f"Describe image {n % different} in detail."} for n in range(rows)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    counts = ingest(IngestSettings(str(path)), tmp_path / "work", LocalEngine(1)).counts
    assert counts.get("different_captions") == counted
    assert (f"only {counted} different captions" in capsys.readouterr().err) == (counted is not None)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (
            "a.json",
            {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": "a:b", "image_id": 1, "caption": "x"}]},
        ),
        ("b.json", {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 1}]}),
        (
            "c.json",
            {"images": [{"id": 1, "file_name": "a"}], "annotations": [{"id": 1, "image_id": 1, "caption": "x"}]},
        ),
        ("d.json", {"images": [{"filename": "a.jpg", "sentences": []}]}),
    ],
)
def test_options_of_columns_are_named_only_where_there_are_columns(
    tmp_path: Path, name: str, content: dict[str, object]
) -> None:
    (tmp_path / name).write_text(json.dumps(content))
    said = refusal(tmp_path / name, tmp_path / "work")
    assert "-column" not in (said.fix or "")
    assert "--overwrite" in (said.fix or "")


def test_objects_that_are_not_one_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(json.dumps({"image": "a.jpg", "caption": "x"}, indent=1) * 2)
    with pytest.raises(UsageError, match="jq -c"):
        refusal(tmp_path / "a.jsonl", tmp_path / "work")
