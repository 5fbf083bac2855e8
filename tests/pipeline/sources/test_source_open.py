"""Recognising formats, finding files, folders of images, URLs, and the digest of an input."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import Rejected
from negmine.sources import SOURCES, Noted, Row, digest, image_root, open_source
from negmine.store import input_files as files

from tests.pipeline.sources.reading import read_all


def parquet() -> bytes:
    stream = io.BytesIO()
    pq.write_table(pa.table({"image": ["a.jpg"], "caption": ["a cat"]}), stream)
    return stream.getvalue()


def tar() -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, content in (("k1.jpg", b"jpeg"), ("k1.txt", b"a cat")):
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return stream.getvalue()


EXAMPLES = {
    "coco": json.dumps(
        {"images": [{"id": 1, "file_name": "a.jpg"}], "annotations": [{"id": 2, "image_id": 1, "caption": "a cat"}]}
    ).encode(),
    "karpathy": json.dumps({"images": [{"filename": "a.jpg", "sentences": [{"raw": "a cat"}]}]}).encode(),
    "json": b'[{"image": "a.jpg", "caption": "a cat"}]',
    "jsonl": b'{"image": "a.jpg", "caption": "a cat"}\n',
    "csv": b"image,caption\na.jpg,a cat\n",
    "tsv": b"image\tcaption\na.jpg\ta cat\n",
    "flickr": b"a.jpg#0\ta cat\n",
    "parquet": parquet(),
    "tars": tar(),
}


@pytest.mark.parametrize("ending", ["json", "jsonl", "csv", "tsv", "parquet", "tar", "token", "txt", ""])
@pytest.mark.parametrize("name", EXAMPLES)
def test_formats_are_recognised_by_content_whatever_the_ending(tmp_path: Path, name: str, ending: str) -> None:
    path = tmp_path / f"pairs.{ending}"
    path.write_bytes(EXAMPLES[name])
    source = open_source(str(path))
    assert source.name == name
    ((row,), _) = read_all(source, path)
    assert isinstance(row, Row)
    assert row.caption == "a cat"


@pytest.mark.parametrize("name", EXAMPLES)
def test_formats_are_read_from_urls(name: str) -> None:
    url = f"memory://sources_{name}/pairs.bin"
    with fsspec.open(url, "wb") as stream:
        stream.write(EXAMPLES[name])
    source = open_source(url)
    ((row,), _) = read_all(source, url)
    assert isinstance(row, Row)
    assert (source.name, row.source, row.caption) == (name, "pairs.bin", "a cat")
    assert (row.image or "").endswith(("a.jpg", "pairs.bin::k1.jpg"))
    assert image_root(source, url) == (f"memory://sources_{name}" if name == "tars" else None)


def test_url_patterns_and_folders() -> None:
    for name in ("0", "1"):
        with fsspec.open(f"memory://shards/{name}.tar", "wb") as stream:
            stream.write(tar())
    for url in ("memory://shards", "memory://shards/*.tar", "memory://shards/{0..1}.tar"):
        source = open_source(url)
        assert [(row.source, type(row)) for row in source.read(url)] == [("0.tar", Row), ("1.tar", Row)]
        assert image_root(source, url) == "memory://shards"


def test_an_ending_decides_only_where_the_content_does_not(tmp_path: Path) -> None:
    broken = tmp_path / "a.jsonl"
    broken.write_text("this is no JSON\n")
    assert open_source(str(broken)).name == "jsonl"
    with pytest.raises(UsageError, match="this is no JSON"):
        open_source(str(broken.rename(tmp_path / "a.dat")))


def test_a_named_format_overrides_the_content(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes(EXAMPLES["jsonl"])
    assert open_source(str(path), "flickr").name == "flickr"
    with pytest.raises(UsageError, match="the nearest: jsonl"):
        open_source(str(path), "jsonls")
    with pytest.raises(InputError, match="--format jsonl"):
        path.write_bytes(EXAMPLES["jsonl"] * 2)
        list(open_source(str(path), "json").read(str(path)))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\x1f\x8b\x08\x00rest", "gzip"),
        (b"PK\x03\x04rest", "zip"),
        ("image,caption\n".encode("utf-16"), "UTF-16"),
        (b'["a.jpg", "b.jpg"]', "not of objects"),
        (b'[{"a": "b"', "first object is broken, cut"),
        (b"\xff\xd8\xff\xe0", "JPEG"),
        (b"<html>not found</html>", "web page"),
        (b"hello", "hello"),
    ],
)
def test_what_is_no_input_is_named(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(content)
    with pytest.raises(UsageError, match=said):
        open_source(str(path))


ROW = {"image": "a.jpg", "caption": "a dog"}
NOTE = {"id": 2, "image_id": 7, "caption": "a dog"}
LONG = "x" * 200_000
"""Longer than the bytes by which most files are recognised."""


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("json", [{"notes": LONG} | ROW, ROW]),
        ("json", {"notes": LONG, "data": [ROW]}),
        ("json", {"makers": [{"name": "a"}], "notes": [LONG, LONG], "data": [ROW]}),
        ("json", [{"notes": LONG * 8} | ROW]),
        ("coco", {"info": {"notes": LONG}, "images": [{"id": 7, "file_name": "a.jpg"}], "annotations": [NOTE]}),
        ("coco", {"licenses": [{"text": LONG}], "annotations": [NOTE], "images": [{"id": 7, "file_name": "a.jpg"}]}),
        ("karpathy", {"images": [{"boxes": LONG, "filename": "a.jpg", "sentences": [{"raw": "a dog"}]}]}),
        ("jsonl", {"boxes": [{"name": LONG}]} | ROW),
        ("jsonl", ROW | {"notes": LONG}),
    ],
)
def test_what_is_recognised_behind_a_long_beginning(tmp_path: Path, name: str, body: Any) -> None:
    path = tmp_path / "file.data"
    path.write_text(json.dumps(body) + "\n" + (json.dumps(ROW) + "\n") * (name == "jsonl"))
    source = open_source(str(path))
    assert source.name == name
    rows, _ = read_all(source, path)
    assert all(isinstance(row, Row) and row.caption == "a dog" for row in rows) and rows


def test_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "empty.jsonl").touch()
    (tmp_path / "nothing").mkdir()
    (tmp_path / "00.tar").write_bytes(tar())
    with pytest.raises(InputError, match="empty"):
        open_source(str(tmp_path / "empty.jsonl"))
    with pytest.raises(UsageError, match=r"no \.tar files"):
        open_source(str(tmp_path / "nothing"))
    for missing in ("missing.jsonl", "*.parquet", "{01..02}.tar", "un{closed"):
        with pytest.raises(UsageError, match="no such file"):
            open_source(str(tmp_path / missing), "tars")
    with pytest.raises(UsageError, match="folder"):
        list(open_source(str(tmp_path), "jsonl").read(str(tmp_path)))
    with pytest.raises(UsageError, match="no folder"):
        list(SOURCES["folder"].read(str(tmp_path / "00.tar")))
    with pytest.raises(UsageError, match="is not known"):
        open_source("nosuch://bucket/a.jsonl")


def test_a_name_with_pattern_characters_is_a_name_first(tmp_path: Path) -> None:
    folder = tmp_path / "photos [2020]"
    folder.mkdir()
    (folder / "a{1}.jsonl").write_bytes(EXAMPLES["jsonl"])
    path = str(folder / "a{1}.jsonl")
    assert [row.source for row in read_all(open_source(path), path)[0]] == ["a{1}.jsonl"]


def test_relative_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub").mkdir()
    for name in ("a.tar", "sub/b.tar"):
        (tmp_path / name).write_bytes(tar())
    monkeypatch.chdir(tmp_path)
    for path, root, sources in (
        ("a.tar", ".", ["a.tar"]),
        ("sub/b.tar", "sub", ["b.tar"]),
        ("sub/../sub/*.tar", "sub", ["b.tar"]),
        ("{a,sub/b}.tar", ".", ["a.tar", "sub/b.tar"]),
    ):
        source = open_source(path)
        rows, _ = read_all(source, path)
        assert (image_root(source, path), [row.source for row in rows]) == (str(tmp_path / root), sources)
        for row in rows:
            assert isinstance(row, Row)
            assert Path(root, (row.image or "").partition("::")[0]).is_file()


# --- folder ----------------------------------------------------------------------------------------------------------


def tree(folder: Path, contents: dict[str, bytes]) -> str:
    for name, content in contents.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return str(folder)


def test_a_folder_of_images_with_text(tmp_path: Path) -> None:
    path = tree(
        tmp_path,
        {
            "b.jpg": b"p",
            "b.txt": "a cat\r\n\n  a café  \n".encode(),
            "a.1.PNG": b"p",
            "a.1.txt": b"dotted",
            "notes.md": b"x",
            "sub/c.webp": b"p",
            "sub/c.txt": b"deep",
            ".hidden/d.jpg": b"p",
            ".e.txt": b"x",
        },
    )
    source = open_source(path)
    assert (source.name, image_root(source, path)) == ("folder", path)
    assert [row for row in source.read(path) if not isinstance(row, Noted)] == [
        Row(1, "a.1.txt", "a.1.PNG", "dotted", None, None),
        Row(1, "b.txt", "b.jpg", "a cat", None, None),
        Row(3, "b.txt", "b.jpg", "a café", None, None),
        Row(1, "sub/c.txt", "sub/c.webp", "deep", None, None),
    ]


def test_a_folder_refuses_what_has_no_partner(tmp_path: Path) -> None:
    path = tree(
        tmp_path,
        {
            "a.jpg": b"p",
            "b.txt": b"x",
            "c.jpg": b"p",
            "c.png": b"p",
            "c.txt": b"x",
            "d.jpg": b"p",
            "d.txt": b" \n",
            "e.jpg": b"p",
            "e.txt": b"\xff\nfine",
        },
    )
    rows = [row for row in SOURCES["folder"].read(path) if not isinstance(row, Noted)]
    assert [(r.source, r.reason if isinstance(r, Rejected) else "ok") for r in rows] == [
        ("a.jpg", "no_caption"),
        ("b.txt", "no_image"),
        ("c.txt", "several_images"),
        ("d.txt", "no_caption"),
        ("e.txt", "not_utf8"),
        ("e.txt", "ok"),
    ]


def test_file_names_that_are_no_text_are_refused_in_storable_words(tmp_path: Path) -> None:
    name = b"caf\xe9".decode("utf-8", "surrogateescape")
    path = tree(tmp_path, {f"{name}.jpg": b"p", f"{name}.txt": b"x", "b.jpg": b"p", "b.txt": b"y"})
    good, bad = SOURCES["folder"].read(path)
    assert isinstance(good, Row)
    assert isinstance(bad, Rejected)
    assert bad.reason == "not_utf8"
    assert all(text.encode() for text in (bad.source, bad.detail or "-"))


# --- digest ----------------------------------------------------------------------------------------------------------


def test_digest_follows_content_and_not_place_or_time(tmp_path: Path) -> None:
    contents = {"a.jpg": b"p", "a.txt": b"one", "sub/b.jpg": b"q", "sub/b.txt": b"two"}
    first, second = (tree(tmp_path / name, contents) for name in ("x", "y"))
    Path(second, "a.txt").touch()
    assert digest(first) == digest(second)
    seen = {digest(first)}
    for name, content in (("sub/b.txt", b"six"), ("a.jpg", b"longer"), ("c.txt", b"new")):
        tree(Path(first), {name: content})
        seen.add(digest(first))
    assert len(seen) == 4


def test_digest_of_files_and_patterns(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(EXAMPLES["jsonl"] * 50_000)
    before = digest(str(path))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert digest(str(path)) != before
    for name in ("0.tar", "1.tar"):
        (tmp_path / name).write_bytes(tar())
    assert digest(f"{tmp_path}/*.tar") == digest(f"{tmp_path}/{{0,1}}.tar") == digest(str(tmp_path))
    assert digest(f"{tmp_path}/*.tar") != digest(str(tmp_path / "0.tar"))


def test_lines_end_where_they_end() -> None:
    stream = io.BytesIO(b"\xef\xbb\xbfa\r\n\nb\x0bc\xc2\x85d")
    assert list(files.numbered_lines(stream)) == [(1, b"a\r\n"), (2, b"\n"), (3, b"b\x0bc\xc2\x85d")]


def big_tar(path: Path, images: int = 40) -> bytearray:
    """Four megabytes of samples."""
    with tarfile.open(path, "w") as archive:
        for n in range(images):
            for name, content in ((f"{n:03d}.jpg", bytes([n]) * 100_000), (f"{n:03d}.txt", b"a cat %03d" % n)):
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return bytearray(path.read_bytes())


def test_digest_follows_every_text_header_and_image_of_a_tar(tmp_path: Path) -> None:
    path = tmp_path / "0.tar"
    whole = big_tar(path)
    seen = {digest(str(path))}
    middle = whole.index(b"a cat 020")
    image = whole.index(b"021.jpg") + 512
    for at in (middle, image, whole.index(b"022.txt"), whole.index(b"023.jpg"), len(whole) - 1):
        content = bytearray(whole)
        content[at] ^= 1
        path.write_bytes(content)
        seen.add(digest(str(path)))
    for content in (whole[:-512], whole + bytes(512), whole[:middle], bytearray(whole).replace(b"ustar", b"USTAR", 1)):
        path.write_bytes(content)
        seen.add(digest(str(path)))
    assert len(seen) == 10
    whole[image + 50_000] ^= 1  # the inside of an image is not read, as in folders
    path.write_bytes(whole)
    assert digest(str(path)) in seen


@pytest.mark.parametrize("size", [b"-0000002000", b"99999999999", b"five", b"\x80" + bytes(10)])
def test_digest_of_a_tar_with_a_wrong_size(tmp_path: Path, size: bytes) -> None:
    path = tmp_path / "0.tar"
    content = big_tar(path, 3)
    content[124 : 124 + len(size)] = size
    path.write_bytes(content)
    before = digest(str(path))
    content[-20_000] ^= 1
    path.write_bytes(content)
    assert digest(str(path)) != before
