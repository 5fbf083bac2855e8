"""Results on the disk, and the page that is written from them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from textwrap import wrap
from typing import Any

import costs
from comparison import HEAD, Comparison, table
from negmine.store import write_text

WIDTH = 140
PACKAGES = (
    "numpy",
    "torch",
    "spacy",
    "faiss-cpu",
    "sentence-transformers",
    "webdataset",
    "open_clip_torch",
    "matplotlib",
)


@dataclass(frozen=True)
class Result:
    """A comparison, and the circumstances.

    Attributes:
        machine: `machine` and `versions`, in which results of one page must agree.
        load: running processes of the whole machine (one-minute average) before and after.
        seconds: that it took, on the wall.
    """

    comparison: Comparison
    machine: Mapping[str, str]
    load: tuple[float, float]
    seconds: float
    command: str

    def write(self, folder: Path) -> None:
        """Keep it."""
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder, f"{self.comparison.name}.json", json.dumps(asdict(self), indent=1))

    @classmethod
    def read(cls, path: Path) -> Result:
        """One that was kept."""
        saved: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return cls(**{**saved, "comparison": Comparison.read(saved["comparison"]), "load": tuple(saved["load"])})


def machine() -> dict[str, str]:
    """Processor, cores, Python and packages."""
    facts = [line.split(":", 1) for line in Path("/proc/cpuinfo").read_text().splitlines() if ":" in line]
    cpu = {name.strip(): value.strip() for name, value in reversed(facts)}
    bfloat16 = "with" if "avx512_bf16" in cpu.get("flags", "") else "without"
    return {
        "processor": f"{cpu.get('model name', platform.machine())}, {bfloat16} `avx512_bf16`",
        "cores": str(os.cpu_count()),
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
    }


def write_page(results: Sequence[Result], path: Path) -> None:
    """The page of results of one machine.

    Raises:
        SystemExit: they are of several machines or versions.
    """
    first = results[0].machine
    for one in results:
        if one.machine != first:
            other = {k: v for k, v in one.machine.items() if first.get(k) != v}
            raise SystemExit(
                f"{one.comparison.name} was measured elsewhere or with other versions ({other}): run it again"
            )
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [short for line in page(results) for short in _wrapped(line)]
    path.write_text("\n".join(lines), encoding="utf-8")


def page(results: Sequence[Result]) -> list[str]:
    """Its lines."""
    where = results[0].machine
    lines = [
        "# Speed",
        "",
        "Written by `python benchmarks/speed`; each section names its command. Ours and the peer take turns in one "
        "run. A rate is the median of the turns (quartiles), the ratio the median of the quotients of each turn "
        "(quartiles): above 1 ours is faster. DATA is a folder with `captions/coco_val2017_even.json`, COCO's captions "
        "file of the val2017 images with an even id (CC BY 4.0, sha256 be53861f...); all else comes with the tree.",
        "",
        f"{where['processor']}, {where['cores']} cores; Python {where['Python']}, "
        + ", ".join(f"{name} {where[name]}" for name in PACKAGES)
        + ".",
    ]
    for one in results:
        found, (before, after) = one.comparison, one.load
        lines += [
            "",
            f"## {found.name}",
            "",
            f"    {one.command}",
            "",
            f"{found.setting[:1].upper()}{found.setting[1:]}.",
            "",
        ]
        lines += table([HEAD, *(row.cells() for row in found.rows)])
        lines += ["", *(f"- {note}." for note in found.notes)]
        lines += [f"- {one.seconds:.0f} s in all; load of the machine {before:.1f} before, {after:.1f} after."]
    by_name = {one.comparison.name: one.comparison for one in results}
    if all(name in by_name for name in costs.NEEDED):
        hours, written = costs.tables(by_name)
        lines += ["", "## What a number of pairs costs", "", "From the medians above, by arithmetic:", ""]
        lines += [*table(hours), "", *table(written), "", *(f"- {text}" for text in costs.ASSUMPTIONS)]
    return [*lines, ""]


def _wrapped(line: str) -> list[str]:
    """Prose in lines of bearable length; tables and code as they are."""
    if line.startswith(("|", "    ", "#")) or not line:
        return [line]
    indent = "  " if line.startswith("- ") else ""
    return wrap(line, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
