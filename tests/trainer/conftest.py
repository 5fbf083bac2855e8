"""Small shards, drawn and written by the tests themselves."""

from __future__ import annotations

import hashlib
import io
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from ahnpl.data.batch import Batch
from negmine.contract.records import Sample, TextNegative
from negmine.contract.shard_format import INDEX_NAME, Index, ShardEntry, write_samples
from PIL import Image, ImageDraw

COLOURS = ("red", "green", "blue", "yellow", "white", "black", "purple", "orange")
SHAPES = ("circle", "square")
PLACES = ("left", "right")


def encode(picture: Image.Image, extension: str = "jpg") -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "JPEG" if extension in ("jpg", "jpeg") else extension.upper())
    return stream.getvalue()


def draw(colour: str, shape: str, place: str, side: int = 96) -> Image.Image:
    picture = Image.new("RGB", (side, side), "gray")
    left = 4 if place == "left" else side // 2 + 4
    box = (left, side // 4, left + side // 2 - 8, 3 * side // 4)
    pen = ImageDraw.Draw(picture)
    (pen.ellipse if shape == "circle" else pen.rectangle)(box, fill=colour)
    return picture


def make_sample(number: int, negatives: int = 3) -> Sample:
    """A coloured shape on one side; its negatives change colour, shape, then side."""
    chance = random.Random(number)
    colour, shape, place = (chance.choice(options) for options in (COLOURS, SHAPES, PLACES))
    other = chance.choice([c for c in COLOURS if c != colour])
    wrong_shape, wrong_place = SHAPES[shape == SHAPES[0]], PLACES[place == PLACES[0]]
    texts = [
        (f"a {other} {shape} on the {place}", "replace_attribute"),
        (f"a {colour} {wrong_shape} on the {place}", "replace_object"),
        (f"a {colour} {shape} on the {wrong_place}", "replace_relation"),
    ]
    caption = f"a {colour} {shape} on the {place}"
    return Sample(
        key=f"{number:06d}",
        image_id=f"image{number}",
        caption=caption,
        image=encode(draw(colour, shape, place)),
        extension="jpg",
        captions=(caption,),
        negatives=tuple(TextNegative(i, text, kind, "test") for i, (text, kind) in enumerate(texts[:negatives])),
    )


def make_long_sample(number: int) -> Sample:
    """The same with texts of thirty numbers each, which no two samples share."""
    one, chance = make_sample(number), random.Random(number)

    def text() -> str:
        return " ".join(str(chance.randrange(100)) for _ in range(30))

    caption = text()
    negatives = tuple(replace(negative, text=text()) for negative in one.negatives)
    return replace(one, caption=caption, captions=(caption,), negatives=negatives)


def write_shards(folder: Path, groups: Iterable[Sequence[Sample]]) -> Path:
    """Write one tar for each group of samples, and their index. Returns the folder."""
    groups = list(groups)
    folder.mkdir(parents=True, exist_ok=True)
    entries, kinds, most = [], Counter[str](), 0
    positives = [len(sample.positives) for samples in groups for sample in samples]
    true = Counter(positive.kind for samples in groups for sample in samples for positive in sample.positives)
    for number, samples in enumerate(groups):
        stream = io.BytesIO()
        write_samples(stream, samples)
        (folder / f"{number:05d}.tar").write_bytes(stream.getvalue())
        kinds.update(negative.kind for sample in samples for negative in sample.negatives)
        most = max([most, *(len(sample.negatives) for sample in samples)])
        digest = hashlib.sha256(stream.getvalue()).hexdigest()
        entries.append(ShardEntry(f"{number:05d}.tar", len(samples), len(stream.getvalue()), digest))
    index = Index(tuple(entries), most, dict(kinds), {}, {}, {}, 1, 0, max(positives, default=0), dict(true))
    (folder / INDEX_NAME).write_text(index.to_json(), encoding="utf-8")
    return folder


def write_index(folder: Path, entries: Sequence[ShardEntry], negatives: int, kinds: dict[str, int]) -> None:
    index = Index(tuple(entries), negatives, kinds, {}, {}, {})
    (folder / INDEX_NAME).write_text(index.to_json(), encoding="utf-8")


def reindex(folder: Path, **changes: Any) -> None:
    """Make the index agree with the tars' present bytes, so that only what they say is wrong."""
    index = Index.from_json((folder / INDEX_NAME).read_text(), "index")
    contents = {e.file: (folder / e.file).read_bytes() for e in index.shards}
    entries = [
        ShardEntry(e.file, changes.get("samples", e.samples), len(content), hashlib.sha256(content).hexdigest())
        for e in index.shards
        for content in (contents[e.file],)
    ]
    write_index(folder, entries, index.negatives_per_sample, index.kinds)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    """Models this small are faster on one thread, and other tests may be using the second core."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 samples in 4 tars of uneven size; do not change it."""
    folder = tmp_path_factory.mktemp("shards")
    cuts = [0, 10, 30, 37, 64]
    return write_shards(folder, [[make_sample(n) for n in range(a, b)] for a, b in pairwise(cuts)])


@pytest.fixture
def few_shards(tmp_path: Path) -> Callable[..., Path]:
    """Make a small folder of shards to damage: ``few_shards(samples=8, tars=2, negatives=3)``."""

    def make(samples: int = 8, tars: int = 2, negatives: int = 3) -> Path:
        size = samples // tars
        groups = [[make_sample(t * size + i, negatives) for i in range(size)] for t in range(tars)]
        return write_shards(tmp_path / "few", groups)

    return make


def make_batch(size: int = 8, negatives: int = 3, pictures: int = 2, side: int = 32, length: int = 77) -> Batch:
    """Random bytes and short texts, one slot in four empty, two captions equal."""
    chance = torch.Generator().manual_seed(0)

    def texts(*shape: int) -> torch.Tensor:
        tokens = torch.zeros(*shape, length, dtype=torch.long)
        tokens[..., 0], tokens[..., 1:5] = 49406, torch.randint(1, 999, (*shape, 4), generator=chance)
        tokens[..., 5] = 49407
        return tokens

    images = torch.randint(0, 256, (size, 1 + pictures, 3, side, side), generator=chance, dtype=torch.uint8)
    captions = texts(size)
    captions[-1] = captions[0]
    return Batch(
        images=images[:, 0],
        texts=captions,
        negatives=texts(size, negatives),
        valid=torch.rand(size, negatives, generator=chance) > 0.25,
        kinds=torch.zeros(size, negatives, dtype=torch.int8),
        image_ids=torch.arange(size),
        keys=[str(n) for n in range(size)],
        image_negatives=images[:, 1:],
        image_negative_texts=texts(size, pictures),
        image_valid=torch.rand(size, pictures, generator=chance) > 0.25,
    )


def texts_only(batch: Batch) -> Batch:
    """As the stream makes it for a recipe without image negatives."""
    return replace(batch, image_negatives=None, image_negative_texts=None, image_valid=None)


MICRO = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 64, "head_width": 32, "patch_size": 8},
    "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="session")
def micro(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Name of an even smaller model than `tiny`, for runs of many steps."""
    folder = tmp_path_factory.mktemp("micro")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": MICRO}))
    return f"local-dir:{folder}"
