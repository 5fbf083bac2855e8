"""WebDataset tars: what is read, what is refused, and that nothing in them is ever run."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from negmine.errors import InputError
from negmine.records import Rejected, Sample
from negmine.shards.format import write_samples
from negmine.sources import Row, open_source, tars

Members = list[tuple[str, bytes]]


def make(path: Path, members: Members, edit: Callable[[tarfile.TarFile], None] | None = None) -> str:
    with tarfile.open(path, "w") as tar:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        if edit:
            edit(tar)
    return str(path)


def read(path: str) -> list[Row | Rejected]:
    return list(open_source(path).read(path))


def reasons(rows: list[Row | Rejected]) -> list[tuple[int | None, str]]:
    return [(row.row, row.reason if isinstance(row, Rejected) else "ok") for row in rows]


def sample(key: str, caption: str = "a cat", image: bytes = b"jpeg") -> Members:
    return [(f"{key}.jpg", image), (f"{key}.txt", caption.encode())]


def test_img2dataset_output(tmp_path: Path) -> None:
    members: Members = []
    for n in range(3):
        body = {"caption": f"caption {n} é", "url": "http://x", "key": f"00000000{n}", "status": "success", "width": 9}
        members += [(f"00000000{n}.jpg", bytes([n]) * (700 * n)), (f"00000000{n}.json", json.dumps(body).encode())]
        members += [(f"00000000{n}.txt", f"caption {n} é".encode())]
    (tmp_path / "00000_stats.json").write_text("{}")
    (tmp_path / "00000.parquet").write_bytes(b"PAR1")
    content = Path(make(tmp_path / "00000.tar", members)).read_bytes()
    rows = read(str(tmp_path))
    assert [(r.key, r.caption, r.image, r.row) for r in rows if isinstance(r, Row)] == [
        (f"00000000{n}", f"caption {n} é", f"00000.tar::00000000{n}.jpg", 3 * n + 1) for n in range(3)
    ]
    for n, row in enumerate(rows):
        assert isinstance(row, Row)
        assert row.image_offset is not None
        assert row.image_bytes is not None
        assert content[row.image_offset : row.image_offset + row.image_bytes] == bytes([n]) * (700 * n)


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])
def test_offsets_point_at_the_picture_whatever_the_tar_format(tmp_path: Path, form: int) -> None:
    stem = "d" * 90 + "/" + "k" * 90
    with tarfile.open(tmp_path / "a", "w", format=form) as tar:
        for name, content in [*sample(stem, image=b"picture one"), *sample("b", image=b"picture two")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    content = (tmp_path / "a").read_bytes()
    first, second = (row for row in read(str(tmp_path / "a")) if isinstance(row, Row))
    for row, picture in ((first, b"picture one"), (second, b"picture two")):
        assert row.image_offset is not None
        assert content[row.image_offset :][: row.image_bytes] == picture
    assert (first.key, second.key) == (None, "b")  # a key with a folder is none that we could keep


def test_caption_and_image_id_from_json(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.tar",
        [
            ("a.png", b"p"), ("a.json", b'{"caption": "from json", "image_id": 7.0}'),
            ("b.JPG", b"p"), ("b.txt", b""), ("b.json", b'{"caption": "from json"}'),
            ("c.webp", b"p"), ("c.txt", b"from txt\n"), ("c.json", b'{"caption": "from json"}'),
            ("d.jpeg", b"p"), ("d.txt", b""), ("d.cls", b"5"),
        ],
    )  # fmt: skip
    assert [(r.key, r.caption, r.image_id) for r in read(path) if isinstance(r, Row)] == [
        ("a", "from json", "7"), ("b", "from json", None), ("c", "from txt\n", None), ("d", "", None),
    ]  # fmt: skip


def test_our_own_shards_are_read_without_their_image_negatives(tmp_path: Path) -> None:
    from negmine.records import ImageNegative

    negative = ImageNegative("neg0.jpg", "a dog", "retrieved", "i2i")
    with (tmp_path / "s.tar").open("wb") as stream:
        write_samples(stream, [
            Sample("k1", "i1", "a cat", b"one", "jpg", ("a cat",), (), (negative,), (b"neg",)),
            Sample("k2", "i2", "a cow", b"two", "png", ("a cow",)),
        ])  # fmt: skip
    rows = read(str(tmp_path / "s.tar"))
    assert [(r.key, r.image_id, r.caption) for r in rows if isinstance(r, Row)] == [
        ("k1", "i1", "a cat"), ("k2", "i2", "a cow"),
    ]  # fmt: skip
    assert len(rows) == 2


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ([("../../x.jpg", b"p")], "unsafe_path"),
        ([("a/../../x.txt", b"p")], "unsafe_path"),
        ([("/etc/x.jpg", b"p")], "unsafe_path"),
        ([("img_1.5.jpg", b"p")], "dotted_key"),
        ([("x.jpg", b"p"), ("x.jpg", b"q"), ("x.txt", b"c")], "duplicate_member"),
        ([("x.jpg", b"p"), ("x.png", b"q"), ("x.txt", b"c")], "several_images"),
        ([("x.txt", b"c")], "no_image"),
        ([("x.gif", b"p"), ("x.txt", b"c")], "no_image"),
        ([("index.json", b"{}")], "no_image"),
        ([("x.jpg", b"p")], "no_caption"),
        ([("x.jpg", b"p"), ("x.json", b"{}")], "no_caption"),
        ([("x.jpg", b"p"), ("x.json", b'{"caption": null}')], "no_caption"),
        ([("x.jpg", b"p"), ("x.json", b'{"caption": 5}')], "caption_not_text"),
        ([("x.jpg", b"p"), ("x.json", b'{"caption"')], "json_syntax"),
        ([("x.jpg", b"p"), ("x.json", b"[1]")], "not_an_object"),
        ([("x.jpg", b"p"), ("x.txt", b"\xff\xfe")], "not_utf8"),
        ([("x.jpg", b"p"), ("x.txt", b"c" * (tars.MAX_TEXT_BYTES + 1))], "member_too_large"),
    ],
)
def test_bad_members_are_refused_and_the_rest_is_read(tmp_path: Path, bad: Members, reason: str) -> None:
    rows = read(make(tmp_path / "a.tar", [*sample("first"), *bad, *sample("last")]))
    assert [row.key for row in rows if isinstance(row, Row)] == ["first", "last"]
    refused = [row for row in rows if isinstance(row, Rejected)]
    assert reason in {row.reason for row in refused}
    assert all(row.row is not None and 3 <= row.row <= 2 + len(bad) for row in refused)


def test_links_and_devices_are_refused_inside_a_sample_too(tmp_path: Path) -> None:
    def edit(tar: tarfile.TarFile) -> None:
        for number, kind in enumerate((tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE)):
            info = tarfile.TarInfo(f"link{number}.jpg")
            info.type, info.linkname = kind, "/etc/passwd"
            tar.addfile(info)
        info = tarfile.TarInfo("folder")
        info.type = tarfile.DIRTYPE
        tar.addfile(info)

    rows = read(make(tmp_path / "a.tar", sample("a"), edit))
    assert reasons(rows) == [
        *[(n, "not_a_regular_file") for n in (3, 4, 5, 6)], (1, "ok"),
    ]  # fmt: skip


def test_members_of_a_key_must_be_adjacent(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tar", [("a.jpg", b"p"), *sample("b"), ("a.txt", b"late"), *sample("b")])
    assert reasons(read(path)) == [
        (1, "no_caption"), (2, "ok"), (4, "members_not_adjacent"), (5, "members_not_adjacent"),
    ]  # fmt: skip


class Payload:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, ...]:
        return Path.touch, (self.mark,)


def test_a_pickle_in_a_tar_is_never_executed(tmp_path: Path) -> None:
    mark = tmp_path / "executed"
    payload = pickle.dumps(Payload(mark))
    names = [f"a.{ending}" for ending in ("pyd", "pkl", "pickle", "pth", "npy", "cls")]
    rows = read(make(tmp_path / "a.tar", [*sample("a"), *[(name, payload) for name in names], ("b.pyd", payload)]))
    assert reasons(rows) == [(1, "ok"), (9, "no_image")]
    assert not mark.exists()
    pickle.loads(payload)  # the payload is live
    assert mark.exists()


@pytest.mark.parametrize("where", ["content", "header", "boundary", "padding"])
def test_a_cut_tar_is_an_error(tmp_path: Path, where: str) -> None:
    path = Path(make(tmp_path / "a.tar", [m for n in range(20) for m in sample(f"k{n}", image=b"x" * 600)]))
    size = 512 + 1024 + 512 + 512  # one sample: header, 600 bytes padded, header, caption padded
    cut = {"content": 9 * size + 700, "header": 9 * size + 100, "boundary": 9 * size, "padding": 20 * size - 200}[where]
    path.write_bytes(path.read_bytes()[:cut])
    with pytest.raises(InputError, match=r"a\.tar, (at or after )?byte \d"):
        read(str(path))


def test_a_broken_header_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = Path(make(tmp_path / "a.tar", [m for n in range(20) for m in sample(f"k{n}")]))
    content = bytearray(path.read_bytes())
    content[2048 * 5 + 10] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="byte 10,240"):
        read(str(path))


def test_folders_and_patterns_read_every_tar_in_order(tmp_path: Path) -> None:
    for name in ("02", "00", "01"):
        make(tmp_path / f"{name}.tar", sample(f"k{name}"))
    (tmp_path / "heldout").mkdir()
    make(tmp_path / "heldout" / "00.tar", sample("held"))
    for path in (str(tmp_path), f"{tmp_path}/*.tar", f"{tmp_path}/{{00..02}}.tar"):
        rows = [row for row in read(path) if isinstance(row, Row)]
        assert [(row.source, row.key) for row in rows] == [("00.tar", "k00"), ("01.tar", "k01"), ("02.tar", "k02")]


def test_memory_does_not_grow_with_the_bytes_of_a_tar(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tar", [m for n in range(5_000) for m in sample(f"k{n}", image=b"x" * 6_000)])
    source = open_source(path)
    tracemalloc.start()
    assert sum(isinstance(row, Row) for row in source.read(path)) == 5_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3_000_000  # 30 MB of pictures; 10,000 member headers alone would be 10 MB
