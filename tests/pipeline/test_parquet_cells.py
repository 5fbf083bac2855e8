"""Images in cells of Parquet files."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import InputError
from negmine.engine.local import LocalEngine
from negmine.images import parquet_cells
from negmine.images.locate import BadImageError, ImageRoot
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.store import read_part

SAMPLE = Path(__file__).parents[2] / "data" / "sample" / "images"
KIND = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def table(path: Path, images: list[bytes | None], **options: object) -> Path:
    column = pa.array([{"bytes": image, "path": None} for image in images], KIND)
    text = [f"a dog beside {n} cats" for n in range(len(images))]
    pq.write_table(pa.table({"image": column, "text": text, "jpg": pa.array(images, pa.binary())}), path, **options)
    return path


@pytest.mark.parametrize("kept", [parquet_cells.KEPT_BYTES, 1])
@pytest.mark.parametrize("batch", [parquet_cells.BATCH_BYTES, 5_000])
@pytest.mark.parametrize("swollen", [parquet_cells.SWOLLEN_BYTES, 1])
@pytest.mark.parametrize("options", [{"row_group_size": 7}, {"use_dictionary": False, "compression": "none"}])
def test_any_cell_in_any_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: int, batch: int, swollen: int, options: dict[str, object]
) -> None:
    monkeypatch.setattr(parquet_cells, "KEPT_BYTES", kept)
    monkeypatch.setattr(parquet_cells, "BATCH_BYTES", batch)
    monkeypatch.setattr(parquet_cells, "SWOLLEN_BYTES", swollen)
    rng = random.Random(0)
    images = [rng.randbytes(rng.randrange(1, 3_000)) for _ in range(40)]
    table(tmp_path / "a.bin", images, **options)
    table(tmp_path / "b.bin", images[::-1], **options)
    root = ImageRoot(str(tmp_path))
    wanted = [(name, column, n) for name in "ab" for column in ("image.bytes", "jpg") for n in range(40)]
    rng.shuffle(wanted)
    for name, column, n in wanted:
        assert root.read(f"{name}.bin::{column}[{n + 1}]") == images[n if name == "a" else 39 - n]


@pytest.mark.parametrize(
    "cell",
    ["image.bytes[0]", "image.bytes[4]", "image.bytes[3]", "image.bytes", "image[1]", "text[1.5]", "none[1]", ""],
)
def test_a_cell_that_is_not_there_or_empty_is_a_missing_image(tmp_path: Path, cell: str) -> None:
    table(tmp_path / "a.parquet", [b"x", b"y", None])
    with pytest.raises(BadImageError) as caught:
        ImageRoot(str(tmp_path)).read(f"a.parquet::{cell}" if cell else "a.parquet::x")
    assert caught.value.reason == "missing_image"


def test_images_inside_are_looked_at_without_a_root_being_named(tmp_path: Path) -> None:
    photos = [photo.read_bytes() for photo in sorted(SAMPLE.iterdir())[:6]]
    path = table(tmp_path / "train.parquet", [*photos, b"no image"], row_group_size=2)
    with pytest.raises(InputError, match=r"image_format 1; for example row 7 of train\.parquet"):
        ingest(IngestSettings(str(path)), tmp_path / "work", LocalEngine(1))
    manifest = ingest(IngestSettings(str(path), max_bad=0.5), tmp_path / "work", LocalEngine(1))
    rows = read_part(tmp_path / "work" / "pairs", 0).to_pylist()
    assert {row["image"] for row in rows} == {f"train.parquet::image.bytes[{n}]" for n in range(1, 7)}
    assert all(row["width"] and row["signature"] is not None for row in rows)
    root = ImageRoot(manifest.spec.context["images"])
    for row in rows:
        number = int(row["image"].rpartition("[")[2][:-1])
        assert root.read(row["image"]) == photos[number - 1]
        assert row["caption"] == f"a dog beside {number - 1} cats"
