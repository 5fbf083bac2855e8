"""Real photos: which false captions teach a pretrained dual encoder something?

    python benchmarks/photos --data FOLDER [--out runs/photos] [--seeds 3] [--report]

FOLDER has pairs/openstax (1,342 textbook photos with their descriptions) and pairs/coco_free (118 COCO photos, items
of SugarCrepe on 38 of them). Negatives are made by `negmine parse` and `negmine retrieve`, shards by `negmine shard`.
The towers (`lite0`, `minilm`) are frozen and encode everything once; two projections are trained on top with the
trainer's losses, optimiser and schedule: warmed up on captions alone, then trained on with each set of negatives.

Each cell is kept in OUT/cells under the hash of its settings and of the material: the same command goes on where it was
stopped, and a finished grid is only summed up again, in OUT/photos.md.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: so small a model is fastest on one

from cells import NONE, digest, grid, result, run_all
from material import load
from summary import lines, tables


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("runs/photos"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--report", action="store_true", help="sum up what is there; run nothing")
    options = parser.parse_args()
    material = load(options.data, options.out / "made")
    cells = grid(digest(material), options.seeds)
    if not options.report:
        run_all(cells, material, options.out, lambda line: print(line, flush=True))
    found = [one for cell in cells if (one := result(cell, options.out)) is not None]
    if not found:
        raise SystemExit("no cell was run yet")
    made = tables(lines(found), NONE)
    (options.out / "photos.md").write_text(made, encoding="utf-8")
    print(made)


if __name__ == "__main__":
    main()
