"""What people name in place of the captions themselves: pointers, folders, objects spread over lines, cut images."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import UsageError
from negmine.contract.records import Rejected
from negmine.images.decode import BadImageError
from negmine.images.locate import inspect_image
from negmine.sources import Noted, Row, image_root, open_source
from PIL import Image

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22e\nsize 12345\n"


def rows_of(path: Path) -> list[Row | Rejected]:
    return [row for row in open_source(str(path)).read(str(path)) if not isinstance(row, Noted)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.parquet", "a.tar"])
def test_a_pointer_of_git_lfs_is_named_as_one(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(POINTER)
    with pytest.raises(UsageError, match=r"Git LFS pointer[^\0]*git lfs pull"):
        open_source(str(tmp_path / name))


def test_pointers_among_tars_and_images_are_counted_as_such(tmp_path: Path) -> None:
    (tmp_path / "00.tar").write_bytes(POINTER)
    (refused,) = rows_of(tmp_path)
    assert isinstance(refused, Rejected) and refused.reason == "damaged_archive"
    assert "git lfs pull" in (refused.detail or "")
    with pytest.raises(BadImageError, match=r"image_format: .*git lfs pull"):
        inspect_image(POINTER)


@pytest.mark.parametrize("length", [20, 31, 100, 400])
def test_a_cut_webp_is_damaged_and_no_other_format(length: int) -> None:
    buffer = io.BytesIO()
    Image.effect_noise((64, 64), 50).convert("RGB").save(buffer, "WEBP")
    whole = buffer.getvalue()
    assert inspect_image(whole).extension == "webp"
    with pytest.raises(BadImageError, match=rf"damaged_image: truncated: {length} of {len(whole):,} bytes"):
        inspect_image(whole[:length])


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
def test_objects_spread_over_lines_are_named_as_such(tmp_path: Path, name: str) -> None:
    rows = [{"image": f"{number}.jpg", "caption": "a dog"} for number in range(2)]
    (tmp_path / name).write_text("".join(json.dumps(row, indent=2) + "\n" for row in rows))
    with pytest.raises(UsageError, match=r"one JSON object after the other[^\0]*jq -c"):
        open_source(str(tmp_path / name))
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert [row.caption for row in rows_of(tmp_path / name) if isinstance(row, Row)] == ["a dog"] * 2


def test_a_folder_of_parquet_files_is_read(tmp_path: Path) -> None:
    image = {"bytes": b"\x89PNG", "path": "x.png"}
    for name in ("train-00000-of-00002.parquet", "train-00001-of-00002.parquet"):
        pq.write_table(pa.table({"image": [image], "caption": [f"a dog of {name}"]}), tmp_path / name)
    (tmp_path / "README.md").write_text("a data set")
    source = open_source(str(tmp_path))
    found = [row for row in rows_of(tmp_path) if isinstance(row, Row)]
    assert [row.image for row in found] == [f"train-0000{n}-of-00002.parquet::image.bytes[1]" for n in (0, 1)]
    assert image_root(source, str(tmp_path)) == str(tmp_path)


def test_images_with_texts_are_read_although_a_parquet_file_is_there_too(tmp_path: Path) -> None:
    """img2dataset leaves one of each folder's metadata beside it."""
    (tmp_path / "00000").mkdir()
    (tmp_path / "00000" / "1.jpg").write_bytes(b"\xff\xd8\xff")
    (tmp_path / "00000" / "1.txt").write_text("a dog")
    pq.write_table(pa.table({"caption": ["a dog"]}), tmp_path / "00000.parquet")
    assert open_source(str(tmp_path)).name == "folder"


@pytest.mark.parametrize(
    "name, named",
    [("metadata.jsonl", "metadata.jsonl"), ("train/metadata.csv", "train/metadata.csv"), ("data/a.parquet", "data")],
)
def test_of_a_folder_the_file_to_name_is_told(tmp_path: Path, name: str, named: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"")
    (tmp_path / "a.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(UsageError) as error:
        open_source(str(tmp_path))
    assert (error.value.fix or "").endswith(f": {tmp_path}/{named}")
