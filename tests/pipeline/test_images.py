"""Pictures are trusted only as far as they were looked at."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
import stamina
from fsspec.implementations.memory import MemoryFileSystem
from negmine.errors import ResourceError
from negmine.images import BadImageError, ImageRoot, inspect_image
from PIL import Image, ImageDraw


def picture(size: tuple[int, int] = (64, 48), kind: str = "JPEG", shift: int = 0) -> bytes:
    image = Image.new("RGB", size, "white")
    ImageDraw.Draw(image).ellipse((10 + shift, 8, 40 + shift, 36), fill="red")
    out = io.BytesIO()
    image.save(out, kind)
    return out.getvalue()


@pytest.mark.parametrize(("kind", "extension"), [("JPEG", "jpg"), ("PNG", "png"), ("WEBP", "webp")])
def test_facts_come_from_the_content(kind: str, extension: str) -> None:
    facts = inspect_image(picture(kind=kind))
    assert (facts.extension, facts.width, facts.height) == (extension, 64, 48)


def test_signature_tells_copies_from_other_pictures() -> None:
    original = inspect_image(picture((640, 480))).signature
    copy = inspect_image(picture((640, 480), "PNG")).signature
    other = inspect_image(Path("data/sample/images/000000000790.jpg").read_bytes()).signature
    assert (original ^ copy).bit_count() <= 4
    assert (original ^ other).bit_count() > 8


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "image_format"),
        (b"not a picture at all", "image_format"),
        (picture(kind="GIF"), "image_format"),
        (picture((640, 480))[:-400], "damaged_image"),
        (picture((640, 480), "PNG")[:-400], "damaged_image"),
        (picture((300, 200)), "too_many_pixels"),
    ],
)
def test_unusable_pictures(content: bytes, reason: str) -> None:
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
    (tmp_path / "photos" / "a.jpg").write_bytes(picture())
    with tarfile.open(tmp_path / "photos" / "x.tar", "w") as tar:
        for name in ("a", "b"):
            member = tarfile.TarInfo(f"{name}.jpg")
            member.size = len(picture(shift=ord(name) - 97))
            tar.addfile(member, io.BytesIO(picture(shift=ord(name) - 97)))
    root = ImageRoot(str(tmp_path / "photos"))
    assert root.read("a.jpg") == picture()
    assert root.read("x.tar::b.jpg") == picture(shift=1)
    with tarfile.open(tmp_path / "photos" / "x.tar") as tar:
        found = tar.getmember("b.jpg")
    assert root.read("x.tar::b.jpg", found.offset_data, found.size) == picture(shift=1)
    assert root.read(str(tmp_path / "photos" / "a.jpg")) == picture()  # absolute, but below the root


@pytest.mark.parametrize(
    ("name", "reason"),
    [("none.jpg", "missing_image"), ("../secret", "path_outside"), ("/etc/passwd", "path_outside"),
     ("x.tar::a.jpg", "missing_image"), (".", "missing_image")],
)  # fmt: skip
def test_unreadable_pictures(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "secret").write_text("x")
    with pytest.raises(BadImageError) as caught:
        ImageRoot(str(tmp_path / "photos")).read(name)
    assert caught.value.reason == reason


def test_urls() -> None:
    import fsspec

    fsspec.filesystem("memory").pipe("/photos/a.jpg", picture())
    assert ImageRoot("memory://photos").read("a.jpg") == picture()


class TestStore:
    """A store that fails says nothing of a picture: it is asked again, and a run ends before it drops one."""

    @pytest.mark.parametrize("failures", [3, 1000])
    def test_connections_that_break(self, monkeypatch: pytest.MonkeyPatch, failures: int) -> None:
        left = [failures]

        def cat_file(_: object, path: str, **__: object) -> bytes:
            left[0] -= 1
            if left[0] >= 0:
                raise ConnectionResetError("gone")
            return b"picture"

        monkeypatch.setattr(MemoryFileSystem, "cat_file", cat_file)
        with stamina.set_testing(True, attempts=5):
            if failures < 5:
                assert ImageRoot("memory://photos").read("a.jpg") == b"picture"
            else:
                with pytest.raises(ResourceError, match=r"photos/a\.jpg(.|\n)*gone"):
                    ImageRoot("memory://photos").read("a.jpg")

    def test_a_missing_picture_is_missing(self) -> None:
        with pytest.raises(BadImageError, match="missing_image"):
            ImageRoot("memory://photos").read("nothing.jpg")


def test_links_stay_inside_the_root(tmp_path: Path) -> None:
    """The root may be a link, and links may lead about in it; none leads out, by itself or on the way."""
    photos, elsewhere = tmp_path / "photos", tmp_path / "elsewhere"
    for folder in (photos / "sub", elsewhere):
        folder.mkdir(parents=True)
        (folder / "a.jpg").write_bytes(picture())
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
            assert root.read(name) == picture()
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
        member.size = len(picture())
        tar.addfile(member, io.BytesIO(picture()))
    (tmp_path / "photos" / "x.tar").symlink_to(tmp_path / "blob")
    root = ImageRoot(str(tmp_path / "photos"))
    assert root.read("x.tar::a.jpg", 512, len(picture())) == picture()
    with pytest.raises(BadImageError) as caught:
        ImageRoot(str(tmp_path / "photos")).read("x.tar::a.jpg")
    assert caught.value.reason == "path_outside"
