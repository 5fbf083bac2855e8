"""Which pairs of held-out scenes a model matches with their captions, and an image of some of them."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path

import torch
from ahnpl.data.images import evaluation_pixels
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import Item, Twin, shard_items
from ahnpl.evaluation.metrics import RIGHT, leads, outcome
from ahnpl.evaluation.run import load_transform
from ahnpl.model.clip import load_checkpoint, load_tokenizer
from negmine.stages.figures.draw import load_font
from PIL import Image, ImageDraw

SIDE, GAP, TEXT, COLUMN = 128, 12, 24, 320
Pair = tuple[Item, Twin]


@dataclass(frozen=True)
class Matched:
    """Pairs in the order of the shards, and whether all four scores of each are right."""

    pairs: list[Pair]
    matched: list[bool]


def pairs_matched(checkpoint: Path, shards: Path) -> Matched:
    """Judge every pair of the held-out shards with a model."""
    model = load_checkpoint(checkpoint).eval()
    transform, tokenize = load_transform(model), load_tokenizer(model.spec.name)
    pairs = [(item, twin) for item in shard_items(open_shards([f"{shards}/heldout/*.tar"])) for twin in item.twins]
    matched = []
    with torch.inference_mode():
        for start in range(0, len(pairs), 128):
            some = pairs[start : start + 128]
            pixels = [
                evaluation_pixels(content, transform)
                for item, twin in some
                for content in (item.image or b"", twin.image)
            ]
            images = model.encode_image(torch.stack([torch.from_numpy(p.copy()).permute(2, 0, 1) for p in pixels]))
            texts = model.encode_text(tokenize([text for item, twin in some for text in (item.caption, twin.caption)]))
            blocks = [images[start : start + 2] @ texts[start : start + 2].T for start in range(0, len(images), 2)]
            matched += [outcome(min(leads(scores))) == RIGHT for scores in blocks]
    return Matched(pairs, matched)


def draw_pairs(pairs: list[Pair], recipes: tuple[str, ...], path: Path) -> None:
    """One pair a row, each scene with its caption below; the first model confuses them, the second does not."""
    width, tall = 2 * COLUMN + GAP, SIDE + TEXT + GAP
    page = Image.new("RGB", (width, GAP + 28 + max(1, len(pairs)) * tall), "white")
    pen, font = ImageDraw.Draw(page), load_font(13)
    pen.text((GAP, GAP), f"confused by {recipes[0]}, told apart by {recipes[1]}", fill="black", font=font)
    for row, (item, twin) in enumerate(pairs):
        top = GAP + 28 + row * tall
        for column, (content, caption) in enumerate(((item.image, item.caption), (twin.image, twin.caption))):
            left = GAP + column * COLUMN
            scene = Image.open(io.BytesIO(content or b"")).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            page.paste(scene, (left, top))
            pen.rectangle((left, top, left + SIDE, top + SIDE), outline="#999999")
            pen.text((left, top + SIDE + 4), caption, fill="black", font=load_font(11))
    page.save(path)
