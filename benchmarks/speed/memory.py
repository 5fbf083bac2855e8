"""What do the commands cost: time, memory, bytes? Does memory grow with the number of pairs?

    python benchmarks/speed/memory.py CAPTIONS.json [--times 1 10] [--scratch DIR]

Repeats a COCO captions file under new ids, lets each id show one of the sample's photos, runs parse, retrieve and shard
with two workers, and prints for each the peak of the memory of all its processes (proportional set size, from /proc),
its CPU seconds and what it wrote. Retrieval reads ready embeddings (384 dimensions, random): the memory of an encoder
does not depend on the pairs.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from comparison import Comparison, Row, show
from costs import BYTES, RATE

PHOTOS = Path(__file__).parents[2] / "data" / "sample" / "images"
BIN = Path(sys.executable).parent
WRITES = {"parse": ("pairs", "negatives"), "retrieve": ("embeddings", "neighbours"), "shard": ("shards",)}
"""What each command leaves in its work folder; shards lie there too, here."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    show(compare(options.captions, options.times, options.scratch))


def compare(captions: Path, times: list[int], scratch: Path | None = None) -> Comparison:
    """Pairs by CPU second of each command; there is no peer that does the same. The notes have peaks and bytes."""
    with TemporaryDirectory(dir=scratch) as folder:
        found = [stage for number in times for stage in measure(captions, number, Path(folder) / str(number))]
    rows = [
        Row(f"`{stage.command}`, {stage.pairs:,} pairs", "pairs/s", [stage.pairs / stage.taken.cpu]) for stage in found
    ]
    last = {stage.command: stage for stage in found}
    facts = {f"{RATE}{name}": stage.pairs / stage.taken.cpu for name, stage in last.items()}
    facts |= {f"{BYTES}{name}": size / stage.pairs for stage in last.values() for name, size in stage.bytes.items()}
    setting = "whole commands, two workers, by CPU second of all their processes"
    return Comparison("memory", setting, rows, [str(stage) for stage in found], facts)


@dataclass(frozen=True)
class Taken:
    """What a command took: seconds on the wall, CPU seconds and peak memory of all its processes."""

    seconds: float
    cpu: float
    peak_mb: float


@dataclass(frozen=True)
class Stage:
    """A command on so many pairs, and the bytes of each folder that it left."""

    command: str
    pairs: int
    taken: Taken
    bytes: dict[str, int]

    def __str__(self) -> str:
        written = ", ".join(f"{name} {size / self.pairs:,.0f}" for name, size in self.bytes.items())
        taken = f"{self.taken.seconds:,.0f} s on the wall, peak {self.taken.peak_mb:,.0f} MB"
        return f"`{self.command}` of {self.pairs:,} pairs: {taken}; bytes a pair: {written}"


def measure(captions: Path, times: int, folder: Path) -> list[Stage]:
    """Run the three commands."""
    folder.mkdir()
    pairs = repeat(captions, times, folder)
    work = folder / "work"
    commands: dict[str, list[Any]] = {
        "parse": ["parse", folder / "captions.json", "--images", folder / "photos"],
        "retrieve": ["retrieve", "--encoder", f"npy:{folder}/vectors.npy"],
        "shard": ["shard", "--out", work / "shards", "--image-size", 64],
    }
    stages = []
    for name, arguments in commands.items():
        taken = run([BIN / "negmine", *arguments, "--work", work, "--workers", 2])
        sizes = {part: sum(file.stat().st_size for file in (work / part).rglob("*.*")) for part in WRITES[name]}
        stages.append(Stage(name, pairs, taken, sizes))
    return stages


def repeat(captions: Path, times: int, folder: Path) -> int:
    """The captions file `times` over under new ids, photos for its images, and embeddings for its captions."""
    source = json.loads(captions.read_text())
    ids = {image["id"]: number for number, image in enumerate(source["images"])}
    images = [
        {"id": n + copy * len(ids), "file_name": f"{n + copy * len(ids)}.jpg"}
        for copy in range(times)
        for n in ids.values()
    ]
    annotations = [
        {"id": number, "image_id": ids[a["image_id"]] + copy * len(ids), "caption": a["caption"]}
        for number, (copy, a) in enumerate((c, a) for c in range(times) for a in source["annotations"])
    ]
    (folder / "captions.json").write_text(json.dumps({"images": images, "annotations": annotations}))
    photos = sorted(PHOTOS.glob("*.jpg"))
    (folder / "photos").mkdir()
    for image in images:
        (folder / "photos" / image["file_name"]).symlink_to(photos[image["id"] % len(photos)])
    vectors = np.random.default_rng(0).standard_normal((len(annotations), 384), dtype=np.float32)
    np.save(folder / "vectors.npy", vectors)
    (folder / "vectors.keys").write_text("".join(f"{a['id']}\n" for a in annotations))
    return len(annotations)


def run(command: list[Any]) -> Taken:
    """Run a command to its end."""
    started, before = time.monotonic(), children_cpu()
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as process:
        peak = [0.0]
        watcher = threading.Thread(target=watch, args=(process, peak), daemon=True)
        watcher.start()
        status = process.wait()
    if status:
        sys.exit(f"{command} ended with status {status}")
    return Taken(time.monotonic() - started, children_cpu() - before, peak[0])


def children_cpu() -> float:
    """CPU seconds of all processes that ended below this one."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def watch(process: subprocess.Popen[bytes], peak: list[float]) -> None:
    while process.poll() is None:
        peak[0] = max(peak[0], sum(map(proportional_mb, family(process.pid))))
        time.sleep(0.1)


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(descendant for child in children for descendant in family(int(child)))]


def proportional_mb(pid: int) -> float:
    """Memory of a process in MB; what it shares with others counts by its share."""
    try:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


if __name__ == "__main__":
    main()
