"""Build ``pipeline/negmine/language/data/wordnet.tsv.gz`` from a WordNet 3.0 database.

    apt-get install wordnet-base wordnet-sense-index
    python scripts/build_lexicon.py /usr/share/wordnet

The same database gives the same bytes.
"""

from __future__ import annotations

import argparse
import gzip
import logging
from pathlib import Path

from negmine.language.lexicon import TABLE
from negmine.language.wordnet import wordnet_rows

OUTPUT = Path(__file__).parent.parent / "pipeline" / "negmine" / "text" / "data" / TABLE


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("wordnet", type=Path, help="folder with data.noun, index.sense and the other files")
    parser.add_argument("--out", type=Path, default=OUTPUT)
    options = parser.parse_args()
    rows = wordnet_rows(options.wordnet)
    text = "".join(row + "\n" for row in rows).encode()
    options.out.write_bytes(gzip.compress(text, compresslevel=9, mtime=0))
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    logging.info("%s: %d words, %d bytes", options.out, len(rows), options.out.stat().st_size)


if __name__ == "__main__":
    main()
