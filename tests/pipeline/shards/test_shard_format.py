"""What is written is read back, by us and by others; what is damaged is noticed; nothing is executed."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from negmine.base.errors import DamagedError
from negmine.base.seal import seal
from negmine.contract.records import ImageNegative, Sample, TextNegative, TextPositive
from negmine.contract.shard_format import Index, ShardEntry, read_members, read_samples, write_samples

TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=40)
KEY = st.text("0123456789ABCxyz_-", min_size=1, max_size=150)


@st.composite
def samples(draw: st.DrawFn) -> Sample:
    images = draw(st.lists(st.binary(max_size=30), max_size=2))
    return Sample(
        key=draw(KEY),
        image_id=draw(TEXT),
        caption=draw(TEXT),
        image=draw(st.binary(max_size=700)),
        extension=draw(st.sampled_from(["jpg", "png", "webp"])),
        captions=tuple(draw(st.lists(TEXT, max_size=3))),
        negatives=tuple(
            TextNegative(slot, text, "swap_object", "rule", None)
            for slot, text in enumerate(draw(st.lists(TEXT, max_size=3)))
        ),
        image_negatives=tuple(
            ImageNegative(f"neg{i}.png", draw(TEXT), "geometry_value", "rule", 0.5) for i in range(len(images))
        ),
        image_negative_bytes=tuple(images),
        neighbours=tuple(draw(st.lists(KEY, max_size=2))),
    )


def tar_of(*items: Sample) -> bytes:
    out = io.BytesIO()
    write_samples(out, items)
    return out.getvalue()


def plain(key: str = "k") -> Sample:
    return Sample(
        key, "i", "a cat", b"\xff\xd8jpeg", "jpg", ("a cat",), (TextNegative(0, "a dog", "replace_object", "r"),)
    )


@settings(max_examples=50, deadline=None)
@given(st.lists(samples(), max_size=4, unique_by=lambda sample: sample.key))
def test_round_trip(items: list[Sample]) -> None:
    assert list(read_samples(io.BytesIO(tar_of(*items)), "x.tar")) == items


def test_bytes_do_not_depend_on_time_or_owner() -> None:
    with tarfile.open(fileobj=io.BytesIO(tar_of(plain()))) as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.uname, member.mode) == (0, 0, "", 0o644)


@pytest.mark.parametrize("key", ["img_1.5", "", "a/b", "../x", "k\u00e9"])
def test_keys_that_readers_would_split_are_not_written(key: str) -> None:
    with pytest.raises(ValueError, match="malformed"):
        tar_of(plain(key))


def test_duplicate_keys_are_not_written() -> None:
    with pytest.raises(ValueError, match="duplicate"):
        tar_of(plain("a"), plain("b"), plain("a"))


def test_cut_tars() -> None:
    whole = tar_of(*(plain(f"{i:03d}") for i in range(5)))
    for cut in range(1, len(whole), 97):
        try:
            read = list(read_samples(io.BytesIO(whole[:cut]), "x.tar"))
        except DamagedError as error:
            assert "x.tar" in str(error)
        else:  # cut in the zeros after the end
            assert [sample.key for sample in read] == [f"{i:03d}" for i in range(5)]


def rewritten(*names: str) -> bytes:
    """The members of two samples under other names."""
    out = io.BytesIO()
    members = dict(read_members(io.BytesIO(tar_of(plain("a"), plain("b"))), "x"))
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            source, _, target = name.partition(">")
            info = tarfile.TarInfo(target or source)
            info.size = len(members[source])
            tar.addfile(info, io.BytesIO(members[source]))
    return out.getvalue()


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("a.jpg", "a.txt", "b.jpg", "b.txt", "b.json", "a.json"), "needs an image, txt and json"),
        (
            ("a.jpg", "a.txt", "a.json", "b.jpg", "b.txt", "b.json", "a.txt"),
            "occurs twice, or its members are not adjacent",
        ),
        (("a.jpg", "a.txt", "a.json", "a.txt"), "member a.txt occurs twice"),
        (("a.jpg", "a.json"), "needs an image, txt and json"),
        (("a.txt", "a.json"), "needs an image, txt and json"),
    ],
)
def test_members_out_of_place(names: tuple[str, ...], message: str) -> None:
    with pytest.raises(DamagedError, match=message):
        list(read_samples(io.BytesIO(rewritten(*names)), "x.tar"))


def test_foreign_members_are_never_decoded(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> object:
            return (Path(tmp_path / "executed").touch, ())

    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in dict(read_members(io.BytesIO(tar_of(plain("a"))), "x")).items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for name in ("a.pyd", "a.pkl", "a.pickle", "a.pth", "../../a.txt", "/a.json"):
            content = pickle.dumps(Payload())
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        link = tarfile.TarInfo("b.jpg")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    assert [sample.key for sample in read_samples(io.BytesIO(out.getvalue()), "x.tar")] == ["a"]
    assert not (tmp_path / "executed").exists()


def test_other_schema_version() -> None:
    out = io.BytesIO()
    members = dict(read_members(io.BytesIO(tar_of(plain("a"))), "x"))
    members["a.json"] = json.dumps({**json.loads(members["a.json"]), "version": 99}).encode()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    with pytest.raises(DamagedError, match="schema version 99"):
        list(read_samples(io.BytesIO(out.getvalue()), "x.tar"))


FULL = Sample(
    "a",
    "i",
    "a cat",
    b"jpeg",
    "jpg",
    ("a cat", "a pet"),
    (TextNegative(0, "a dog", "replace_object", "r", 0.5),),
    (ImageNegative("neg0.png", "a dog", "retrieved", "i2i", 0.5, (TextNegative(0, "a cow", "negate", "r", 0.25),)),),
    (b"png",),
    ("b",),
    (TextPositive("the cat", "word", "r"),),
)


def places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The way to every value in a JSON document, the document itself first."""
    yield at
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for name, below in inner:
        yield from places(below, (*at, name))


def changed(body: Any, at: tuple[Any, ...], value: Any) -> Any:
    if not at:
        return value
    copy = dict(body) if isinstance(body, dict) else list(body)
    copy[at[0]] = changed(body[at[0]], at[1:], value)
    return copy


def with_json(content: bytes) -> list[Sample]:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name, own in dict(read_members(io.BytesIO(tar_of(FULL)), "x")).items():
            info = tarfile.TarInfo(name)
            body = content if name == "a.json" else own
            info.size = len(body)
            tar.addfile(info, io.BytesIO(body))
    return list(read_samples(io.BytesIO(out.getvalue()), "x.tar"))


def has_types_of(value: Any, pattern: Any) -> bool:
    """Whether a value has the types of another one, field by field; numbers count as one type, null as any number."""
    if isinstance(pattern, tuple):
        return isinstance(value, tuple) and all(has_types_of(item, pattern[0]) for item in value)
    if is_dataclass(pattern):
        names = [field.name for field in fields(pattern)]
        return type(value) is type(pattern) and all(has_types_of(getattr(value, n), getattr(pattern, n)) for n in names)
    return type(value) is type(pattern) or (isinstance(pattern, float) and (value is None or type(value) is int))


def test_a_sample_has_the_types_of_its_fields_or_is_damaged() -> None:
    body = json.loads(dict(read_members(io.BytesIO(tar_of(FULL)), "x"))["a.json"])
    values = [None, 7, -1, 0.5, True, "x", "", [], [None], ["x"], [7], {}, {"slot": 0}, 10**30]
    cases = [(at, value) for at in places(body) for value in values]
    damaged = 0
    for at, value in cases:
        try:
            (sample,) = with_json(json.dumps(changed(body, at, value)).encode())
        except DamagedError as error:
            damaged += 1
            assert "x.tar" in str(error)
        else:
            assert has_types_of(sample, FULL), (at, value)
            assert all(negative.slot >= 0 for negative in sample.negatives)
    assert len(cases) > 400 and damaged > 200


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (b'"image_id":"i"', b'"image_id":7', "image_id"),
        (b'"slot":0', b'"slot":null', r"negatives\.0\.slot"),
        (b'"slot":0', b'"slot":-1', "slot below 0"),
        (b'"slot":0', b'"slot":true', r"negatives\.0\.slot"),
        (b'"score":0.5', b'"score":"0.5"', r"negatives\.0\.score"),
        (b'"a dog"', b'"\\ud800"', "hex escape"),
        (b'"a dog"', b'"\xff"', "sample a"),
        (b'"neg0.png"', b'"neg1.png"', "neg1.png"),
        (b'"version":1', b'"version":[]', r"version \[\]"),
        (b"{", b"[", "sample a"),
    ],
)
def test_what_is_wrong_with_a_sample_is_said(old: bytes, new: bytes, said: str) -> None:
    content = dict(read_members(io.BytesIO(tar_of(FULL)), "x"))["a.json"]
    assert old in content
    with pytest.raises(DamagedError, match=said):
        with_json(content.replace(old, new))


INDEX = Index((ShardEntry("a.tar", 3, 10, "f"),), 4, {"swap_object": 5}, {}, {"pairs": "d"}, {"seed": 0})


def test_index_round_trip_and_damage() -> None:
    text = INDEX.to_json()
    assert Index.from_json(text, "here") == INDEX
    assert json.loads(text)["samples"] == 3
    with pytest.raises(DamagedError, match="edited"):
        Index.from_json(text.replace('"samples": 3', '"samples": 4'), "here")
    for broken in ("", "[]", "{", text[:-20], '{"checksum": 3}'):
        with pytest.raises(DamagedError):
            Index.from_json(broken, "here")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("shards", [{"file": 7, "samples": 1, "bytes": 1, "sha256": "f"}]),
        ("shards", [{"file": "a.tar", "samples": "3", "bytes": 1, "sha256": "f"}]),
        ("shards", [{"file": "a.tar", "samples": -3, "bytes": 1, "sha256": "f"}]),
        ("shards", [{"file": "a.tar", "samples": 3, "bytes": 1}]),
        ("shards", [7]),
        ("shards", {}),
        ("kinds", []),
        ("kinds", {"swap_object": "5"}),
        ("settings", []),
        ("settings", {"planned_batch": "4"}),
        ("settings", {"planned_batch": 0}),
        ("made_from", {"pairs": 7}),
        ("negatives_per_sample", "4"),
        ("negatives_per_sample", -1),
        ("image_negatives_per_sample", None),
    ],
)
def test_a_sealed_index_of_wrong_types_is_damaged(name: str, value: Any) -> None:
    body = json.loads(INDEX.to_json())
    del body["checksum"]
    with pytest.raises(DamagedError, match=r"not a shard index(.|\n)*here"):
        Index.from_json(seal({**body, name: value}), "here")
