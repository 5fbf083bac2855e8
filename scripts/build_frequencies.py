"""Make `pipeline/negmine/stages/negatives/data/frequencies.tsv`: how often captions use the nouns that rules know.

    python scripts/build_frequencies.py captions_val2017.json captions.jsonl

Counts alone are kept, of nouns in both numbers; used where `negmine parse` does not count the corpus at hand.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

from negmine.language.inflect import plural
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.negatives.clusters import packaged_counts
from negmine.stages.negatives.frequency import count_words

TARGET = Path(__file__).parents[1] / "pipeline/negmine/stages/negatives/data/frequencies.tsv"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path, nargs="+", help="COCO captions JSON, or JSONL with `caption`")
    captions = [caption for path in parser.parse_args().captions for caption in read(path)]
    vocabulary = packaged_vocabulary()
    nouns = {*packaged_counts(), *vocabulary.put_in, *vocabulary.places}
    counts = count_words(captions, frozenset(nouns | set(map(plural, nouns))))
    header = (
        "# Nouns that name a visible thing, and how often captions use them; made by scripts/build_frequencies.py.\n"
    )
    rows = (
        f"{noun}\t{counts.get(noun, 0) + (counts.get(plural(noun), 0) if plural(noun) != noun else 0)}\n"
        for noun in sorted(nouns)
    )
    TARGET.write_text(header + "".join(row for row in rows if not row.endswith("\t0\n")), "utf-8")


def read(path: Path) -> Iterator[str]:
    if path.suffix == ".json":
        yield from (row["caption"] for row in json.loads(path.read_text())["annotations"])
    else:
        yield from (json.loads(line)["caption"] for line in path.read_text().splitlines())


if __name__ == "__main__":
    main()
