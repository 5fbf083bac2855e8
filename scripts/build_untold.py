"""Make `pipeline/negmine/stages/neighbours/untold.tsv`: how often captions leave out what another of their image says.

    python scripts/build_untold.py captions_val2017.json

Reads COCO captions (CC BY 4.0), several of each image, and keeps shares of captions alone.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from negmine.language.analyse import load_model, parse
from negmine.language.caption import Caption
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.neighbours.evidence import untold

TARGET = Path(__file__).parents[1] / "pipeline/negmine/stages/neighbours/untold.tsv"
HEADER = """\
# What captions claim, and minus the logarithm of the share of captions beside them that leave it out (n: noun, v: verb,
# a: dimension of an attribute, =: number; of a class where no more is said); made by scripts/build_untold.py.
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="COCO captions JSON")
    rows = json.loads(parser.parse_args().captions.read_text())["annotations"]
    texts = [" ".join(row["caption"].split()) for row in rows]
    parsed = parse(load_model(None), texts, packaged_vocabulary())
    images: dict[int, list[Caption]] = defaultdict(list)
    for row, text in zip(rows, texts, strict=True):
        images[row["image_id"]].append(parsed[text])
    weights = untold(images.values())
    TARGET.write_text(HEADER + "".join(f"{name}\t{weight:.2f}\n" for name, weight in weights.items()), "utf-8")


if __name__ == "__main__":
    main()
