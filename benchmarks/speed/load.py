"""Is the time of a command linear in what it is given, and its memory flat?

    python benchmarks/speed/load.py [--rows N ...] [--parts N ...] [--captions N ...] [--scratch DIR]

*Rows*: JSONL without images, five captions an image, read, gathered, inspected and settled by one process. *Parts*:
the same in parts of 25 rows. *Captions*: so many of one image, and for comparison each of its own image, through
`negmine parse --workers 1`. Of each: CPU seconds and peak memory of all processes (proportional set size). Inputs are
made and deleted. From the seconds of `parse` those of a run of a few captions are taken, which are its start.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from memory import BIN, Taken, run

PER_IMAGE: Final = 5
PART: Final = 4_096
SMALL_PART: Final = 25
PRESETS: Final = ("swaps", "unguessable")
STARTED: Final = 16
"""Captions of the run whose time counts as the start."""

READ: Final = """
import sys
from pathlib import Path
from negmine.engine.local import LocalEngine
from negmine.stages.pairs.stage import IngestSettings, ingest
ingest(IngestSettings(sys.argv[1], part_size=int(sys.argv[3])), Path(sys.argv[2]), LocalEngine(1))
"""
"""What `negmine parse` does before it looks at the first caption."""

_THINGS = ("dog", "red bus", "man", "small child", "cat", "pizza", "horse", "woman", "bicycle", "white bird", "clock")
_PLACES = ("left of", "under", "behind", "next to", "on top of", "in front of")
_MORE = ("table", "tree", "yellow car", "bench", "house", "tall fence", "boat", "train", "lamp", "chair", "river")
_NUMBERS = ("A", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, nargs="*", default=[10**6, 4 * 10**6, 16 * 10**6])
    parser.add_argument("--parts", type=int, nargs="*", default=[1_000, 4_000, 10_000])
    parser.add_argument("--captions", type=int, nargs="*", default=[1_000, 4_000, 12_000])
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    with TemporaryDirectory(dir=options.scratch) as folder:
        _show("rows", options.rows, (read(Path(folder), rows, PART) for rows in options.rows))
        _show("parts", options.parts, (read(Path(folder), parts * SMALL_PART, SMALL_PART) for parts in options.parts))
        for preset, own in product(PRESETS if options.captions else (), (False, True)):
            start = captions(Path(folder), preset, STARTED, own)
            title = f"captions of {'as many images' if own else 'one image'}, {preset}"
            _show(title, options.captions, (captions(Path(folder), preset, n, own) for n in options.captions), start)


def read(folder: Path, rows: int, part_size: int) -> Taken:
    """Rows to pairs."""
    source, work = folder / "rows.jsonl", folder / "work"
    with source.open("w") as lines:
        for number in range(rows):
            image = f"images/{number // PER_IMAGE:09d}.jpg"
            lines.write(f'{{"image": "{image}", "caption": "A dog runs after ball {number} on the grass."}}\n')
    taken = run([sys.executable, "-c", READ, source, work, part_size])
    source.unlink()
    shutil.rmtree(work)
    return taken


def captions(folder: Path, preset: str, number: int, own: bool) -> Taken:
    """Captions of one image, or each of its `own`, to negatives."""
    source, work = folder / "captions.jsonl", folder / "work"
    rows = ({"image_id": str(n * own), "caption": text} for n, text in enumerate(islice(_captions(), number)))
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    taken = run([BIN / "negmine", "parse", source, "--preset", preset, "--work", work, "--workers", 1])
    shutil.rmtree(work)
    return taken


def _captions() -> Iterator[str]:
    """Different captions, of words that rules know."""
    for middle, number, place, thing, more in product(range(10**6), _NUMBERS, _PLACES, _THINGS, _MORE):
        yield f"{number} {thing} {place} a {more}{f' near house {middle}' if middle else ''}."


def _show(title: str, sizes: Sequence[int], found: Iterator[Taken], start: Taken | None = None) -> None:
    """A table of Markdown, line by line as they come."""
    if not sizes:
        return
    print(f"\n| {title} | CPU s | times the one before (sizes) | peak MB |\n| --- | --- | --- | --- |", flush=True)
    began, before = start.cpu if start else 0.0, None
    for size, taken in zip(sizes, found, strict=True):
        used = taken.cpu - began
        ratio = f"{used / before[1]:.1f} ({size / before[0]:.1f})" if before else ""
        print(f"| {size:,} | {used:,.1f} | {ratio} | {taken.peak_mb:,.0f} |", flush=True)
        before = size, used


if __name__ == "__main__":
    main()
