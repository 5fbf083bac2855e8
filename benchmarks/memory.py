"""Does memory grow with the number of pairs?

    python benchmarks/memory.py CAPTIONS.json [--times 1 10] [--scratch DIR]

Repeats a COCO captions file under new ids, lets each id show one of the sample's photos, runs parse, retrieve and shard
with two workers, and prints for each the peak of the memory of all its processes (proportional set size, from /proc).
Retrieval reads ready embeddings (384 dimensions, random): the memory of an encoder does not depend on the pairs.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import threading
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

PHOTOS = Path(__file__).parents[1] / "data" / "sample" / "images"
BIN = Path(sys.executable).parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--times", type=int, nargs="+", default=[1, 10])
    parser.add_argument("--scratch", type=Path)
    options = parser.parse_args()
    table = Table("pairs", "command", "peak MB", "seconds", "pairs/s", title="peak memory, two workers")
    with TemporaryDirectory(dir=options.scratch) as scratch:
        for times in options.times:
            for row in measure(options.captions, times, Path(scratch) / str(times)):
                table.add_row(*row)
    Console().print(table)


def measure(captions: Path, times: int, folder: Path) -> list[tuple[str, ...]]:
    folder.mkdir()
    pairs = repeat(captions, times, folder)
    work, out = folder / "work", folder / "out"
    commands: dict[str, list[Any]] = {
        "parse": ["parse", folder / "captions.json", "--images", folder / "photos"],
        "retrieve": ["retrieve", "--encoder", f"npy:{folder}/vectors.npy"],
        "shard": ["shard", "--out", out, "--image-size", 64],
    }
    rows = []
    for name, arguments in commands.items():
        seconds, peak = run([BIN / "negmine", *arguments, "--work", work, "--workers", 2])
        rows.append((f"{pairs:,}", name, f"{peak:,.0f}", f"{seconds:,.0f}", f"{pairs / seconds:,.0f}"))
    return rows


def repeat(captions: Path, times: int, folder: Path) -> int:
    """The captions file `times` over under new ids, photos for its images, and embeddings for its captions."""
    source = json.loads(captions.read_text())
    ids = {image["id"]: number for number, image in enumerate(source["images"])}
    images = [{"id": n + copy * len(ids), "file_name": f"{n + copy * len(ids)}.jpg"}
              for copy in range(times) for n in ids.values()]  # fmt: skip
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


def run(command: list[Any]) -> tuple[float, float]:
    """Seconds that a command took, and the peak memory of its processes in MB."""
    started = time.monotonic()
    with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL) as process:
        peak = [0.0]
        watcher = threading.Thread(target=watch, args=(process, peak), daemon=True)
        watcher.start()
        status = process.wait()
    if status:
        sys.exit(f"{command} ended with status {status}")
    return time.monotonic() - started, peak[0]


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
