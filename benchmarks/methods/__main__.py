"""The methods on equal terms: a small model from scratch, the same scenes, the same number of images a step.

    python benchmarks/methods quick
    python benchmarks/methods essential [--out runs/methods] [--jobs 2] [--seeds 3]
    python benchmarks/methods boxes --others FOLDER
    python benchmarks/methods --list

A grid is a set of cells; each is trained and scored on one core, on scenes whose make-up no training scene had, and is
kept in OUT/cells under the hash of its settings. The same command goes on where it was stopped, and a finished grid is
only summed up again: OUT/GRID.md, OUT/GRID.png, OUT/GRID.json. The hash knows the settings and not the code: after a
change of a recipe, remove its cells.
"""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch: so small a model is fastest on one

from cells import result, run_all
from grids import GRIDS
from negmine.base.errors import NegmineError
from report import GOAL, draw, kinds, lines, markdown, others


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("grid", choices=[*GRIDS], nargs="?", default="quick")
    parser.add_argument("--rows", nargs="+", help="only these")
    parser.add_argument("--seeds", type=int, help="only the first so many")
    parser.add_argument("--data", type=Path, default=Path("runs/methods/data"), help="where the scenes are drawn")
    parser.add_argument("--out", type=Path, default=Path("runs/methods"))
    parser.add_argument("--others", type=Path, help="folder with geometry3k/ and pairs/nlvr/, to score on them as well")
    parser.add_argument("--jobs", type=int, default=2, help="cells at a time, each on one core")
    parser.add_argument("--goal", type=float, default=GOAL, help="group score to which steps are counted")
    parser.add_argument("--list", action="store_true", help="show the cells, and which are there; run nothing")
    parser.add_argument("--report", action="store_true", help="sum up what is there; run nothing")
    options = parser.parse_args()
    cells = GRIDS[options.grid]()
    if options.rows:
        cells = [cell for cell in cells if cell.row in options.rows]
    if options.seeds is not None:
        cells = [cell for cell in cells if cell.seed < options.seeds]
    if options.list:
        for cell in cells:
            print("there  " if result(cell, options.out) else "missing", cell.key)
        return
    if not options.report:
        told = partial(print, flush=True)
        try:
            run_all(cells, options.data, options.out, options.jobs, told, options.others)
        except NegmineError as error:
            raise SystemExit(str(error)) from None
    found = [one for cell in cells if (one := result(cell, options.out)) is not None]
    if not found:
        raise SystemExit("no cell of this grid was run yet")
    made = lines(found, options.goal)
    tables = "\n".join(table for table in (markdown(made), kinds(made), others(made)) if table)
    (options.out / f"{options.grid}.md").write_text(tables, encoding="utf-8")
    (options.out / f"{options.grid}.json").write_text(json.dumps([*map(asdict, made)], indent=1), encoding="utf-8")
    draw(made, options.out / f"{options.grid}.png")
    print(tables, options.out / f"{options.grid}.png", sep="\n")


if __name__ == "__main__":
    main()
