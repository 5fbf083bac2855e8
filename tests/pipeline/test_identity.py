"""One image is one image, on one side of the split, whatever it is called; and no two images are one image."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.counts import Counts
from negmine.base.errors import DamagedError
from negmine.contract.records import PAIRS
from negmine.contract.split import Split
from negmine.engine.local import LocalEngine
from negmine.stages.pairs.identity import normal_path, settle
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest, load_pairs
from negmine.store import FileRecord, Store, read_part, spill
from negmine.store.rejected import merge_rejected

CASES = Path(__file__).parents[1] / "cases"
PHOTOS = Path(__file__).parents[2] / "data" / "sample" / "images"


def ids(pairs: Path, images: Path | None, work: Path) -> tuple[dict[str, set[str]], dict[str, int]]:
    """Paths of each image id, and what was counted of ids."""
    root = None if images is None else str(images)
    manifest = ingest(IngestSettings(str(pairs), images=root), work, LocalEngine(1))
    found: dict[str, set[str]] = {}
    for part in manifest.parts:
        for row in read_part(work / "pairs", part.index).to_pylist():
            found.setdefault(row["image_id"], set()).add(row["image"])
    assert manifest.counts["images"] == len(found)
    return found, {name: n for name, n in manifest.counts.items() if name.startswith("image_id:") and n}


def jsonl(folder: Path, rows: list[dict[str, Any]]) -> Path:
    path = folder / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


@pytest.mark.parametrize("look", [True, False])
def test_ids_that_restart_are_no_ids(tmp_path: Path, look: bool) -> None:
    case = CASES / "idclash"
    found, counts = ids(case / "clash.jsonl", case if look else None, tmp_path / "work")
    assert found == {f"img/{n}.jpg": {f"img/{n}.jpg"} for n in range(80)}
    assert counts == {"image_id:shared": 80}


@pytest.mark.parametrize("look", [True, False])
def test_spellings_of_a_path_are_one_image(tmp_path: Path, look: bool) -> None:
    case = CASES / "formats"
    found, counts = ids(case / "spelled.jsonl", case / "img" if look else None, tmp_path / "work")
    assert found == {f"{n}.jpg": {f"{n}.jpg"} for n in range(10)}
    assert counts == {}


@pytest.mark.parametrize("look", [True, False])
def test_an_id_for_each_caption(tmp_path: Path, look: bool) -> None:
    rows = [{"image": f"{n % 5}.jpg", "image_id": 100 + n, "caption": f"caption {n}"} for n in range(15)]
    images = CASES / "formats" / "img" if look else None
    found, counts = ids(jsonl(tmp_path, rows), images, tmp_path / "work")
    assert found == {str(100 + n): {f"{n}.jpg"} for n in range(5)}
    assert counts == {"image_id:several": 5}


def test_a_file_that_is_listed_twice(tmp_path: Path) -> None:
    coco = {
        "images": [{"id": n, "file_name": f"{n % 3}.jpg"} for n in range(6)],
        "annotations": [{"id": n, "image_id": n, "caption": f"caption {n}"} for n in range(6)],
    }
    (tmp_path / "coco.json").write_text(json.dumps(coco))
    found, counts = ids(tmp_path / "coco.json", CASES / "misc" / "img", tmp_path / "work")
    assert found == {str(n): {f"{n}.jpg"} for n in range(3)}
    assert counts == {"image_id:several": 3}


def test_equal_bytes_are_one_image(tmp_path: Path) -> None:
    found, counts = ids(CASES / "misc" / "dup.jsonl", CASES / "misc" / "dup", tmp_path / "work")
    assert found == {f"{n}a.jpg": {f"{n}a.jpg", f"{n}b.jpg"} for n in range(6)}
    assert counts == {"image_id:same_bytes": 6}
    blind, counts = ids(CASES / "misc" / "dup.jsonl", None, tmp_path / "blind")
    assert len(blind) == 12
    assert counts == {}


def test_an_id_that_is_the_path_of_another_image(tmp_path: Path) -> None:
    rows = [{"image": "a/0.jpg", "image_id": "0.jpg", "caption": "one"}, {"image": "0.jpg", "caption": "other"}]
    found, counts = ids(jsonl(tmp_path, rows), None, tmp_path / "work")
    assert found == {"a/0.jpg": {"a/0.jpg"}, "0.jpg": {"0.jpg"}}
    assert counts == {"image_id:shared": 1}


def test_equal_captions_of_images_with_one_id_are_two_pairs(tmp_path: Path) -> None:
    rows = [{"image": f"{n}.jpg", "image_id": 0, "caption": "a photo of a dog"} for n in range(4)]
    found, _ = ids(jsonl(tmp_path, rows), None, tmp_path / "work")
    assert len(found) == 4


def test_ids_without_images_stay(tmp_path: Path) -> None:
    rows = [{"image_id": n % 3, "caption": f"caption {n}"} for n in range(9)]
    found, counts = ids(jsonl(tmp_path, rows), None, tmp_path / "work")
    assert found == {"0": {None}, "1": {None}, "2": {None}}
    assert counts == {}


@pytest.mark.parametrize(
    ("image", "normal"),
    [
        ("./a.jpg", "a.jpg"),
        ("x//a.jpg", "x/a.jpg"),
        ("x/../a.jpg", "a.jpg"),
        ("/x/./a.jpg", "/x/a.jpg"),
        ("../a.jpg", "../a.jpg"),
        ("./x.tar::./a.jpg", "x.tar::./a.jpg"),
        ("s3://b//a.jpg", "s3://b//a.jpg"),
    ],
)
def test_normal_paths(image: str, normal: str) -> None:
    assert normal_path(image) == normal == normal_path(normal)


ROW = st.tuples(
    st.integers(0, 3),  # which content; None where nothing was looked at
    st.integers(0, 5),  # path; its content follows from it
    st.sampled_from([None, "x", "y", "p1", "p4"]),  # id, among them some that look like paths
)


@given(rows=st.lists(ROW, max_size=25), looked=st.booleans(), largest=st.sampled_from([1, 100]))
@settings(max_examples=60, deadline=None)
def test_settling_is_what_a_person_would_do(
    rows: list[tuple[int, int, str | None]], looked: bool, largest: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Brute force over all rows: same id if and only if same image; every id names one image."""
    content_of = {path: content for content, path, _ in rows}
    table = pa.Table.from_pylist(
        [
            {
                "key": f"k{n}",
                "image": f"p{path}",
                "image_id": name or f"p{path}",
                "caption": "c",
                "source": "s",
                "content": content_of[path] if looked else None,
            }
            for n, (_, path, name) in enumerate(rows)
        ],
        schema=PAIRS,
    )
    folder, counts = tmp_path_factory.mktemp("settle"), Counts()
    before, spill.LARGEST = spill.LARGEST, largest  # type: ignore[misc]
    try:
        parts = [table.slice(0, 5), table.slice(5)]
        made = [row for some in settle(parts, folder / "scratch", counts) for row in some.to_pylist()]
    finally:
        spill.LARGEST = before  # type: ignore[misc]
        shutil.rmtree(folder)
    assert sorted(row["key"] for row in made) == sorted(f"k{n}" for n in range(len(rows)))

    def identity(row: dict[str, Any]) -> Any:
        return row["content"] if looked else row["image"]

    called: dict[Any, set[str]] = {}
    for row in table.to_pylist():
        called.setdefault(identity(row), set()).update((row["image_id"], row["image"]))
    for row in made:
        paths = {one["image"] for one in table.to_pylist() if identity(one) == identity(row)}
        names = called[identity(row)] - paths
        usable = [name for name in names if sum(name in others for others in called.values()) == 1]
        assert row["image_id"] == min(usable or paths)
    together = {}
    for row in made:
        assert together.setdefault(row["image_id"], identity(row)) == identity(row)
    order = [row["image_id"] for row in made]
    assert len([n for n, name in enumerate(order) if n == 0 or order[n - 1] != name]) == len(set(order))


def test_no_image_lies_on_both_sides(tmp_path: Path) -> None:
    photos = sorted(PHOTOS.iterdir())[:8]
    rows = []
    for number, photo in enumerate(photos):
        for copy in range(3):
            shutil.copy(photo, tmp_path / f"{number}-{copy}.jpg")
            rows += [{"image": f"./{number}-{copy}.jpg", "image_id": f"{copy}", "caption": f"caption {number} {copy}"}]
    found, counts = ids(jsonl(tmp_path, rows), tmp_path, tmp_path / "work")
    assert counts == {"image_id:shared": 8, "image_id:same_bytes": 8}
    split = Split(0.5, 0, heldout=False)
    sides = {path.split("-")[0]: set() for paths in found.values() for path in paths}
    for name, paths in found.items():
        for path in paths:
            sides[path.split("-")[0]].add(split.holds(name))
    assert all(len(side) == 1 for side in sides.values())


def test_a_killed_settling_is_taken_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    case = CASES / "idclash"
    chosen = IngestSettings(str(case / "clash.jsonl"), images=str(case), part_size=20)
    whole = ingest(chosen, tmp_path / "whole", LocalEngine(1))

    def killed(store: Store, before: Path) -> FileRecord:
        if store.folder.name == "pairs":
            raise KeyboardInterrupt
        return merge_rejected(store, before)

    monkeypatch.setattr("negmine.stages.pairs.stage.merge_rejected", killed)
    with pytest.raises(KeyboardInterrupt):
        ingest(chosen, tmp_path / "again", LocalEngine(1))
    (tmp_path / "again" / "pairs" / "part-00001.parquet").unlink()
    monkeypatch.undo()
    assert ingest(chosen, tmp_path / "again", LocalEngine(1)).digest == whole.digest
    assert sorted(path.name for path in (tmp_path / "again" / "pairs").iterdir()) == sorted(
        path.name for path in (tmp_path / "whole" / "pairs").iterdir()
    )
    assert load_pairs(tmp_path / "again").counts == whole.counts


def test_pairs_of_an_earlier_version_are_refused(tmp_path: Path) -> None:
    ids(CASES / "misc" / "dup.jsonl", None, tmp_path / "work")
    part = tmp_path / "work" / "pairs" / "part-00000.parquet"
    pq.write_table(pq.read_table(part).drop_columns(["thumbnail", "content"]), part)
    with pytest.raises(DamagedError, match="earlier negmine"):
        load_pairs(tmp_path / "work")


FORMS = {"composed": "caf\u00e9/\u00fc.jpg", "apart": "cafe\u0301/u\u0308.jpg"}


@pytest.mark.parametrize("look", [True, False])
@pytest.mark.parametrize("on_disk", FORMS)
def test_accents_as_macs_and_others_write_them_are_one_path(tmp_path: Path, on_disk: str, look: bool) -> None:
    path = tmp_path / "images" / FORMS[on_disk]
    path.parent.mkdir(parents=True)
    shutil.copy(CASES / "formats" / "img" / "0.jpg", path)
    rows = [{"image": name, "caption": f"caption {n}"} for n, name in enumerate(FORMS.values())]
    found, counts = ids(jsonl(tmp_path, rows), tmp_path / "images" if look else None, tmp_path / "work")
    assert list(found.values()) == [set(FORMS.values())]
    assert counts == {}
