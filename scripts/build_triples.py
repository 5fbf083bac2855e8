"""Make `pipeline/negmine/stages/negatives/data/triples.tsv`: which things captions tell to do what to which others.

    python scripts/build_triples.py captions_val2017.json

Reads COCO captions (CC BY 4.0) and keeps counts of images alone.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path

from negmine.language.analyse import load_model, parse
from negmine.language.lexicon import packaged_lexicon
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.negatives.roles import told

TARGET = Path(__file__).parents[1] / "pipeline/negmine/stages/negatives/data/triples.tsv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, help="COCO captions JSON")
    rows = json.loads(parser.parse_args().captions.read_text())["annotations"]
    vocabulary, lexicon = packaged_vocabulary(), packaged_lexicon()
    texts = [" ".join(row["caption"].split()) for row in rows]
    parsed = parse(load_model(None), texts, vocabulary)
    images: dict[tuple[str, str, str], set[int]] = defaultdict(set)
    for row, text in zip(rows, texts, strict=True):
        for triple in told(parsed[text], vocabulary, lexicon):
            images[triple].add(row["image_id"])
    header = "# Subject, relation, object and how many images are told of so; made by scripts/build_triples.py.\n"
    lines = ("\t".join((*triple, str(len(of)))) + "\n" for triple, of in sorted(images.items()))
    TARGET.write_text(header + "".join(lines), "utf-8")


if __name__ == "__main__":
    main()
