"""Photos, captions and false captions, made by the real commands; and what frozen towers make of them, once."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from ahnpl.data.read import read_through
from ahnpl.data.shards import open_shards
from negmine.contract.records import Sample
from negmine.encoders import make_encoder
from negmine.stages.negatives.presets import load_preset
from torch import Tensor

REFINED: Final = "refined"
SETS: Final = {REFINED: "unguessable", "unrefined": "unrefined.toml", "first rules": "negclip", "swaps": "swaps"}
"""What `parse --preset` is given. `unrefined` has the rules of `unguessable` and does not balance their choice; the six
of `negclip` are those that the generator had first."""
RETRIEVED: Final = "retrieved"
ALL: Final = "all"
SLOTS: Final = 4
"""Negatives of a caption, of each set."""
SEEN: Final = 1000
"""Items of photos that are trained on: what a model has learnt by heart."""
TRAINING: Final = 0.8
"""Share of the textbook photos; the others are held out."""


@dataclass(frozen=True)
class Photo:
    """A photo to train on, its caption, and false captions by set."""

    image_id: str
    caption: str
    negatives: Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Item:
    """A photo, its caption, and one that is false."""

    image_id: str
    caption: str
    foil: str
    kind: str


@dataclass(frozen=True, eq=False)
class Material:
    """All that cells are made of.

    Attributes:
        tests: items by name.
        pairs: (photo, caption) of distinct photos, by name, for retrieval.
        images, texts: unit features of the frozen towers, a row for each photo and text.
        image_rows, text_rows: where to find them.
    """

    train: list[Photo]
    tests: dict[str, list[Item]]
    pairs: dict[str, list[tuple[str, str]]]
    images: Tensor
    texts: Tensor
    image_rows: dict[str, int]
    text_rows: dict[str, int]


def load(source: Path, made: Path) -> Material:
    """Make what is not there yet, and read it.

    Args:
        source: the data folder, with ``pairs/openstax`` and ``pairs/coco_free``.
        made: where negatives, shards and features are kept.
    """
    shards = {name: _shards(name, source / "pairs" / "openstax", made) for name in SETS}
    trained = {name: _read(folder / "*.tar") for name, folder in shards.items()}
    train = _train(trained)
    held_out = {name: _read(folder / "heldout" / "*.tar") for name, folder in shards.items()}
    coco = source / "pairs" / "coco_free"
    captions = _rows(coco / "captions.jsonl")
    tests = {
        "SugarCrepe": [
            Item(row["image"], row["caption"], row["negative_caption"], row["kind"])
            for row in _rows(coco / "sugarcrepe.jsonl")
        ],
        **{f"own, {name}": _items(held_out[name]) for name in (REFINED, "unrefined")},
        f"seen, {REFINED}": _items(trained[REFINED])[:SEEN],
    }
    pairs = {
        "textbooks": [(sample.image_id, sample.caption) for sample in held_out[REFINED]],
        "coco": list({row["image"]: (row["image"], row["caption"]) for row in reversed(captions)}.values()),
    }
    by_name = {
        one.image_id: one.image
        for folder in shards.values()
        for part in ("*.tar", "heldout/*.tar")
        for one in _read(folder / part)
    }
    by_name |= {row["image"]: (coco / row["image"]).read_bytes() for row in captions}
    texts = dict.fromkeys(_texts(train, tests.values(), pairs.values()))
    return Material(
        train,
        tests,
        pairs,
        _encoded("image", list(by_name.values()), made),
        _encoded("text", list(texts), made),
        {name: row for row, name in enumerate(by_name)},
        {text: row for row, text in enumerate(texts)},
    )


# --- captions --------------------------------------------------------------------------------------------------------


def _shards(name: str, source: Path, made: Path) -> Path:
    """Shards with the negatives of a set; those of `REFINED` know their neighbours too."""
    folder = made / name
    if not (folder / "shards" / "heldout" / "index.json").is_file():
        made.mkdir(parents=True, exist_ok=True)
        rules = ", ".join(f'"{rule}"' for rule in load_preset("unguessable").rules)
        (made / "unrefined.toml").write_text(f"rules = [{rules}]\nper_caption = {SLOTS}\nbalanced = false\n")
        preset = made / SETS[name] if SETS[name].endswith(".toml") else SETS[name]
        work = ("--work", folder / "work")
        many = ("--per-caption", SLOTS)
        _negmine("parse", source / "captions.jsonl", "--images", source, "--preset", preset, *many, *work)
        if name == REFINED:  # of six, four or more are on the side of training
            _negmine("retrieve", "--neighbours", SLOTS + 2, *work)
        out = ("--out", folder / "shards", "--train-fraction", TRAINING)
        _negmine("shard", "--negatives", SLOTS, "--image-size", 256, *out, *work)
    return folder / "shards"


def _negmine(*words: object) -> None:
    subprocess.run([str(Path(sys.executable).parent / "negmine"), *map(str, words)], check=True)


def _read(pattern: Path) -> list[Sample]:
    return [located.sample for located in read_through(open_shards([str(pattern)]).shards)]


def _rows(path: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def _train(samples: Mapping[str, Sequence[Sample]]) -> list[Photo]:
    """Photos with the negatives of each set; captions of neighbours are those of photos that are trained on."""
    captions = {sample.key: sample.caption for sample in samples[REFINED]}
    false = {
        name: {one.key: [negative.text for negative in one.negatives] for one in found}
        for name, found in samples.items()
    }
    photos = []
    for one in samples[REFINED]:
        negatives: dict[str, Sequence[str]] = {name: by_key.get(one.key, ()) for name, by_key in false.items()}
        negatives[RETRIEVED] = [captions[key] for key in one.neighbours if key in captions][:SLOTS]
        negatives[ALL] = [*negatives[REFINED], *negatives[RETRIEVED]]
        photos.append(Photo(one.image_id, one.caption, negatives))
    return photos


def _items(samples: Iterable[Sample]) -> list[Item]:
    return [Item(one.image_id, one.caption, foil.text, foil.kind) for one in samples for foil in one.negatives]


def _texts(
    train: Iterable[Photo], tests: Iterable[Sequence[Item]], pairs: Iterable[Sequence[tuple[str, str]]]
) -> Iterable[str]:
    for photo in train:
        yield photo.caption
        for several in photo.negatives.values():
            yield from several
    for items in tests:
        for item in items:
            yield from (item.caption, item.foil)
    for several in pairs:
        yield from (caption for _, caption in several)


# --- features --------------------------------------------------------------------------------------------------------


def _encoded(modality: str, items: Sequence[str] | Sequence[bytes], made: Path) -> Tensor:
    """Unit rows ``[N, D]``, from the file if these very items were encoded before."""
    encoder = make_encoder({"image": "lite0", "text": "minilm"}[modality], modality)  # type: ignore[arg-type]
    digest = hashlib.sha256(encoder.identity().encode())
    for item in items:
        digest.update(hashlib.sha256(item.encode() if isinstance(item, str) else item).digest())
    path = made / f"{modality}-{digest.hexdigest()[:16]}.npy"
    if not path.is_file():
        encoder.load()
        np.save(path, encoder.encode([""] * len(items), items))
    return torch.from_numpy(np.load(path))
