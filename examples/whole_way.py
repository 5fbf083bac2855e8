"""From captioned images to a trained model: `python examples/whole_way.py data/sample/captions.jsonl data/sample`."""

import sys
from itertools import islice

import ahnpl
import negmine
from ahnpl.data.shards import open_shards
from ahnpl.evaluation.items import shard_items


def main(captions: str, images: str, limit: int | None = None, steps: int = 40) -> None:
    # Captions in, false captions out. Each call resumes, and does nothing where all is made.
    made = negmine.parse(captions, "work", images=images, reading=negmine.IngestSettings(limit=limit))
    print(f"{made.counts['negatives']:,} negatives of {made.counts['pairs']:,} captions")
    for pair in islice(negmine.read("work"), 3):
        print(pair.caption, *(f"\n    {negative.kind}: {negative.text}" for negative in pair.negatives))

    # Other pairs that are hard to tell from this one and yet not true of it, then everything as tars.
    negmine.retrieve("work")
    negmine.shard("work", "data-out", negmine.ShardSettings(shard_size=200, image_size=64))

    # A small model, trained on them, and asked about images that it has not seen.
    config = ahnpl.TrainConfig(
        shards=("data-out/*.tar",), model="tiny", recipe="ahnpl", steps=steps, batch_size=16, out="run", workers=1
    )
    result = ahnpl.train(config)
    held_out = shard_items(open_shards(["data-out/heldout/*.tar"]))
    report = ahnpl.evaluate(ahnpl.load("run"), held_out, retrieval=True)
    print(f"{result.steps} steps; caption before its negatives: {report.micro.share:.1%}")


if __name__ == "__main__":  # worker processes import this file
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
