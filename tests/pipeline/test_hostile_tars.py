"""Tars that nobody should write: each is counted or refused, by every reader, and none is a traceback or a hang."""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import time
from pathlib import Path

import pytest
from negmine.base.errors import DamagedError
from negmine.contract.records import ImageNegative, Rejected, Sample, TextNegative
from negmine.contract.shard_format import INDEX_NAME, Index, ShardEntry, read_samples, write_samples
from negmine.outputs.verify import verify
from negmine.sources import Row, digest, open_source

CASES = Path(__file__).parents[1] / "cases"

# --- hostile headers -------------------------------------------------------------------------------------------------


def block(name: bytes, content: bytes = b"", kind: bytes = tarfile.REGTYPE, size: int | None = None) -> bytes:
    """A header and its content, as no library would write it."""
    header = bytearray(tarfile.TarInfo().tobuf(tarfile.USTAR_FORMAT))
    header[:100] = name.ljust(100, b"\0")
    header[124:136] = tarfile.itn(len(content) if size is None else size, 12, tarfile.GNU_FORMAT)  # type: ignore[attr-defined]
    header[156:157] = kind
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content + bytes(-len(content) % 512)


def pax(**fields: str) -> bytes:
    records = b""
    for name, value in fields.items():
        record = f" {name.replace('__', '.')}={value}\n".encode()
        length = len(record) + len(str(len(record) + 3))
        records += f"{length}".encode() + record
    return block(b"pax", records, tarfile.XHDTYPE)


END = bytes(10_240)
HOSTILE = {
    "no_name": block(b"", b"x"),
    "name_of_dots": block(b"./.", b"x"),
    "pax_no_name": pax(path="") + block(b"y.jpg", b"x"),
    "pax_size_huge": pax(size="1" + "0" * 20) + block(b"y.jpg", b"x"),
    "pax_size_back": pax(size="-2048") + block(b"y.jpg", b"x"),
    "pax_size_words": pax(size="five") + block(b"y.jpg", b"x"),
    "pax_not_utf8": block(b"pax", b"18 path=\xff\xfe.jpgxx\n", tarfile.XHDTYPE) + block(b"y.jpg", b"x"),
    "pax_length_0": block(b"pax", b"0 path=a\n", tarfile.XHDTYPE) + block(b"y.jpg", b"x"),
    "pax_length_digits": block(b"pax", b"9" * 5000 + b" path=a\n", tarfile.XHDTYPE) + block(b"y.jpg", b"x"),
    "pax_quadratic": block(b"pax", b"2 " * 500_000 + b"=", tarfile.XHDTYPE) + block(b"y.jpg", b"x"),
    "sparse_map": pax(GNU__sparse__map="a,b") + block(b"y.jpg", b"x"),
    "sparse_size": pax(GNU__sparse__size="a") + block(b"y.jpg", b"x"),
    "sparse_1_0": pax(GNU__sparse__major="1", GNU__sparse__minor="0") + block(b"y.jpg", b"x\n" * 20),
    "sparse_old": block(b"y.jpg", b"x", tarfile.GNUTYPE_SPARSE),
    "long_chain": block(b"././@LongLink", b"n.jpg", tarfile.GNUTYPE_LONGNAME) * 3_000 + block(b"y.jpg", b"x"),
    "long_name_of_8_gb": block(b"././@LongLink", b"n.jpg", tarfile.GNUTYPE_LONGNAME, 8**11 - 1) + block(b"y.jpg", b"x"),
    "size_below_0": block(b"y.jpg", b"x", size=-1536),
    "size_of_10_to_25": block(b"y.jpg", b"x", size=10**25),
    "device_of_10_to_25": block(b"y.jpg", b"x", b"Z", 10**25),
    "name_not_utf8": block(b"\xff\xfe.jpg", b"x"),
    "ending_not_utf8": block(b"b.j\xffg", b"x") + block(b"b.txt", b"x"),
    "name_with_newline": block(b"a\nb.jpg", b"x"),
}


def around(middle: bytes) -> bytes:
    """A good sample before and after."""
    first, last = (block(f"{key}.jpg".encode(), b"p") + block(f"{key}.txt".encode(), b"a cat") for key in ("a", "z"))
    return first + middle + last + END


@pytest.mark.parametrize("name", HOSTILE)
def test_the_pipeline_counts_what_it_cannot_read(tmp_path: Path, name: str) -> None:
    path = tmp_path / "x.tar"
    path.write_bytes(around(HOSTILE[name]))
    started = time.process_time()
    rows = list(open_source(str(path)).read(str(path)))
    digest(str(path))
    assert time.process_time() - started < 5
    keys = [row.key for row in rows if isinstance(row, Row)]
    refused = [row for row in rows if isinstance(row, Rejected)]
    assert keys[0] == "a" and refused
    assert "z" in keys or any(row.reason == "damaged_archive" for row in refused)
    for row in refused:
        assert all(text.encode() and len(text) < 1_000 for text in (row.source, row.detail or "-", row.key or "-"))


@pytest.mark.parametrize("name", HOSTILE)
def test_shards_are_damaged_or_read(tmp_path: Path, name: str) -> None:
    folder = shard_folder(tmp_path, shard())
    whole = (folder / "x.tar").read_bytes()
    body = whole[: whole.rindex(b"ustar") - 257]  # the last member is not there
    (folder / "x.tar").write_bytes(body + HOSTILE[name] + END)
    reindex(folder)
    started = time.process_time()
    (found,) = verify(folder)
    assert time.process_time() - started < 5
    assert found.problems


# --- the end of a shard ----------------------------------------------------------------------------------------------


def sample(number: int) -> Sample:
    return Sample(
        f"k{number}",
        f"i{number}",
        f"a cat {number}",
        b"\xff\xd8jpeg" * 200,
        "jpg",
        (f"a cat {number}",),
        (TextNegative(0, "a dog", "replace_object", "r", 0.5),),
        (ImageNegative("neg0.jpg", "a dog", "retrieved", "i2i"),),
        (b"\xff\xd8dog",),
        ("k0",),
    )


def shard(count: int = 4) -> bytes:
    stream = io.BytesIO()
    write_samples(stream, map(sample, range(count)))
    return stream.getvalue()


def shard_folder(folder: Path, content: bytes, samples: int = 4) -> Path:
    (folder / "x.tar").write_bytes(content)
    entry = ShardEntry("x.tar", samples, len(content), hashlib.sha256(content).hexdigest())
    (folder / INDEX_NAME).write_text(Index((entry,), 1, {}, {}, {}, {}).to_json())
    return folder


def reindex(folder: Path, samples: int = 4) -> None:
    shard_folder(folder, (folder / "x.tar").read_bytes(), samples)


def problems(folder: Path) -> str:
    (found,) = verify(folder)
    return " ".join(found.problems)


def test_nothing_may_follow_the_end_of_a_shard(tmp_path: Path) -> None:
    whole = shard()
    assert problems(shard_folder(tmp_path, whole)) == ""
    assert "follows the end" in problems(shard_folder(tmp_path, whole + whole))
    assert "follows the end" in problems(shard_folder(tmp_path, whole + b"x"))
    header = whole.index(b"k2.jpg")
    holed = whole[:header] + bytes(512) + whole[header + 512 :]
    assert "follows the end" in problems(shard_folder(tmp_path, holed, samples=2))
    broken = whole[:header] + b"X" + whole[header + 1 :]
    assert "neither a member nor the end" in problems(shard_folder(tmp_path, broken, samples=2))


def test_a_shard_cut_anywhere_is_damaged() -> None:
    whole = shard()
    end = len(whole.rstrip(b"\0"))
    for cut in [*range(0, end, 97), *range(0, end, 512)]:
        with pytest.raises(DamagedError, match=r"x\.tar"):
            list(read_samples(io.BytesIO(whole[:cut]), "x.tar"))


# --- any change of a byte --------------------------------------------------------------------------------------------

SEEDS = [
    *[path.read_bytes() for path in sorted((CASES / "tars").glob("*/*.tar")) if path.stat().st_size < 60_000],
    *[path.read_bytes() for path in sorted((CASES / "attack").glob("*.tar"))],
    shard(),
    around(HOSTILE["sparse_old"]),
    around(pax(path="long/" * 30 + "b.jpg") + block(b"y.jpg", b"x")),
]


def mutated(seed: int) -> bytes:
    """A seed with bytes changed, blocks zeroed, taken out, repeated or exchanged, or its end cut off."""
    chance = random.Random(seed)
    content = bytearray(chance.choice(SEEDS))
    for _ in range(chance.randint(1, 4)):
        at = chance.randrange(len(content) or 1) // 512 * 512
        other = chance.randrange(len(content) or 1) // 512 * 512
        size = 512 * chance.choice((1, 1, 1, 2, 8))
        match chance.randrange(8):
            case 0 | 1 | 2:  # in a header or at the beginning of a text
                place = at + chance.randrange(512)
                content[place : place + 1] = bytes([chance.choice((0, 0xFF, 0x80, 0x30, chance.randrange(256)))])
            case 3:
                content[at : at + size] = bytes(size)
            case 4:
                del content[at : at + size]
            case 5:
                content[at:at] = content[other : other + size]
            case 6:
                content[at : at + size], content[other : other + size] = (
                    content[other : other + size],
                    content[at : at + size],
                )
            case _:
                del content[chance.randrange(len(content) or 1) :]
        _mend(content, at)
    return bytes(content)


def _mend(content: bytearray, at: int) -> None:
    """A valid checksum for a header that was changed, so that what it says is believed."""
    if content[at + 257 : at + 262] == b"ustar" and len(content) >= at + 512:
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])


def check(seed: int, folder: Path) -> None:
    content = mutated(seed)
    path = folder / "x.tar"
    path.write_bytes(content)
    started = time.process_time()
    if content:
        rows = list(open_source(str(path), "tars").read(str(path)))
        assert rows or not content.strip(b"\0")
        for row in rows:
            if isinstance(row, Row):
                assert row.image_offset is not None and row.image_bytes is not None
                assert row.image_offset + row.image_bytes <= len(content)
                row.caption.encode()
            elif isinstance(row, Rejected):
                (row.source + (row.key or "") + (row.detail or "")).encode()
    digest(str(path))
    reindex(folder)
    (found,) = verify(folder)
    if not found.problems:
        assert len(list(read_samples(io.BytesIO(content), "x.tar"))) == 4
    assert time.process_time() - started < 10, seed


def test_mutated_tars(tmp_path: Path) -> None:
    ends = time.monotonic() + 6
    for seed in range(100_000):
        if time.monotonic() > ends:
            assert seed > 50
            return
        check(seed, tmp_path)


@pytest.mark.full
def test_many_mutated_tars(tmp_path: Path) -> None:
    for seed in range(20_000):
        check(seed, tmp_path)
