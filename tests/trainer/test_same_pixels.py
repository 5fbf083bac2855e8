"""Every place that looks at a picture sees what a person sees on a white page: one table of kinds, all places."""

from __future__ import annotations

import base64
import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ahnpl.data.images import BadImage, evaluation_pixels, open_image, training_pixels
from negmine.contract.shard_format import read_samples
from negmine.encoders.base import rgb
from negmine.engine.local import LocalEngine
from negmine.images.decode import MAX_PIXELS, MAX_SCANS, BadImageError, decode, orientation
from negmine.images.locate import inspect_image
from negmine.outputs.report.images import make_album
from negmine.outputs.report.read import ImagePlace
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.report import _thumbnail
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest
from negmine.stages.shards.settings import ShardSettings
from negmine.stages.shards.stage import write_shards
from negmine.stages.shards.write import encoded
from PIL import Image

CASES = Path(__file__).parents[1] / "cases"
NEARLY = 24
"""Shades by which a mean of a sixteenth may differ: a JPEG of few pixels blurs colours over borders."""

COLOURS = ("red", "blue", "lime", "black", "yellow", "white")


def scene(width: int = 96, height: int = 64) -> Image.Image:
    """Six fields, no two of them alike, so that no turn and no mirror image looks the same."""
    small = Image.new("RGB", (3, 2))
    small.putdata([Image.new("RGB", (1, 1), colour).getpixel((0, 0)) for colour in COLOURS])  # type: ignore[list-item]
    return small.resize((width, height), Image.Resampling.NEAREST)


def saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    picture.save(out, kind, **options)
    return out.getvalue()


def png(bits: int, colour_type: int, samples: Any, transparent: bytes | None = None) -> bytes:
    """A PNG of any depth out of samples [H, W, channels]."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    height, width = samples.shape[:2]
    if bits == 16:
        rows = [row.astype(">u2").tobytes() for row in samples]
    elif bits == 8:
        rows = [row.astype(np.uint8).tobytes() for row in samples]
    else:
        planes = (samples.reshape(height, width)[..., None] >> np.arange(bits - 1, -1, -1)) & 1
        rows = [np.packbits(row.astype(np.uint8).ravel()).tobytes() for row in planes]
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))
        + (b"" if transparent is None else chunk(b"tRNS", transparent))
        + chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
        + chunk(b"IEND", b"")
    )


def turned(picture: Image.Image, orientation: int) -> Image.Image:
    """The pixels as a camera stores them that lay so: what EXIF says undoes it. The table of the EXIF standard."""
    transposes = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    transpose = transposes[orientation]
    return picture if transpose is None else picture.transpose(transpose)


def exif(orientation: object) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def kinds() -> Iterator[tuple[str, bytes, Image.Image]]:
    """Name, encoded picture, and what is seen."""
    for size in ((96, 64), (1200, 800)):
        for kind in ("JPEG", "PNG", "WEBP"):
            for turn in range(1, 9):
                content = saved(turned(scene(*size), turn), kind, exif=exif(turn))
                yield f"{kind} {size[0]} lying {turn}", content, scene(*size)
    yield "orientation of no meaning", saved(scene(), "JPEG", exif=exif(9)), scene()
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf tiff:Orientation="6"/></x:xmpmeta>'
    yield "orientation in XMP", saved(turned(scene(), 6), "JPEG", xmp=xmp), scene()

    y, x = np.mgrid[:64, :96]
    ring = (np.hypot(x - 30, y - 20) > 12) | (np.hypot(x - 30, y - 20) < 8)
    on_white = Image.fromarray(np.where(ring, 255, 0).astype(np.uint8)).convert("RGB")
    alpha = Image.fromarray(np.where(ring, 0, 255).astype(np.uint8))
    black = Image.new("L", (96, 64), 0)
    yield "RGBA", saved(Image.merge("RGBA", (black, black, black, alpha)), "PNG"), on_white
    yield "RGBA, WebP", saved(Image.merge("RGBA", (black, black, black, alpha)), "WEBP", lossless=True), on_white
    yield "LA", saved(Image.merge("LA", (black, alpha)), "PNG"), on_white
    half = Image.new("RGBA", (96, 64), (0, 0, 0, 128))
    yield "half transparent", saved(half, "PNG"), Image.new("RGB", (96, 64), (127, 127, 127))
    shades = np.where(ring, 5, 0)
    palette = Image.fromarray(shades.astype(np.uint8), "P")
    palette.putpalette([0, 0, 0] * 6)
    yield "palette, one transparent", saved(palette, "PNG", transparency=5), on_white
    yield "palette, alpha of each", saved(palette, "PNG", transparency=b"\xff\xff\xff\xff\xff\x00"), on_white
    for bits in (1, 2, 4, 8, 16):
        most = 2**bits - 1
        grey = np.where(ring, most, 0)[..., None]
        clear = png(bits, 0, np.where(ring, 1, 0)[..., None], struct.pack(">H", 1))
        yield f"grey, {bits} bits", png(bits, 0, grey), on_white
        yield f"grey, {bits} bits, one shade transparent", clear, on_white
    for bits in (8, 16):
        far = 256 if bits == 16 else 1
        colours = np.where(ring[..., None], np.array([3, 2, 1]) * far, 0)
        clear = png(bits, 2, colours, struct.pack(">HHH", 3 * far, 2 * far, far))
        yield f"RGB, {bits} bits, one colour transparent", clear, on_white
    ramp = np.broadcast_to(np.linspace(0, 65535, 96).astype(int), (64, 96))
    seen = Image.fromarray((ramp >> 8).astype(np.uint8)).convert("RGB")
    opaque = np.full((64, 96), 65535)
    yield "grey ramp of 16 bits", png(16, 0, ramp[..., None]), seen
    yield "grey and alpha of 16 bits", png(16, 4, np.stack([ramp, opaque], -1)), seen
    yield "RGB of 16 bits", png(16, 2, np.stack([ramp] * 3, -1)), seen
    yield "RGBA of 16 bits", png(16, 6, np.stack([ramp, ramp, ramp, opaque], -1)), seen

    yield "CMYK", saved(scene().convert("CMYK"), "JPEG", quality=95), scene()
    yield "grey JPEG", saved(scene().convert("L"), "JPEG"), scene().convert("L").convert("RGB")
    yield "progressive", saved(scene(), "JPEG", progressive=True), scene()
    yield "RGB in a JPEG", saved(scene(), "JPEG", keep_rgb=True), scene()
    yield "bilevel", saved(on_white.convert("1"), "PNG"), on_white
    yield "palette", saved(scene().quantize(8), "PNG"), scene()
    second = Image.new("RGB", (96, 64), "gray")
    for kind in ("WEBP", "PNG", "MPO"):
        content = saved(
            scene(), kind, save_all=True, append_images=[second], **({} if kind != "WEBP" else {"quality": 95})
        )
        yield f"first of several, {kind}", content, scene()
    yield "turned and transparent", saved(turned(Image.merge("LA", (black, alpha)), 6), "PNG", exif=exif(6)), on_white


def _grid(picture: Image.Image | Any) -> Any:
    """[4, 4, 3] mean colours."""
    return np.asarray(picture.resize((4, 4), Image.Resampling.BOX)).astype(int)


def _foreign(content: bytes) -> Image.Image:
    """As webdataset and open_clip read what lies in a shard."""
    return Image.open(io.BytesIO(content)).convert("RGB")


def _in_report(content: bytes, folder: Path) -> Image.Image:
    (folder / "picture").write_bytes(content)
    album = make_album([ImagePlace("pairs", "picture", None, None)], {"pairs": str(folder)}, 10**6)
    (url,) = album.urls.values()
    return _foreign(base64.b64decode(url.partition(",")[2]))


def _in_examples(content: bytes, folder: Path) -> Image.Image:
    (folder / "picture").write_bytes(content)
    pair = {"image": "picture", "image_offset": None, "image_bytes": None, "content": None}
    webp = _thumbnail(Corpus(folder, (1,), str(folder)), pair)
    assert webp is not None
    return _foreign(webp)


def _trained(content: bytes) -> Image.Image:
    return Image.fromarray(training_pixels(content, 48, random.Random(0)).permute(1, 2, 0).numpy())


PLACES: dict[str, Callable[[bytes, Path], Any]] = {
    "shard": lambda content, _: _grid(_foreign(encoded(content, None)[1])),
    "shard, shrunk": lambda content, _: _grid(_foreign(encoded(content, 32)[1])),
    "encoders": lambda content, _: _grid(rgb(content)),
    "trainer": lambda content, _: _grid(open_image(content)),
    "evaluation": lambda content, _: _grid(Image.fromarray(evaluation_pixels(content, lambda picture: picture))),
    "report": lambda content, folder: _grid(_in_report(content, folder)),
    "examples": lambda content, folder: _grid(_in_examples(content, folder)),
    "inspect": lambda content, _: np.frombuffer(inspect_image(content).thumbnail[144:], np.uint8).reshape(4, 4, 3) + 0,
}


@pytest.mark.parametrize(("name", "content", "seen"), [pytest.param(*kind, id=kind[0]) for kind in kinds()])
def test_all_places_see_the_same(name: str, content: bytes, seen: Image.Image, tmp_path: Path) -> None:
    for place, look in PLACES.items():
        assert np.abs(look(content, tmp_path).astype(int) - _grid(seen)).max() <= NEARLY, place
    cropped = np.abs(np.asarray(_trained(content)).astype(int) - np.asarray(_trained(saved(seen, "PNG"))))
    assert cropped.mean() <= 5, "training"
    facts = inspect_image(content)
    assert (facts.width, facts.height) == seen.size


@pytest.mark.parametrize(("name", "content", "seen"), [pytest.param(*kind, id=kind[0]) for kind in kinds()])
def test_shards_keep_bytes_that_everybody_reads_alike(name: str, content: bytes, seen: Image.Image) -> None:
    plainly = np.abs(_grid(_foreign(content)) - _grid(seen)).max() <= NEARLY
    extension, kept = encoded(content, None)
    assert inspect_image(kept).plain
    assert orientation(kept) == 1
    assert extension == inspect_image(kept).extension
    if not plainly:
        assert kept != content
    if "lying 1" in name or name in ("progressive", "bilevel", "palette", "grey JPEG", "RGB of 16 bits"):
        assert kept == content


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("t_circle.png", {(0, 0): (255, 255, 255)}),
        ("la_line.png", {(319, 0): (255, 255, 255)}),
        ("p_trans.png", {(0, 0): (255, 255, 255)}),
        ("grey16.png", {(0, 120): (0, 0, 0), (160, 120): (127, 127, 127), (319, 120): (255, 255, 255)}),
        ("exif6_big.jpg", {(300, 200): (254, 0, 0), (300, 600): (0, 0, 254)}),
        ("exif6_small.jpg", {(90, 60): (254, 0, 0), (90, 180): (0, 0, 254)}),
        ("exif3_small.jpg", {(60, 90): (0, 0, 254), (180, 90): (254, 0, 0)}),
        ("cmyk_red.jpg", {(150, 100): (255, 0, 0)}),
        ("anim.webp", {(50, 40): (255, 0, 0)}),
    ],
)
def test_pictures_as_people_have_them(name: str, points: dict[tuple[int, int], tuple[int, int, int]]) -> None:
    content = (CASES / "pixels" / "img" / name).read_bytes()
    for picture in (open_image(content), decode(content).rgb, _foreign(encoded(content, None)[1])):
        for point, colour in points.items():
            assert np.abs(np.subtract(picture.getpixel(point), colour)).max() <= 4, (name, point)


@pytest.mark.parametrize("name", [f"timg_m00{n}.bin" for n in (182, 268, 766)] + ["eps_named_jpg.jpg", "zero_dims.png"])
def test_what_is_no_picture_is_a_bad_picture(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    content = (CASES / "attack" / name).read_bytes()
    monkeypatch.setattr("PIL.EpsImagePlugin.Ghostscript", lambda *_, **__: pytest.fail("Ghostscript was called"))
    for look in (open_image, lambda data: training_pixels(data, 32, random.Random(0))):
        with pytest.raises(BadImage):
            look(content)
    with pytest.raises(BadImageError, match="image_format"):
        inspect_image(content)


@pytest.mark.parametrize(
    "error", [RuntimeError, NotImplementedError, KeyError, struct.error, OverflowError, zlib.error]
)
def test_whatever_a_decoder_raises_is_counted(error: type[Exception], monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: object) -> None:
        raise error("odd")

    content = saved(scene(), "PNG")
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load_prepare", breaks)
    with pytest.raises(BadImage, match="odd"):
        training_pixels(content, 32, random.Random(0))
    with pytest.raises(BadImageError) as caught:
        inspect_image(content)
    assert caught.value.reason == "damaged_image"


def test_noise_in_a_picture_is_its_own_fault() -> None:
    """Bytes of pictures of every kind, broken at random: a picture, or a `BadImage`."""
    chance = random.Random(1)
    contents = [content for name, content, _ in kinds() if "1200" not in name]
    for _ in range(400):
        broken = bytearray(chance.choice(contents))
        for _ in range(chance.choice((1, 4, 30))):
            broken[chance.randrange(len(broken))] = chance.randrange(256)
        with suppress(BadImage):
            assert training_pixels(bytes(broken), 16, random.Random(0)).shape == (3, 16, 16)
        with suppress(BadImageError):
            assert decode(bytes(broken), MAX_PIXELS).rgb.mode == "RGB"


def test_boxes_are_of_the_upright_picture() -> None:
    content = saved(turned(scene(), 6), "JPEG", exif=exif(6), quality=95)
    red = evaluation_pixels(content, lambda picture: picture, (4, 4, 28, 28))
    assert np.abs(red.reshape(-1, 3).mean(axis=0) - (254, 0, 0)).max() < 4


def test_what_is_thin_is_refused_before_it_is_scaled() -> None:
    """Short sides are scaled to the model's: the rest would fill the memory."""
    for extent, kind in (((1, 20_000), "PNG"), ((20_000, 1), "JPEG")):
        content = saved(Image.new("RGB", extent), kind)
        for read in (open_image, lambda content: training_pixels(content, 32, random.Random(0))):
            with pytest.raises(BadImage, match="200 times"):
                read(content)
    content = saved(Image.new("RGB", (500, 500)), "PNG")
    assert evaluation_pixels(content, lambda picture: picture, (0, 0, 400, 2)).shape == (2, 400, 3)
    with pytest.raises(BadImage, match="200 times"):
        evaluation_pixels(content, lambda picture: picture, (0, 0, 401, 2))


@pytest.mark.parametrize("image_size", [None, 128])
@pytest.mark.parametrize(("name", "good"), [("pixels", 15), ("transparent", 40)])
def test_from_files_to_the_trainer(name: str, good: int, image_size: int | None, tmp_path: Path) -> None:
    """What training and evaluation see of shards is what lies in the folder, upright and on white."""
    images = CASES / name / "img"
    settings = IngestSettings(str(CASES / name / "pairs.jsonl"), images=str(images), max_bad=1)
    ingest(settings, tmp_path / "work", LocalEngine(1))
    write_shards(
        ShardSettings(train_fraction=1, image_size=image_size), tmp_path / "work", tmp_path / "out", LocalEngine(1)
    )
    with (tmp_path / "out" / "shard-00000.tar").open("rb") as stream:
        samples = list(read_samples(stream, "here"))
    assert len(samples) == good
    for sample in samples:
        original = decode((images / sample.image_id).read_bytes()).rgb
        for seen in (open_image(sample.image), _foreign(sample.image)):
            assert np.abs(_grid(seen) - _grid(original)).max() <= NEARLY, sample.image_id
        exact = training_pixels(saved(original, "PNG"), 48, random.Random(0)).int()
        assert (training_pixels(sample.image, 48, random.Random(0)).int() - exact).abs().float().mean() < 6
        if name == "transparent":
            assert _grid(original).min() > 150


def with_scans(number: int) -> bytes:
    """A progressive JPEG whose shortest scan is repeated until it has so many."""
    out = io.BytesIO()
    Image.new("RGB", (64, 48), "red").save(out, "JPEG", progressive=True)
    first, *scans = out.getvalue().split(b"\xff\xda")
    shortest = min(range(len(scans)), key=lambda n: len(scans[n]))
    again = [scans[shortest].partition(b"\xff\xc4")[0]] * (number - len(scans))  # without the table that follows it
    scans[shortest:shortest] = again
    return b"\xff\xda".join([first, *scans])


def test_a_picture_of_very_many_scans_is_refused_before_they_are_read() -> None:
    """Each is another pass over all pixels, and takes seventeen bytes."""
    few, many = with_scans(40), with_scans(MAX_SCANS + 1)
    assert inspect_image(few).width == 64
    assert training_pixels(few, 16, random.Random(0)).shape == (3, 16, 16)
    with pytest.raises(BadImageError, match="scans"):
        inspect_image(many)
    with pytest.raises(BadImage, match="scans"):
        training_pixels(many, 16, random.Random(0))
    with pytest.raises(BadImage, match="scans"):
        evaluation_pixels(many, np.asarray)
