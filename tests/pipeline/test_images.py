"""Images are trusted only as far as they were looked at."""

from __future__ import annotations

import io
import itertools
import os
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stamina
from fsspec.implementations.memory import MemoryFileSystem
from negmine.base.errors import ResourceError
from negmine.contract.records import MAX_MEMBER_BYTES
from negmine.images.decode import BadImageError, decode
from negmine.images.locate import ImageFacts, ImageRoot, content_hash, inspect_image
from negmine.stages.neighbours.filters import near_image
from PIL import Image, ImageDraw

from tests.pipeline.neighbours.conftest import candidates

CLASSES = ("flags", "diagrams", "transparent")


def encoded(size: tuple[int, int] = (64, 48), kind: str = "JPEG", shift: int = 0, colour: str = "red") -> bytes:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((10 + shift, 8, 40 + shift, 36), fill=colour)
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_facts_come_from_the_content(kind: str, extension: str) -> None:
    facts = inspect_image(encoded(kind=kind))
    assert (facts.extension, facts.width, facts.height) == (extension, 64, 48)


def copies(photo: Image.Image) -> list[bytes]:
    """Scaled to 0.3 to 1.0 and compressed with quality 30 to 90."""
    made = []
    for scale, quality in itertools.product((1.0, 0.6, 0.3), (90, 60, 30)):
        out = io.BytesIO()
        size = (round(photo.width * scale), round(photo.height * scale))
        photo.resize(size, Image.Resampling.BICUBIC).save(out, "JPEG", quality=quality)
        made.append(out.getvalue())
    return made


def taken_for_copies(pairs: list[tuple[ImageFacts, ImageFacts]]) -> float:
    """Share of pairs of images of which the filter takes one for a copy of the other."""
    own, theirs = dict[str, Any](), dict[str, Any]()
    for facts, side in ((own, 0), (theirs, 1)):
        facts["signature"] = np.array([pair[side].signature for pair in pairs], np.uint64)[:, None]
        facts["thumbnail"] = np.array([np.frombuffer(pair[side].thumbnail, np.uint8) for pair in pairs])[:, None]
        facts["seen"] = np.ones((len(pairs), 1), bool)
    found = candidates(
        [[0.0]] * len(pairs), [1.0] * len(pairs), theirs=theirs, own={name: some[:, 0] for name, some in own.items()}
    )
    return float(near_image(found).mean())


@pytest.mark.parametrize("folder", ["data/sample/images", *(f"tests/cases/{n}/img" for n in CLASSES)])
def test_signatures_tell_copies_from_other_images(folder: str) -> None:
    """Every copy is found. No other photo, flag or drawing is taken for one, also where a signature has no bit set."""
    files = sorted(Path(folder).iterdir())[:40]
    facts = [inspect_image(file.read_bytes()) for file in files]
    again = [[inspect_image(copy) for copy in copies(decode(file.read_bytes()).rgb)] for file in files]
    assert taken_for_copies([(one, copy) for one, several in zip(facts, again, strict=True) for copy in several]) == 1
    assert taken_for_copies(list(itertools.combinations(facts, 2))) == 0


def test_recoloured_and_moved_drawings_are_no_copies() -> None:
    def drawn(colour: str, shift: int) -> ImageFacts:
        return inspect_image(encoded((240, 120), "PNG", shift=shift, colour=colour))

    one = drawn("red", 100)
    assert taken_for_copies([(one, drawn("red", 100))]) == 1
    assert taken_for_copies([(one, drawn("red", 130)), (one, drawn("blue", 100)), (one, drawn("gray", 100))]) == 0


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "image_format"),
        (b"not an image at all", "image_format"),
        (encoded(kind="GIF"), "image_format"),
        (encoded((640, 480))[:-400], "damaged_image"),
        (encoded((640, 480), "PNG")[:-400], "damaged_image"),
        (encoded((300, 200)), "too_many_pixels"),
        (encoded((2, 401), "PNG"), "too_thin"),
        (encoded((401, 2)), "too_thin"),
    ],
)
def test_unusable_images(content: bytes, reason: str) -> None:
    with pytest.raises(BadImageError) as caught:
        inspect_image(content, 640 * 480 if reason != "too_many_pixels" else 59_999)
    assert caught.value.reason == reason


def test_decompression_bomb_is_refused_by_its_header() -> None:
    """A PNG of 50,000 x 50,000 pixels that packs to a few kilobytes: nothing of it may be decoded."""
    import struct
    import zlib

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 0, 0, 0, 0)
    bomb = (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**6)))
        + chunk(b"IEND", b"")
    )
    with pytest.raises(BadImageError) as caught:
        inspect_image(bomb)
    assert caught.value.reason == "too_many_pixels"


def test_reading_from_a_folder_and_a_tar(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(encoded())
    with tarfile.open(tmp_path / "photos" / "x.tar", "w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(f"{name}.jpg")
            member.size = len(encoded(shift=ord(name) - 97))
            tar.addfile(member, io.BytesIO(encoded(shift=ord(name) - 97)))
    root = ImageRoot(str(tmp_path / "photos"))
    assert root.read("a.jpg") == encoded()
    assert root.read("x.tar::b.jpg") == encoded(shift=1)
    with tarfile.open(tmp_path / "photos" / "x.tar") as tar:
        found = tar.getmember("b.jpg")
    assert root.read("x.tar::b.jpg", found.offset_data, found.size) == encoded(shift=1)
    assert root.read(str(tmp_path / "photos" / "a.jpg")) == encoded()  # absolute, but below the root


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none.jpg", "missing_image"),
        ("../secret", "path_outside"),
        ("/etc/passwd", "path_outside"),
        ("x.tar::a.jpg", "missing_image"),
        (".", "missing_image"),
    ],
)
def test_unreadable_images(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret").write_text("x")
    with pytest.raises(BadImageError) as caught:
        ImageRoot(str(tmp_path / "photos")).read(name)
    assert caught.value.reason == reason


def test_what_is_no_file_is_never_opened(tmp_path: Path) -> None:
    """A pipe without a writer would wait for ever, and a device has no end."""
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "folder.jpg").mkdir()
    for root, name in (
        (tmp_path, "pipe.jpg"),
        (tmp_path, "folder.jpg"),
        (tmp_path, "pipe.jpg::a.jpg"),
        (Path("/dev"), "zero"),
        (Path("/dev"), "zero::a.jpg"),
    ):
        with pytest.raises(BadImageError, match="no regular file") as caught:
            ImageRoot(str(root)).read(name)
        assert caught.value.reason == "missing_image"


def test_files_and_members_of_no_end_are_not_read(tmp_path: Path) -> None:
    for name in ("sparse.jpg", "x.tar"):
        with (tmp_path / name).open("wb") as file:
            file.truncate(MAX_MEMBER_BYTES + 1)
    root = ImageRoot(str(tmp_path))
    for place in (("sparse.jpg",), ("x.tar::a.jpg", 0, MAX_MEMBER_BYTES + 1)):
        with pytest.raises(BadImageError, match="268,435,457 bytes") as caught:
            root.read(*place)
        assert caught.value.reason == "member_too_large"


def test_a_image_replaced_in_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encoded())
    root, content = ImageRoot(str(tmp_path)), content_hash(encoded())
    assert root.read("a.jpg", content=content) == encoded()
    (tmp_path / "a.jpg").write_bytes(encoded(shift=1))
    assert root.read("a.jpg") == encoded(shift=1)
    with pytest.raises(BadImageError, match="another image") as caught:
        root.read("a.jpg", content=content)
    assert caught.value.reason == "changed_image"


def test_urls() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/photos/a.jpg", encoded())
    assert ImageRoot("memory://photos").read("a.jpg") == encoded()


class TestStore:
    """A store that fails says nothing of an image: it is asked again, and a run ends before it drops one."""

    @pytest.mark.parametrize("failures", [3, 1000])
    def test_connections_that_break(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        left = [failures]

        def cat_file(_: object, path: str, **__: object) -> bytes:
            left[0] -= 1
            if left[0] >= 0:
                raise ConnectionResetError("gone")
            return b"image"

        monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
        with stamina.set_testing(True, attempts=5):
            if failures < 5:
                assert ImageRoot("memory://photos").read("a.jpg") == b"image"
            else:
                with pytest.raises(ResourceError, match=r"photos/a\.jpg(.|\n)*gone"):
                    ImageRoot("memory://photos").read("a.jpg")

    def test_a_missing_image_is_missing(self) -> None:
        with pytest.raises(BadImageError, match="missing_image"):
            ImageRoot("memory://photos").read("nothing.jpg")


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    """The root may be a link, and links may lead about in it; none leads out, by itself or on the way."""
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for folder in (photos / "sub", elsewhere):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(encoded())
    (tmp_path / "root").symlink_to(photos)
    (photos / "inside.jpg").symlink_to("sub/a.jpg")
    (photos / "folder").symlink_to("sub")
    (photos / "out.jpg").symlink_to(elsewhere / "a.jpg")
    (photos / "way").symlink_to(elsewhere)
    (photos / "up").symlink_to("..")
    (photos / "loop.jpg").symlink_to("loop.jpg")
    (photos / "null.jpg").symlink_to("/dev/null")
    for root in (ImageRoot(str(tmp_path / "root")), ImageRoot(str(photos))):
        for name in ("sub/a.jpg", "inside.jpg", "folder/a.jpg", "up/photos/sub/a.jpg", f"{tmp_path}/root/sub/a.jpg"):
            assert root.read(name) == encoded()
        for name in ("out.jpg", "way/a.jpg", "up/elsewhere/a.jpg", "folder/../../elsewhere/a.jpg", "null.jpg"):
            with pytest.raises(BadImageError, match="is not below") as caught:
                root.read(name)
            assert caught.value.reason == "path_outside"
        with pytest.raises(BadImageError) as caught:
            root.read("loop.jpg")
        assert caught.value.reason == "missing_image"


def test_archives_that_were_the_input_may_be_links(tmp_path: Path) -> None:
    """Caches of downloads keep files elsewhere. A row that merely names an archive leads nowhere."""
    (tmp_path / "photos").mkdir()
    with tarfile.open(tmp_path / "blob", "w") as tar:
        member = tarfile.TarInfo("a.jpg")
        member.size = len(encoded())
        tar.addfile(member, io.BytesIO(encoded()))
    (tmp_path / "photos" / "x.tar").symlink_to(tmp_path / "blob")
    root = ImageRoot(str(tmp_path / "photos"))
    assert root.read("x.tar::a.jpg", 512, len(encoded())) == encoded()
    with pytest.raises(BadImageError) as caught:
        ImageRoot(str(tmp_path / "photos")).read("x.tar::a.jpg")
    assert caught.value.reason == "path_outside"
