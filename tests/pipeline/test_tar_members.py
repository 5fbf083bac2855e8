"""Plain headers are read without `tarfile`: what is found is what `tarfile` finds."""

from __future__ import annotations

import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.contract.tar_headers import UNREADABLE
from negmine.contract.tar_members import Member, read_tar

NAMES = st.text("ab./é-0", min_size=1, max_size=8).filter(lambda name: name.strip("./") and name[-1] != "/")
LONG = st.sampled_from(["x" * 99, "x" * 100, "x" * 101, "d" * 120 + "/" + "x" * 90, "é" * 80])
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE])
ENTRIES = st.lists(st.tuples(NAMES | LONG, KINDS, st.integers(0, 1500), st.integers(0, 2**40)), max_size=6)
FORMATS = st.sampled_from([tarfile.GNU_FORMAT, tarfile.PAX_FORMAT, tarfile.USTAR_FORMAT])


def written(entries: list[tuple[str, bytes, int, int]], form: int) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=form) as tar:
        for name, kind, size, owner in entries:
            member = tarfile.TarInfo(name)
            member.type, member.linkname, member.uid = kind, "elsewhere", owner
            member.size = size if member.isreg() else 0
            try:
                tar.addfile(member, io.BytesIO(bytes(index % 251 for index in range(member.size))))
            except ValueError:
                continue  # ustar has no room for it
    return out.getvalue()


@given(ENTRIES, FORMATS)
@settings(max_examples=60, deadline=None)
def test_it_reads_what_tarfile_reads(entries: list[tuple[str, bytes, int, int]], form: int) -> None:
    content = written(entries, form)
    found = [
        (one.name, one.start, one.content, one.size, one.regular, inside)
        for one, inside in read_tar(io.BytesIO(content), lambda _: True)
    ]
    with tarfile.open(fileobj=io.BytesIO(content)) as tar:
        expected = [
            (m.name, m.offset, m.offset_data, m.size, m.isreg(), tar.extractfile(m).read() if m.isreg() else b"")  # type: ignore[union-attr]
            for m in tar
        ]
    assert found == expected
    assert [one.end for one, _ in read_tar(io.BytesIO(content), lambda _: False)][:-1] == [one[1] for one in found[1:]]


@given(st.integers(0, 10_239), st.integers(0, 255))
@settings(max_examples=200, deadline=None)
def test_a_byte_that_was_changed(at: int, value: int) -> None:
    content = bytearray(written([("a.jpg", tarfile.REGTYPE, 700, 0), ("b.txt", tarfile.REGTYPE, 9, 0)], 0))
    in_header = at < tarfile.BLOCKSIZE and not 148 <= at < 156 and content[at] != value  # what its checksum is of
    content[at] = value
    try:
        found = list(read_tar(io.BytesIO(content), lambda _: True))
    except UNREADABLE:
        return
    assert not in_header
    assert all(isinstance(member, Member) and len(inside) == member.size for member, inside in found if member.regular)


@pytest.mark.parametrize("cut", [100, 512, 700, 1023, 1024, 1536])
def test_a_cut_tar_is_an_error(cut: int) -> None:
    content = written([("a.jpg", tarfile.REGTYPE, 700, 0)], tarfile.GNU_FORMAT)[:cut]
    for wanted in (True, False):
        with pytest.raises(UNREADABLE):
            list(read_tar(io.BytesIO(content), lambda _, wanted=wanted: wanted))  # type: ignore[misc]
