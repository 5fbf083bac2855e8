"""Every comparison of speed: rates of ours and of a peer's in turns of one run, and the page about them.

    python benchmarks/speed --data FOLDER [--only text,search] [--full] [--out docs/speed.md]

FOLDER holds captions/coco_val2017_even.json, COCO captions of the val2017 images with an even id (sha256 be53861f...);
photos are those of data/sample. A comparison is kept in RUNS under its name; the page is written from all that are
there, so one of them may be measured again alone. The quick form takes about ten minutes on two free cores; --full has
more turns and larger corpora, and shows whether memory grows. The peers are packages: `pip install '.[peers]'`.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"))  # before torch

from comparison import Comparison, show
from memory import BIN, PHOTOS
from page import Result, machine, write_page

NAMES = ("text", "search", "whole", "encode", "streaming", "training", "render", "memory")
CAPTIONS = "captions/coco_val2017_even.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--only", help=f"of {','.join(NAMES)}")
    parser.add_argument("--full", action="store_true", help="an hour instead of ten minutes")
    parser.add_argument("--out", type=Path, default=Path("runs/speed/speed.md"), help="the page")
    parser.add_argument("--runs", type=Path, default=Path("runs/speed"), help="where results are kept")
    options = parser.parse_args()
    names = options.only.split(",") if options.only else NAMES
    if unknown := set(names) - set(NAMES):
        parser.error(f"no comparison is called {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    if not (options.data / CAPTIONS).is_file():
        parser.error(f"{options.data} has no {CAPTIONS}")
    if "whole" in names and not find_spec("datasets"):
        parser.error(
            "sentence-transformers mines with the package datasets: pip install '.[peers]', or leave out whole"
        )
    with TemporaryDirectory() as scratch:
        runs = comparisons(options.data / CAPTIONS, Path(scratch), full=options.full)
        for name in names:
            measure(name, runs[name], options.full).write(options.runs)
    results = [Result.read(path) for name in NAMES if (path := options.runs / f"{name}.json").is_file()]
    write_page(results, options.out)
    print(options.out)


def comparisons(captions: Path, scratch: Path, *, full: bool) -> dict[str, Callable[[], Comparison]]:
    """Name to what runs it; a comparison's libraries are loaded when it is asked for."""

    def text() -> Comparison:
        from text import compare

        return compare(captions, 5, None) if full else compare(captions, 3, 6_000)

    def retrieval(name: str) -> Comparison:
        from retrieval import COMPARISONS, compare_search

        turns = 5 if full else 3
        if name == "search" and not full:
            return compare_search(scratch, turns, queries=5_000, corpus=100_000)
        return COMPARISONS[name](scratch, turns)

    def streaming() -> Comparison:
        from streaming import compare

        return compare([make_shards(scratch)], turns=10 if full else 5)

    def training() -> Comparison:
        from training import compare

        return compare([make_shards(scratch)], turns=20 if full else 8)

    def render() -> Comparison:
        from render import compare

        return compare(turns=5 if full else 3, count=300 if full else 100)

    def memory() -> Comparison:
        from memory import compare

        return compare(captions, [1, 4, 10] if full else [1], scratch)

    parts = {name: partial(retrieval, name) for name in ("search", "whole", "encode")}
    return {"text": text, **parts, "streaming": streaming, "training": training, "render": render, "memory": memory}


def make_shards(scratch: Path) -> str:
    """Shards of the sample by the real commands, with five slots for negatives, all its photos for training."""
    sample, work, out = PHOTOS.parent, scratch / "work", scratch / "shards"
    if not out.is_dir():
        negmine("parse", sample / "captions.jsonl", "--images", sample, "--per-caption", 5, "--work", work)
        negmine("shard", "--work", work, "--out", out, "--negatives", 5, "--train-fraction", 1)
    return f"{out}/*.tar"


def negmine(*words: object) -> None:
    """Run a command; its output is shown if it fails."""
    done = subprocess.run([str(BIN / "negmine"), *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stdout + done.stderr)


def measure(name: str, run: Callable[[], Comparison], full: bool) -> Result:
    """Run a comparison and show it."""
    before, started = os.getloadavg()[0], time.monotonic()
    found = run()
    show(found)
    command = f"python benchmarks/speed --data DATA --only {name}{' --full' if full else ''}"
    return Result(found, machine(), (before, os.getloadavg()[0]), time.monotonic() - started, command)


if __name__ == "__main__":
    main()
