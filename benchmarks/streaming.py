"""How fast do batches come from shards?

    python benchmarks/streaming.py SHARDS... [--image-size 224] [--batch-size 64] [--workers 1] [--rounds 5]

Epochs take turns: our stream with captions alone, our stream with 5 negatives a caption, and open_clip's own training
pipeline (``open_clip_train.data.get_wds_dataset`` with its transform and tokenizer). Same shards, same number of
workers; the first epoch of each is not counted. Prints medians and quartiles of samples/s, and ratios of medians.

open_clip 3.3 cannot read with webdataset 0.2.87 or later, which ends each tar with an empty item (open_clip issue 935).
Here such items are dropped before they reach it; nothing else of it is changed.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import open_clip
import open_clip_train.data as theirs
from ahnpl.model import load_tokenizer
from ahnpl.shards import ShardSet, open_shards
from ahnpl.stream import Decoder, Stream
from open_clip.transform import AugmentationCfg, PreprocessCfg, image_transform_v2
from rich.console import Console
from rich.table import Table

NEGATIVES = 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    shards = open_shards(options.shards)
    streams: dict[str, Callable[[], int]] = {
        "ours": ours(shards, options, 0),
        f"ours, {NEGATIVES} negatives": ours(shards, options, NEGATIVES),
        "open_clip": open_clips(shards, options),
    }
    rates: dict[str, list[float]] = {name: [] for name in streams}
    for _ in range(options.rounds + 1):
        for name, epoch in streams.items():
            started = time.perf_counter()
            samples = epoch()
            rates[name].append(samples / (time.perf_counter() - started))
    title = f"{shards.samples:,} samples, {options.image_size} px, {options.workers} workers"
    table = Table("stream", "median samples/s", "quartiles", "ratio to open_clip", title=title)
    base = statistics.median(rates["open_clip"][1:])
    for name, every in rates.items():
        low, middle, high = statistics.quantiles(every[1:], n=4)
        table.add_row(name, f"{middle:,.0f}", f"{low:,.0f} to {high:,.0f}", f"{middle / base:.2f}")
    Console().print(table)


def ours(shards: ShardSet, options: Namespace, negatives: int) -> Callable[[], int]:
    tokenizer = partial(load_tokenizer, "ViT-B-32")
    decoder = Decoder(tokenizer, options.image_size, negatives, shards.negatives, seed=0)
    stream = Stream(shards, decoder, batch_size=options.batch_size, seed=0, workers=options.workers)
    epochs = count()
    return lambda: sum(len(batch.images) for batch in stream.batches(next(epochs)))


def open_clips(shards: ShardSet, options: Namespace) -> Callable[[], int]:
    expand = theirs.tar_file_expander

    def without_ends(*args: Any, **named: Any) -> Iterator[Any]:
        return (item for item in expand(*args, **named) if "fname" in item)

    theirs.tar_file_expander = without_ends
    arguments = Namespace(
        train_data="::".join(shard.url for shard in shards.shards), train_num_samples=shards.samples,
        train_data_upsampling_factors=None, dataset_resampled=False, seed=0, batch_size=options.batch_size,
        workers=options.workers, world_size=1,
    )  # fmt: skip
    transform = image_transform_v2(PreprocessCfg(size=options.image_size), is_train=True, aug_cfg=AugmentationCfg())
    tokenizer = open_clip.get_tokenizer("ViT-B-32")
    random.seed(0)
    info = theirs.get_wds_dataset(arguments, transform, is_train=True, floor=True, tokenizer=tokenizer)
    epochs = count()

    def epoch() -> int:
        info.set_epoch(next(epochs))
        return sum(len(images) for images, _ in info.dataloader)

    return epoch


if __name__ == "__main__":
    main()
