"""COCO and Karpathy JSON: ids, order, bad entries, cut files."""

from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import pytest
from negmine.base.errors import InputError
from negmine.contract.records import Rejected
from negmine.sources import SOURCES, Row, open_source

IMAGES = [{"id": 7, "file_name": "a.jpg"}, {"id": 8, "file_name": "sub/b.jpg"}]
ANNOTATIONS = [
    {"id": 101, "image_id": 8, "caption": 'a "dog"\nand a café'},
    {"id": 102, "image_id": 7, "caption": "a cat"},
]


def write(path: Path, body: Any) -> str:
    path.write_text(json.dumps(body), encoding="utf-8")
    return str(path)


def read(path: str, name: str | None = None) -> list[Row | Rejected]:
    return list(open_source(path, name).read(path))


@pytest.mark.parametrize("order", [("images", "annotations"), ("annotations", "images")])
def test_coco_joins_annotations_with_images_in_either_order(tmp_path: Path, order: tuple[str, str]) -> None:
    body = {"info": {"year": 2017}, "licenses": []} | {
        name: {"images": IMAGES, "annotations": ANNOTATIONS}[name] for name in order
    }
    path = write(tmp_path / "captions.json", body)
    assert open_source(path).name == "coco"
    assert read(path) == [
        Row(1, "captions.json", "sub/b.jpg", 'a "dog"\nand a café', "101", "8"),
        Row(2, "captions.json", "a.jpg", "a cat", "102", "7"),
    ]


def test_coco_ids_lose_their_decimal_point(tmp_path: Path) -> None:
    body = {"images": [{"id": 7.0, "file_name": "a.jpg"}], "annotations": [{"id": 5.0, "image_id": 7, "caption": "x"}]}
    (row,) = read(write(tmp_path / "c.json", body))
    assert isinstance(row, Row)
    assert (row.key, row.image_id) == ("5", "7")


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({"id": 1, "image_id": 99, "caption": "x"}, "unknown_image"),
        ({"id": 1, "caption": "x"}, "unknown_image"),
        ({"id": 1, "image_id": [7], "caption": "x"}, "bad_image_id"),
        ({"id": 1, "image_id": 9, "caption": "x"}, "unknown_image"),
        ({"id": 1, "image_id": 10, "caption": "x"}, "image_not_text"),
        ({"id": 1, "image_id": 7}, "no_caption"),
        ({"id": 1, "image_id": 7, "caption": None}, "no_caption"),
        ({"id": 1, "image_id": 7, "caption": 3}, "caption_not_text"),
        ({"id": 1.5, "image_id": 7, "caption": "x"}, "bad_key"),
        ({"id": True, "image_id": 7, "caption": "x"}, "bad_key"),
        ({"id": 10**400, "image_id": 7, "caption": "x"}, "bad_key"),
        (["not", "an", "object"], "not_an_object"),
    ],
)
def test_coco_bad_annotations_are_refused_and_the_rest_is_read(tmp_path: Path, annotation: Any, reason: str) -> None:
    twice = [{"id": 9, "file_name": "c.jpg"}, {"id": 9, "file_name": "d.jpg"}, {"id": 10, "file_name": 5}]
    path = write(tmp_path / "c.json", {"images": [*IMAGES, *twice], "annotations": [annotation, ANNOTATIONS[1]]})
    bad, good = read(path)
    assert isinstance(good, Row)
    assert good.key == "102"
    assert isinstance(bad, Rejected)
    assert (bad.reason, bad.row) == (reason, 1)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.99])
def test_a_json_that_stops_half_way_is_an_error_with_the_place(tmp_path: Path, share: float) -> None:
    text = json.dumps({"images": IMAGES, "annotations": ANNOTATIONS * 20})
    path = tmp_path / "cut.json"
    path.write_text(text[: int(len(text) * share)])
    with pytest.raises(InputError, match=rf"cut\.json, at or before byte {int(len(text) * share):,}"):
        read(str(path), "coco")


def test_coco_memory_does_not_grow_with_captions(tmp_path: Path) -> None:
    def peak(annotations: int) -> int:
        body = {"images": IMAGES, "annotations": [ANNOTATIONS[0] | {"id": n} for n in range(annotations)]}
        path = write(tmp_path / "c.json", body)
        del body
        tracemalloc.start()
        assert sum(1 for _ in SOURCES["coco"].read(path)) == annotations
        size = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return size

    peak(10)
    assert peak(40_000) < peak(4_000) + 300_000


KARPATHY = {
    "images": [
        {
            "filepath": "val2014",
            "filename": "COCO_1.jpg",
            "cocoid": 391895,
            "imgid": 0,
            "split": "test",
            "sentids": [770337, 771687],
            "sentences": [
                {"tokens": ["a", "man"], "raw": "A man.", "imgid": 0, "sentid": 770337},
                {"tokens": ["a", "bike"], "raw": "A bike.", "imgid": 0, "sentid": 771687},
            ],
        },
        {"filename": "1000.jpg", "imgid": 1, "split": "train", "sentences": [{"raw": "Two dogs."}]},
        {"filename": "1001.jpg", "imgid": 2, "split": "train", "sentences": []},
        {"filename": "1002.jpg", "imgid": 3, "split": "train", "sentences": [{"raw": 5, "sentid": 9}, "text"]},
        "no image",
    ],
    "dataset": "coco",
}


def test_karpathy_keeps_sentence_and_coco_ids(tmp_path: Path) -> None:
    path = write(tmp_path / "dataset.json", KARPATHY)
    assert open_source(path).name == "karpathy"
    rows = read(path)
    assert rows[:3] == [
        Row(1, "dataset.json", "val2014/COCO_1.jpg", "A man.", "770337", "391895"),
        Row(1, "dataset.json", "val2014/COCO_1.jpg", "A bike.", "771687", "391895"),
        Row(2, "dataset.json", "1000.jpg", "Two dogs.", None, "1"),
    ]
    refused = [(row.row, row.key, row.reason) for row in rows[3:] if isinstance(row, Rejected)]
    assert refused == [
        (3, None, "no_caption"),
        (4, "9", "caption_not_text"),
        (4, None, "not_an_object"),
        (5, None, "not_an_object"),
    ]
