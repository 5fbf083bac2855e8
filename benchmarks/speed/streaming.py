"""How fast do batches come from shards?

    python benchmarks/speed/streaming.py SHARDS... [--image-size 224] [--batch-size 64] [--workers 1] [--turns 5]

Epochs take turns: our stream with captions alone, our stream with 5 negatives a caption, and open_clip's own training
pipeline (``open_clip_train.data.get_wds_dataset`` with its transform and tokenizer). Same shards, same number of
workers; the first epoch of each is not counted. Beside it the tars alone, nothing decoded: our reader, which checks
them against their index, and webdataset's.

open_clip 3.3 cannot read with webdataset 0.2.87 or later, which ends each tar with an empty item (open_clip issue 935).
Here such items are dropped before they reach it; nothing else of it is changed.
"""

from __future__ import annotations

import argparse
import random
from argparse import Namespace
from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from typing import Any

import open_clip
import open_clip_train.data as theirs
import webdataset
from ahnpl.data.decode import Decoder
from ahnpl.data.read import read_through
from ahnpl.data.shards import ShardSet, open_shards
from ahnpl.data.stream import Stream
from ahnpl.model.clip import load_tokenizer
from comparison import Comparison, Row, show, take_turns
from costs import DECODED
from open_clip.transform import AugmentationCfg, PreprocessCfg, image_transform_v2

NEGATIVES = 5
READS = 10
"""Passes over the tars in a turn, where nothing is decoded."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shards", nargs="+")
    parser.add_argument("--image-size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    options = parser.parse_args()
    show(compare(options.shards, options.turns, options.image_size, options.batch_size, options.workers))


def compare(
    patterns: list[str], turns: int = 5, image_size: int = 224, batch_size: int = 64, workers: int = 1
) -> Comparison:
    """Our stream against open_clip's, and our reader of tars against webdataset's."""
    shards = open_shards(patterns)
    options = Namespace(image_size=image_size, batch_size=batch_size, workers=workers)
    rates = take_turns(
        {
            DECODED: ours(shards, options, 0),
            f"{DECODED}, {NEGATIVES} negatives": ours(shards, options, NEGATIVES),
            "open_clip": open_clips(shards, options),
        },
        turns,
        warm=1,
    )
    their_stream = rates.pop("open_clip")
    rows = [Row(what, "samples/s", rate, "open_clip's pipeline", their_stream, 1.5) for what, rate in rates.items()]
    rates = take_turns({"ours": lambda: read_ours(shards), "theirs": lambda: read_theirs(shards)}, turns, warm=1)
    rows.append(Row("tars read, nothing decoded", "samples/s", rates["ours"], "webdataset", rates["theirs"]))
    setting = f"{shards.samples:,} samples, {image_size} pixels, {workers} worker(s), seconds on the wall"
    notes = (
        "our reader of tars parses each sample and counts against the index; webdataset's gives bytes by name",
        "ours reads in the main process while a worker decodes; where others work too, two processes get more than "
        "one, and the first two ratios come out too high",
    )
    return Comparison("streaming", setting, rows, notes)


def read_ours(shards: ShardSet) -> float:
    """Samples of all tars, captions and negatives parsed and counted against the index."""
    return sum(1 for _ in range(READS) for _ in read_through(shards.shards))


def read_theirs(shards: ShardSet) -> float:
    """The same files as dictionaries of bytes."""
    urls = [shard.url for shard in shards.shards]
    return sum(1 for _ in range(READS) for _ in webdataset.WebDataset(urls, shardshuffle=False))


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
        train_data="::".join(shard.url for shard in shards.shards),
        train_num_samples=shards.samples,
        train_data_upsampling_factors=None,
        dataset_resampled=False,
        seed=0,
        batch_size=options.batch_size,
        workers=options.workers,
        world_size=1,
    )
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
