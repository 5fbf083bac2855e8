"""How often do captions of one image meet in a batch, beside a shuffle of the whole set?

    python benchmarks/captions_of_one_image.py

Shards of 5,000 as `negmine shard` writes them, five captions an image, scattered inside their shard; the order of
`ahnpl-train`, with its shuffle window, by counts alone. Shards one after the other are what a small window makes of
them; three seeds.
"""

from __future__ import annotations

import random
from collections import Counter

from ahnpl.data.order import SHARDS_ABREAST, CanonicalRank, epoch_order
from ahnpl.data.stream import SHUFFLE_WINDOW

PER_SHARD, CAPTIONS, SEEDS = 1_000, 5, 3


def main() -> None:
    print("| images | processes | batch | one shard after the other | `ahnpl-train` | whole-set shuffle |")
    print("| --- | --- | --- | --- | --- | --- |")
    for images in (3_000, 118_000):
        shards = shards_of(images)
        for ranks, batch in ((1, 256), (1, 1_024), (8, 2_048)):
            apart = [company(trained_on(shards, seed, ranks, batch, abreast=1), batch) for seed in range(SEEDS)]
            ours = [trained_on(shards, seed, ranks, batch, SHARDS_ABREAST) for seed in range(SEEDS)]
            even = [company(random.Random(seed).sample(one, len(one)), batch) for seed, one in enumerate(ours)]
            cells = (sum(found) / SEEDS for found in (apart, [company(one, batch) for one in ours], even))
            print(f"| {images:,} | {ranks} | {batch:,} | {' | '.join(f'{cell:.4f}' for cell in cells)} |", flush=True)


def shards_of(images: int) -> list[list[int]]:
    """The image of each sample, shard by shard."""
    chance = random.Random(0)
    firsts = range(0, images, PER_SHARD)
    owners = [[image for image in range(at, min(at + PER_SHARD, images)) for _ in range(CAPTIONS)] for at in firsts]
    return [chance.sample(shard, len(shard)) for shard in owners]


def trained_on(shards: list[list[int]], seed: int, ranks: int, batch: int, abreast: int) -> list[int]:
    """The images of an epoch, batch by batch."""
    counts, each = [len(shard) for shard in shards], batch // ranks
    own = [CanonicalRank(number, ranks) for number in range(ranks)]
    stretches = [list(epoch_order(counts, seed, 0, SHUFFLE_WINDOW, rank, abreast)) for rank in own]
    starts = range(0, min(map(len, stretches)) - each + 1, each)
    places = [place for at in starts for stretch in stretches for place in stretch[at : at + each]]
    return [shards[shard][position] for shard, position in places]


def company(images: list[int], batch: int) -> float:
    """Others of its own image that a sample meets in its batch, on average."""
    batches = [Counter(images[at : at + batch]) for at in range(0, len(images) - batch + 1, batch)]
    return sum(count * (count - 1) for one in batches for count in one.values()) / (len(batches) * batch)


if __name__ == "__main__":
    main()
