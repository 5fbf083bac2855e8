"""Problems with the input: one clear message and the right status, or a rejected row that is counted and listed."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.harness import CAPTIONS, SAMPLE, copy, negmine, refused, rejected, succeed, write_lines

PHOTO = SAMPLE / "images" / "000000000790.jpg"
COCO = {
    "images": [{"id": 1, "file_name": "a.jpg"}],
    "annotations": [{"id": 7, "image_id": 1, "caption": "a red car behind two dogs"}],
}


# --- the input as a whole --------------------------------------------------------------------------------------------


def _add(tar: tarfile.TarFile, name: str, content: bytes = b"", **header: object) -> None:
    member = tarfile.TarInfo(name)
    member.size = len(content)
    for field, value in header.items():
        setattr(member, field, value)
    tar.addfile(member, io.BytesIO(content))


def _cut_tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        _add(tar, "a.txt", b"a cat")
        _add(tar, "a.jpg", PHOTO.read_bytes())
    return stream.getvalue()[:5000]


@pytest.mark.parametrize(
    ("name", "content", "status", "words"),
    [
        ("captions.json", None, 2, ["no such file"]),
        ("captions-*.jsonl", None, 2, ["no such file"]),
        ("captions.json", b"", 3, ["empty"]),
        ("captions.json", b'["a.jpg", "a cat"]', 2, ["JSON array", "one object a line"]),
        ("captions.json", b'[{"image": "a.jpg", "words": "a cat"}]', 3, ["image, words", "--caption-column"]),
        ("captions.json", b"<html><body>404</body></html>", 2, ["web page", "check the download"]),
        ("captions.json", b"\x1f\x8b\x08\x00rubbish", 2, ["gzip", "gunzip"]),
        ("captions.csv", PHOTO, 2, ["JPEG image"]),
        ("captions.txt", b"just some words\n", 2, ["--format"]),
        ("captions.csv", b"photo,words\na.jpg,a cat\n", 3, ["photo, words", "--caption-column"]),
        ("captions.tsv", b"a cat on a mat\thttp://x/0.jpg\n", 3, ["--no-header --caption-column 1 --image-column 2"]),
        (
            "captions.jsonl",
            b'{"caption": "a", "n": ' + b"9" * 5000 + b"}\n",
            3,
            ["json_syntax 1", "row 1 of captions.jsonl"],
        ),
        ("captions.json", json.dumps(COCO).encode()[:-20], 3, ["cut or damaged", "byte"]),
        ("captions.parquet", b"PAR1\x00\x00\x00\x00", 3, ["cut or damaged"]),
        ("captions.jsonl", b'{"caption": ""}\n', 3, ["empty_caption 1", "none is left"]),
        ("pairs.tar", _cut_tar(), 3, ["damaged_archive 1", "none is left"]),
    ],
)
def test_unusable_input(name: str, content: bytes | Path | None, status: int, words: list[str], tmp_path: Path) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.read_bytes())
    refused(negmine("parse", path, "--work", tmp_path / "work", "--workers", 1), status, *words)
    assert not (tmp_path / "work" / "negatives").exists()


def test_other_unusable_inputs(tmp_path: Path) -> None:
    work = tmp_path / "work"
    (tmp_path / "folder").mkdir()
    refused(negmine("parse", tmp_path / "folder", "--work", work), 2, "holds no .tar files")
    refused(negmine("parse", CAPTIONS, "--format", "jsonnl", "--work", work), 2, "the nearest: jsonl")
    refused(negmine("parse", "nowhere://bucket/captions.jsonl", "--work", work), 2, "s3://, gs://, hf://, https://")


def test_the_columns_are_named_on_the_command_line(tmp_path: Path) -> None:
    path, work = tmp_path / "gcc.txt", tmp_path / "work"
    path.write_text("two dogs behind a red car\thttp://x/0.jpg\nthree people ride brown horses\thttp://x/1.jpg\n")
    named = ["--no-header", "--caption-column", 1, "--image-column", 2, "--delimiter", "tab"]
    figures = succeed("parse", path, *named, "--work", work, "--workers", 1, "--json").figures
    assert (figures["columns"], figures["pairs"]) == ("caption <- 1, image <- 2", 2)
    refused(negmine("parse", path, *named[:-1], "; ", "--work", work), 2, "cannot separate columns")
    refused(
        negmine("parse", path, *named, "--key-column", 3, "--work", work, "--overwrite"), 2, "there is no column '3'"
    )
    refused(negmine("retrieve", *named, "--work", work), 2, "PAIRS are not given")


def test_mended_input_is_taken_by_the_same_command(tmp_path: Path) -> None:
    """Nothing was made of the damaged file, so nothing stands against the whole one."""
    path = tmp_path / "captions.json"
    command = ["parse", path, "--work", tmp_path / "work", "--workers", 1]
    path.write_text(json.dumps(COCO)[:-20])
    refused(negmine(*command), 3, path, "run the same command")
    path.write_text(json.dumps(COCO))
    assert succeed(*command, "--json").figures["pairs"] == 1


# --- rows ------------------------------------------------------------------------------------------------------------


def _bomb() -> bytes:
    """A PNG of a few bytes that claims 20,000 x 20,000 pixels."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def _images(folder: Path) -> None:
    photo = PHOTO.read_bytes()
    gif = io.BytesIO()
    Image.new("RGB", (8, 8)).save(gif, "GIF")
    files = {
        "good.jpg": photo,
        "cut.jpg": photo[: len(photo) // 2],
        "text.jpg": b"I am no image\n",
        "gif.jpg": gif.getvalue(),
        "bomb.png": _bomb(),
        "empty.jpg": b"",
        "header.jpg": photo[:20],
    }
    for name, content in files.items():
        (folder / name).write_bytes(content)
    (folder / "folder.jpg").mkdir()


BAD_ROWS: list[tuple[str, object]] = [
    ("no_caption", {"image": "good.jpg"}),
    ("no_caption", {"image": "good.jpg", "caption": None}),
    ("empty_caption", {"image": "good.jpg", "caption": "   "}),
    ("empty_caption", {"image": "good.jpg", "caption": "\u0000\u0007\u001b\u202e"}),
    ("caption_not_text", {"image": "good.jpg", "caption": [5]}),
    ("no_caption", {"image": "good.jpg", "caption": "nan"}),
    ("no_caption", {"image": "good.jpg", "caption": "..."}),
    ("not_utf8", '{"image": "good.jpg", "caption": "half a pair \\ud83d"}'),
    ("json_syntax", '{"image": "good.jpg", "caption": "a cat'),
    ("not_an_object", "[1, 2]"),
    ("key_characters", {"key": "a.b", "image": "good.jpg", "caption": "a dotted key"}),
    ("duplicate_key", {"key": "same", "image": "good.jpg", "caption": "a key for the second time"}),
    ("duplicate_pair", {"image": "good.jpg", "caption": "A cat sits on a mat."}),
    ("no_image", {"caption": "a caption without an image"}),
    ("missing_image", {"image": "absent.jpg", "caption": "a cat"}),
    ("missing_image", {"image": "zero\u0000byte.jpg", "caption": "a cat"}),
    ("missing_image", {"image": "x" * 5000, "caption": "a cat"}),
    ("missing_image", {"image": "folder.jpg", "caption": "a cat"}),
    ("path_outside", {"image": "../good.jpg", "caption": "a cat"}),
    ("path_outside", {"image": "/etc/hostname", "caption": "a cat"}),
    ("damaged_image", {"image": "cut.jpg", "caption": "a cat"}),
    ("image_format", {"image": "text.jpg", "caption": "a cat"}),
    ("image_format", {"image": "gif.jpg", "caption": "a cat"}),
    ("image_format", {"image": "empty.jpg", "caption": "a cat"}),
    ("image_format", {"image": "header.jpg", "caption": "a cat"}),
    ("too_many_pixels", {"image": "bomb.png", "caption": "a cat"}),
]
GOOD_ROWS: list[object] = [
    {"image": "good.jpg", "caption": "A cat sits on a mat."},
    {"key": "same", "image": "good.jpg", "caption": "Two dogs run behind a red car."},
    {"key": "long", "image": "good.jpg", "caption": "a brown dog and " * 6_250},
    {"key": "unbroken", "image": "good.jpg", "caption": "a" * 100_000},
    {"key": "control", "image": "good.jpg", "caption": "a\u0000 man\u001b[31m rides\ta \u200bhorse\r\n"},
    {"key": "russian", "image": "good.jpg", "caption": "кошка сидит на ковре"},
    {"key": "chinese", "image": "good.jpg", "caption": "一只猫坐在垫子上"},
    {"key": "arabic", "image": "good.jpg", "caption": "قطة تجلس على حصيرة"},
    {"key": "emoji", "image": "good.jpg", "caption": "😀 🐈"},
    {"key": "decomposed", "image": "good.jpg", "caption": "a cafe\u0301 with a dog"},
]


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    _images(tmp_path)
    return write_lines(tmp_path / "captions.jsonl", [*GOOD_ROWS, *(row for _, row in BAD_ROWS)])


def test_bad_rows_are_counted_and_listed(mixed: Path, tmp_path: Path) -> None:
    command = ["parse", mixed, "--images", tmp_path, "--work", tmp_path / "work", "--workers", 1]
    expected = Counter(reason for reason, _ in BAD_ROWS)
    refused(
        negmine(*command, "--max-bad", 0.5),
        3,
        f"{len(BAD_ROWS)} of {len(BAD_ROWS) + len(GOOD_ROWS)} rows",
        "--max-bad 0.5",
        "rejected.parquet",
        "missing_image 4",
    )
    figures = succeed(*command, "--max-bad", 0.9, "--json").figures
    assert figures["rows rejected"] == expected
    assert figures["rows read"] == figures["pairs"] + sum(expected.values()) == len(GOOD_ROWS) + len(BAD_ROWS)
    assert figures["captions changed"] == {"control": 2, "space": 3, "length": 2, "nfc": 1}
    listed = rejected(tmp_path / "work" / "pairs")
    assert Counter(row["reason"] for row in listed) == expected
    lines = {row["row"]: row["reason"] for row in listed}
    assert lines == {number: reason for number, (reason, _) in enumerate(BAD_ROWS, len(GOOD_ROWS) + 1)}


def test_unusual_captions_go_through_to_the_shards(mixed: Path, tmp_path: Path) -> None:
    write_lines(mixed, GOOD_ROWS)
    work, out = tmp_path / "work", tmp_path / "shards"
    figures = succeed("parse", mixed, "--images", tmp_path, "--work", work, "--workers", 1, "--json").figures
    assert figures["no negative because"]["script"] >= 3
    succeed("shard", "--work", work, "--out", out, "--train-fraction", 1, "--workers", 1)
    with tarfile.open(out / "shard-00000.tar") as tar:
        texts = {name: tar.extractfile(name).read().decode() for name in tar.getnames() if name.endswith(".txt")}  # type: ignore[union-attr]
    assert texts["russian.txt"] == "кошка сидит на ковре"
    assert texts["control.txt"] == "a man[31m rides a horse"
    assert texts["decomposed.txt"] == "a caf\u00e9 with a dog"
    assert len(texts["unbroken.txt"]) == 2_000
    assert 1_900 < len(texts["long.txt"]) <= 2_000
    assert len(texts) == len(GOOD_ROWS)


def test_images_that_vanish_before_shard(tmp_path: Path) -> None:
    """They were there when the pairs were read: the samples are refused, listed, and too many of them stop the run."""
    _images(tmp_path)
    rows = [{"image": f"{number}.jpg", "caption": f"image number {number}"} for number in range(10)]
    for number in range(10):
        (tmp_path / f"{number}.jpg").write_bytes(PHOTO.read_bytes())
    captions = write_lines(tmp_path / "captions.jsonl", rows)
    succeed("parse", captions, "--images", tmp_path, "--work", tmp_path / "work", "--workers", 1)
    (tmp_path / "3.jpg").unlink()
    (tmp_path / "4.jpg").write_bytes(b"no image any more")
    command = ["shard", "--work", tmp_path / "work", "--out", tmp_path / "out", "--train-fraction", 1, "--workers", 1]
    refused(negmine(*command), 3, "2 of 10 rows", "missing_image 1", "image_format 1")
    figures = succeed(*command, "--max-bad", 0.2, "--json").figures
    assert (figures["train"]["samples"], figures["train"]["rejected"]) == (8, 2)
    assert sorted(row["reason"] for row in rejected(tmp_path / "out")) == ["image_format", "missing_image"]


# --- tars ------------------------------------------------------------------------------------------------------------


class _Payload:
    """Unpickling this makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, (f"touch {self.mark}",)


def test_a_hostile_tar(tmp_path: Path) -> None:
    """What leaves the folder, links, or is ambiguous is refused member by member; nothing in it is ever run."""
    photo, mark = PHOTO.read_bytes(), tmp_path / "executed"
    payload = pickle.dumps(_Payload(mark))
    path = tmp_path / "pairs.tar"
    with tarfile.open(path, "w") as tar:
        for extension, content in {
            "jpg": photo,
            "txt": b"two dogs behind a red car",
            "pkl": payload,
            "pyd": payload,
            "pickle": payload,
            "pth": payload,
            "npy": payload,
            "cls": payload,
        }.items():
            _add(tar, f"good.{extension}", content)
        _add(tar, "../outside.jpg", photo)
        _add(tar, "../outside.txt", b"a cat")
        _add(tar, "/absolute.txt", b"a cat")
        _add(tar, "link.jpg", type=tarfile.SYMTYPE, linkname="/etc/passwd")
        _add(tar, "hard.jpg", type=tarfile.LNKTYPE, linkname="good.jpg")
        _add(tar, "device.jpg", type=tarfile.CHRTYPE)
        _add(tar, "img_1.5.jpg", photo)
        _add(tar, "twice.jpg", photo)
        _add(tar, "twice.jpg", photo)
        _add(tar, "twice.txt", b"a cat")
        _add(tar, "other.jpg", photo)
        _add(tar, "other.txt", b"three people ride brown horses")
        _add(tar, "good.txt", b"the same key once more")
        _add(tar, "bare.jpg", photo)
    work, out = tmp_path / "work", tmp_path / "out"
    figures = succeed("parse", path, "--work", work, "--max-bad", 0.9, "--workers", 1, "--json").figures
    assert figures["rows rejected"] == {
        "unsafe_path": 3,
        "not_a_regular_file": 3,
        "dotted_key": 1,
        "duplicate_member": 1,
        "members_not_adjacent": 1,
        "no_caption": 1,
    }
    assert (figures["pairs"], figures["rows read"]) == (2, 12)
    succeed("shard", "--work", work, "--out", out, "--train-fraction", 1, "--workers", 1)
    succeed("verify", out)
    with tarfile.open(out / "shard-00000.tar") as tar:
        assert {Path(name).suffix for name in tar.getnames()} == {".jpg", ".txt", ".json"}
    assert not mark.exists()
    pickle.loads(payload)
    assert mark.exists()  # the payload works


def test_a_payload_in_our_own_shards_is_not_run(shards: Path, tmp_path: Path) -> None:
    """It is found, because the tar is no longer what was written."""
    mark, mine = tmp_path / "executed", copy(shards, tmp_path / "shards")
    tar = mine / "shard-00000.tar"
    with tarfile.open(shards / tar.name) as old, tarfile.open(tar, "w") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        _add(new, "evil.pkl", pickle.dumps(_Payload(mark)))
    refused(negmine("verify", mine), 4, "1 problem found", tar.name)
    assert not mark.exists()


def test_a_dry_run_of_shard_has_no_plan_and_no_neighbours(tmp_path: Path) -> None:
    for option in (["--plan"], ["--image-negatives", 1]):
        refused(negmine("shard", "--dry-run", *option, "--work", tmp_path / "work"), 2, "dry run", "leave out")
