"""The sample that ships with the code is whole, and every photo carries its licence."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

from negmine.sources import Row, open_source

from tests.pipeline.sources.reading import read_all

SAMPLE = Path(__file__).parents[3] / "data" / "sample"


def lines(name: str) -> list[dict[str, str]]:
    return [json.loads(line) for line in (SAMPLE / name).read_text().splitlines()]


def test_the_sample_reads_as_590_rows_of_118_photos() -> None:
    path = str(SAMPLE / "captions.jsonl")
    rows, _ = read_all(open_source(path), path)
    assert len(rows) == 590
    images = Counter(row.image for row in rows if isinstance(row, Row))
    assert set(images.values()) == {5}
    assert {SAMPLE / (image or "") for image in images} == set((SAMPLE / "images").iterdir())
    assert all((SAMPLE / (image or "")).read_bytes().startswith(b"\xff\xd8") for image in images)


def test_every_photo_names_its_licence_and_origin() -> None:
    photos = {row["image"]: row for row in lines("captions.jsonl")}
    licences = Counter(row["licence"] for row in photos.values())
    assert licences == {"CC BY 2.0": 74, "CC BY-SA 2.0": 43, "No known copyright restrictions": 1}
    assert all(row[field] for row in photos.values() for field in ("flickr_url", "repo", "commit", "path"))


def test_sugarcrepe_items_are_on_sample_photos() -> None:
    items = lines("sugarcrepe.jsonl")
    assert len(items) == 206
    assert {item["image"] for item in items} <= {row["image"] for row in lines("captions.jsonl")}
    assert all(item["caption"] != item["negative_caption"] for item in items)
