"""What does Ray cost? The same figures drawn by two local worker processes and by Ray with two CPUs, in turns.

    python benchmarks/speed/engines.py [--groups 4096] [--turns 3]

Whole commands by the wall clock, start and end of the engine included; and the parts alone (the time from the first
to the last finished part is what grows with the work).
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Comparison, Row, show
from negmine.cli.engine_options import EngineOptions
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from negmine.store import load_manifest

WORKERS = 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--groups", type=int, default=4096)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    show(compare(options.groups, options.turns))


def compare(groups: int, turns: int) -> Comparison:
    whole: dict[str, list[float]] = {"local": [], "ray": []}
    running: dict[str, list[float]] = {"local": [], "ray": []}
    digests = set()
    for turn in range(turns):
        for engine in ("local", "ray") if turn % 2 else ("ray", "local"):
            with TemporaryDirectory() as folder:
                seconds, parts, digest = draw(engine, groups, Path(folder) / "work")
            whole[engine].append(groups / seconds)
            running[engine].append(groups / parts)
            digests.add(digest)
    rows = (
        Row("render, start to end", "groups", whole["ray"], "local", whole["local"]),
        Row("render, engine ready", "groups", running["ray"], "local", running["local"]),
    )
    same = "the same bytes" if len(digests) == 1 else "OTHER BYTES"
    return Comparison("engines", f"{groups:,} groups of scenes, {WORKERS} workers or CPUs, wall clock", rows, (same,))


def draw(engine: str, groups: int, work: Path) -> tuple[float, float, str]:
    """Seconds with and without the start of the engine, and the digest of what was made."""
    before = time.monotonic()
    made = EngineOptions(workers=WORKERS, engine="ray" if engine == "ray" else "local").start()
    ready = time.monotonic()
    render(RenderSettings(GroupSettings("scenes", level=3, negatives=3, size=64, seed=0), count=groups), work, made)
    parts = time.monotonic() - ready
    if engine == "ray":
        import ray

        ray.shutdown()
    return time.monotonic() - before, parts, load_manifest(work / "figures").digest


if __name__ == "__main__":
    main()
