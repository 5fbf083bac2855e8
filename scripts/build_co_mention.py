"""Make `pipeline/negmine/language/data/co_mention.tsv`: nouns that other captions say of a noun's images.

    python scripts/build_co_mention.py captions_val2017.json

Reads COCO captions (CC BY 4.0), several of each image, and keeps shares of captions alone.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from negmine.language.analyse import load_model, parse
from negmine.language.co_mention import Mentions, concepts_of, put_in
from negmine.language.vocabulary import packaged_vocabulary

TARGET = Path(__file__).parents[1] / "pipeline/negmine/language/data/co_mention.tsv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="COCO captions JSON")
    rows = json.loads(parser.parse_args().captions.read_text())["annotations"]
    vocabulary = packaged_vocabulary()
    texts = [" ".join(row["caption"].split()) for row in rows]
    parsed = parse(load_model(None), texts, vocabulary)
    images: dict[int, list[frozenset[str]]] = defaultdict(list)
    for row, text in zip(rows, texts, strict=True):
        images[row["image_id"]].append(concepts_of(parsed[text], vocabulary))
    mentions, others = Mentions(), put_in(vocabulary)
    for captions in images.values():
        mentions.add_image(captions, others)
    rates = mentions.together()
    header = "# Noun, another said of its images, share of its captions; made by scripts/build_co_mention.py.\n"
    TARGET.write_text(
        header + "".join(f"{one}\t{other}\t{rate:.2f}\n" for (one, other), rate in rates.items()), "utf-8"
    )


if __name__ == "__main__":
    main()
