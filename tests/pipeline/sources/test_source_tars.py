"""WebDataset tars: what is read, what is refused, and that nothing in them is ever run."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import tracemalloc
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from negmine.base.errors import UsageError
from negmine.contract.records import Rejected, Sample
from negmine.contract.shard_format import write_samples
from negmine.sources import Noted, Row, captions, digest, open_source

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
    return [row for row in open_source(path).read(path) if not isinstance(row, Noted)]


def counted(path: str | Path) -> Counter[str]:
    """Rows, refusals by reason and notes."""
    return Counter(map(kind, open_source(str(path)).read(str(path))))


def kind(found: Row | Rejected | Noted) -> str:
    return found.reason if isinstance(found, Rejected) else found.what if isinstance(found, Noted) else "row"


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
def test_offsets_point_at_the_image_whatever_the_tar_format(tmp_path: Path, form: int) -> None:
    stem = "d" * 90 + "/" + "k" * 90
    with tarfile.open(tmp_path / "a", "w", format=form) as tar:
        for name, content in [*sample(stem, image=b"image one"), *sample("b", image=b"image two")]:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    content = (tmp_path / "a").read_bytes()
    first, second = (row for row in read(str(tmp_path / "a")) if isinstance(row, Row))
    for row, content_of in ((first, b"image one"), (second, b"image two")):
        assert row.image_offset is not None
        assert content[row.image_offset :][: row.image_bytes] == content_of
    assert (first.key, second.key) == (None, "b")  # a key with a folder is none that we could keep


def test_caption_and_image_id_from_json(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.tar",
        [
            ("a.png", b"p"),
            ("a.json", b'{"caption": "from json", "image_id": 7.0}'),
            ("b.JPG", b"p"),
            ("b.txt", b""),
            ("b.json", b'{"caption": "from json"}'),
            ("c.webp", b"p"),
            ("c.txt", b"from txt\n"),
            ("c.json", b'{"caption": "from json"}'),
            ("d.jpeg", b"p"),
            ("d.txt", b""),
            ("d.cls", b"5"),
        ],
    )
    assert [(r.key, r.caption, r.image_id) for r in read(path) if isinstance(r, Row)] == [
        ("a", "from json", "7"),
        ("b", "from json", None),
        ("c", "from txt", None),
    ]
    assert reasons(read(path))[-1] == (9, "no_caption")


def test_our_own_shards_are_read_without_their_image_negatives(tmp_path: Path) -> None:
    from negmine.contract.records import ImageNegative

    negative = ImageNegative("neg0.jpg", "a dog", "retrieved", "i2i")
    with (tmp_path / "s.tar").open("wb") as stream:
        write_samples(
            stream,
            [
                Sample("k1", "i1", "a cat", b"one", "jpg", ("a cat",), (), (negative,), (b"neg",)),
                Sample("k2", "i2", "a cow", b"two", "png", ("a cow",)),
            ],
        )
    rows = read(str(tmp_path / "s.tar"))
    assert [(r.key, r.image_id, r.caption) for r in rows if isinstance(r, Row)] == [
        ("k1", "i1", "a cat"),
        ("k2", "i2", "a cow"),
    ]
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
        ([("x.jpg", b"p"), ("x.txt", b"c" * (captions.MAX_TEXT_BYTES + 1))], "member_too_large"),
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
        *[(n, "not_a_regular_file") for n in (3, 4, 5, 6)],
        (1, "ok"),
    ]


def test_members_of_a_key_must_be_adjacent(tmp_path: Path) -> None:
    path = make(tmp_path / "a.tar", [("a.jpg", b"p"), *sample("b"), ("a.txt", b"late"), *sample("b")])
    assert reasons(read(path)) == [
        (1, "no_caption"),
        (2, "ok"),
        (4, "members_not_adjacent"),
        (5, "members_not_adjacent"),
    ]


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


@pytest.mark.parametrize("where", ["content", "header", "boundary", "padding", "nothing"])
def test_a_cut_tar_keeps_what_is_before_the_cut_and_is_counted(tmp_path: Path, where: str) -> None:
    path = Path(make(tmp_path / "a.tar", [m for n in range(20) for m in sample(f"k{n}", image=b"x" * 600)]))
    size = 512 + 1024 + 512 + 512  # one sample: header, 600 bytes padded, header, caption padded
    cut, whole = {
        "content": (9 * size + 700, 9),
        "header": (9 * size + 100, 9),
        "boundary": (9 * size, 9),
        "padding": (20 * size - 200, 20),
        "nothing": (0, 0),
    }[where]
    path.write_bytes(path.read_bytes()[:cut])
    make(tmp_path / "b.tar", sample("after"))
    reason = "damaged_archive" if cut else "empty_archive"
    assert counted(tmp_path) == {"row": whole + 1, reason: 1}


def test_a_hole_in_the_middle_costs_only_itself(tmp_path: Path) -> None:
    path = Path(make(tmp_path / "a.tar", [m for n in range(20) for m in sample(f"k{n}")]))
    whole = path.read_bytes()
    header = 2048 * 5  # of the sixth image, whose content is one block
    for hole in (whole[header : header + 10] + b"!" + whole[header + 11 : header + 512], bytes(512), bytes(1024)):
        path.write_bytes(whole[:header] + hole + whole[header + len(hole) :])
        assert counted(path) == {"row": 19, "damaged_archive": 1, "no_image": 1}
        rows = read(str(path))
        assert "byte 10,240 to 11,264" in next(r.detail or "" for r in rows if kind(r) == "damaged_archive")
        assert [row.key for row in rows if isinstance(row, Row)] == [f"k{n}" for n in range(20) if n != 5]
    path.write_bytes(whole[:header] + bytes(4096) + whole[header + 4096 :])  # a page: two whole samples
    assert counted(path) == {"row": 18, "damaged_archive": 1}


def test_joined_tars_are_read_to_the_last(tmp_path: Path) -> None:
    one, two = (Path(make(tmp_path / name, sample(name[0]))).read_bytes() for name in ("a.tar", "b.tar"))
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "x.tar").write_bytes(one + two)
    assert counted(tmp_path / "both") == {"row": 2, "members_after_end": 1}


@pytest.mark.parametrize("tail", [b"x", b"rubbish" * 1_000, bytes(2048) + b"x" * 512])
def test_rubbish_after_the_end_is_counted(tmp_path: Path, tail: bytes) -> None:
    path = Path(make(tmp_path / "a.tar", sample("a")))
    path.write_bytes(path.read_bytes() + tail)
    assert counted(path) - Counter(members_after_end=1) == {"row": 1, "damaged_archive": 1}


def test_missing_and_unreadable_archives_are_refused_one_by_one(tmp_path: Path) -> None:
    make(tmp_path / "00.tar", sample("a"))
    (tmp_path / "02.tar").write_bytes(b"noise" * 1_000)
    (tmp_path / "03.tar").touch()
    make(tmp_path / "04.tar", sample("b"))
    path = f"{tmp_path}/{{00..04}}.tar"
    assert reasons(read(path)) == [
        (1, "ok"),
        (None, "missing_archive"),
        (None, "damaged_archive"),
        (None, "empty_archive"),
        (1, "ok"),
    ]
    digest(path)
    assert counted(f"{tmp_path}/{{03..04}}.tar") == {"empty_archive": 1, "row": 1}  # recognised by the second
    with pytest.raises(UsageError, match="no such file"):
        open_source(f"{tmp_path}/{{05..06}}.tar")


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
    assert peak < 3_000_000  # 30 MB of images; 10,000 member headers alone would be 10 MB


# --- what people have ------------------------------------------------------------------------------------------------

CASES = Path(__file__).parents[2] / "cases"


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ("tars/clipbench", {"row": 30, "several_captions_of_one_text": 10}),
        ("tars/folderform", {"row": 30, "several_captions_of_one_text": 10}),
        *[
            (f"tars/{case}", {"row": 10})
            for case in ("json_text", "json_Caption", "json_captions", "json_prompt", "ext")
        ],
        *[(f"tars/{case}", {"row": 10}) for case in ("emptyshard", "upper", "extra3", "leftovers")],
        ("tars/extra", {"row": 10, "extra_member": 10}),
        ("tars/badjson", {"row": 10, "broken_json": 2}),
        ("tars/zerobyte", {"row": 10, "empty_archive": 1}),
        ("tars/tworuns", {"row": 20}),
        ("tars/doubledot", {"dotted_key": 10}),
        ("tars/nameext", {"no_caption": 10, "extra_member": 10}),
        ("tars/gif", {"row": 7, "no_image": 3}),
        ("tars/sorted", {"no_caption": 10, "members_not_adjacent": 10}),
        ("tars/twofolders", {"no_caption": 10, "no_image": 10}),
        ("flickr_txt/openclip480.tar", {"dotted_key": 10}),
        ("attack/zeroed_block.tar", {"row": 19, "damaged_archive": 1, "no_image": 1}),
        ("attack/x_paxsparse2.tar", {"row": 1, "damaged_archive": 1}),
    ],
)
def test_cases(case: str, expected: dict[str, int]) -> None:
    assert counted(CASES / case) == expected


def test_a_tar_and_a_folder_of_the_same_files_have_the_same_captions() -> None:
    by_form = [
        [(row.image_id or row.image, row.caption) for row in read(str(CASES / "tars" / form)) if isinstance(row, Row)]
        for form in ("clipbench", "folderform")
    ]
    tar, folder = ([caption for _, caption in form] for form in by_form)
    assert tar == folder
    assert tar[:3] == [
        "a brown dog chases a white cat",
        "a brown dog chases a white cat outside",
        "there is a brown dog chases a white cat",
    ]
    assert all(len({image for image, _ in form}) == 10 for form in by_form)


@pytest.mark.parametrize("case", ["tars/doubledot", "tars/nameext", "flickr_txt/openclip480.tar"])
def test_what_keeps_a_dotted_name_from_being_read_is_said(case: str) -> None:
    refusals = [row for row in read(str(CASES / case)) if isinstance(row, Rejected)]
    assert all("dot" in (row.detail or "") and "rename" in (row.detail or "") for row in refusals)


def test_further_members_are_passed_over_wherever_they_lie(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.tar",
        [
            ("a.jpg", b"p"),
            ("a.blip.txt", b"a photo"),
            ("a.mask.png", b"m"),
            ("a.txt", b"a cat"),
            ("a.depth.JPG", b"d"),
            ("b.mask.png", b"m"),
            ("b.jpg", b"p"),
            ("b.txt", b"a dog"),
            ("._b.jpg", b"x"),
            ("d/..b.jpg", b"x"),
            ("a.late.png", b"m"),
        ],
    )
    assert [(row.key, row.caption) for row in read(path) if isinstance(row, Row)] == [("a", "a cat"), ("b", "a dog")]
    assert counted(path) == {"row": 2, "extra_member": 3, "hidden_member": 2}
    assert [found.number for found in open_source(path).read(path) if isinstance(found, Noted)] == [3, 1, 1, 1, 1]


def test_several_captions_have_a_key_each(tmp_path: Path) -> None:
    path = make(
        tmp_path / "a.tar",
        [
            ("a.jpg", b"p"),
            ("a.txt", b"\xef\xbb\xbfone\r\n\r\ntwo\rthree\n"),
            ("b.jpg", b"p"),
            ("b.json", b'{"TEXT": ["four", 5, "six"], "image_id": 9}'),
        ],
    )
    assert [
        (r.row, r.key, r.image_id, r.caption) if isinstance(r, Row) else (r.row, r.key, r.reason) for r in read(path)
    ] == [
        (1, "a-0", None, "one"),
        (1, "a-1", None, "two"),
        (1, "a-2", None, "three"),
        (3, "b-0", "9", "four"),
        (3, "b-1", "caption_not_text"),
        (3, "b-2", "9", "six"),
    ]
