"""How good are the negatives of `negmine parse`? Parses captions, audits the negatives, and holds both against bars.

    python benchmarks/text_quality.py CAPTIONS [--scratch DIR] [--sample N] [--attackers NAMES] [options of parse ...]

Options it does not know go to `negmine parse`, for instance `--preset swaps` or `--images DIR`. The page with examples
is left in DIR/audit/audit.html where a folder is named.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from rich.console import Console
from rich.table import Table

NEGMINE = Path(sys.executable).parent / "negmine"
BROKEN = ("coordination", "symmetric", "identical", "equals_sibling", "repeated", "placeholder", "spacing", "capital")
OTHER = ("near_synonym", "unit_cut")
GATED = ("replace_", "add_")
"""Beginnings of the kinds whose blind accuracy has a bar."""
FEWEST = 500
"""Pairs looked at, below which a kind's blind accuracy says little."""

Row = tuple[str, str, str, bool | None]
"""Measure, bar, result, and whether it is met; None where there is no bar."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--scratch", type=Path, help="work folder to keep")
    parser.add_argument("--sample", type=int, default=60_000)
    parser.add_argument("--attackers", default="all")
    options, parse_options = parser.parse_known_args()
    with TemporaryDirectory() as folder:
        work = options.scratch or Path(folder)
        seconds = run("parse", options.captions, "--work", work, *parse_options)[1]
        closely = ("--sample", options.sample, "--attackers", options.attackers)
        report, _ = run("audit", "--work", work, *closely, "--overwrite")
    show(list(rows(report, seconds)), f"{options.captions.name} {' '.join(parse_options)}")


def run(*arguments: Any) -> tuple[Any, float]:
    """A command's JSON and its seconds."""
    start = time.monotonic()
    command = [str(NEGMINE), *map(str, arguments), "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout), time.monotonic() - start


def rows(report: dict[str, Any], seconds: float) -> Iterator[Row]:
    """The table of measures, bars and results."""
    whole = report["kinds"]["all"]
    covered = whole["covered"]
    yield bar("captions with a negative", covered["at_least_1"], ">=", 0.975)
    yield bar("captions with four or more", covered["at_least_4"], ">=", 0.93)
    yield bar("a/an broken", rate(whole, "a_an"), "<=", 0.003)
    yield bar("agreement worse than in the caption", rate(whole, "agreement"), "<=", 0.017)
    for name in BROKEN:
        yield bar(name, rate(whole, name), "<=", 0)
    yield bar("new content word in a sibling", rate(whole, "sibling_word"), "<=", 0)
    yield bar("unknown word form (read them)", rate(whole, "unknown_word"), "<=", None)
    yield bar("other visible defects", sum(rate(whole, name) for name in OTHER), "<=", 0.005)
    yield from blind_rows(report)
    yield ("mean words longer", "", f"{whole['lengths']['mean']:+.3f}", None)
    yield ("captions/s, start and parse included", "", f"{whole['captions'] / seconds:,.0f}", None)


def blind_rows(report: dict[str, Any]) -> Iterator[Row]:
    whole = report["kinds"]["all"]["blind"]
    for name, limit in {"word": 0.57, "char": None, "lm": None, "boosting": 0.63, "minilm": 0.66}.items():
        if name in whole:
            yield bar(f"blind: {name}, all kinds", whole[name]["accuracy"], "<=", limit)
            if not all(kind == "all" or kind.startswith("swap_") for kind in report["kinds"]):
                yield bar(f"blind: {name}, without swaps", without_swaps(report["kinds"], name), "<=", None)
    yield bar("blind: word, not under", whole["word"]["accuracy"], ">=", 0.45)
    for kind, one in report["kinds"].items():
        if kind != "all" and "word" in one["blind"]:
            gated = kind.startswith(GATED) and one["sampled"] >= FEWEST
            limit = 0.63 if gated else 0.75 if kind.startswith("swap_") else None
            yield bar(f"blind: word, {kind} (n {one['sampled']:,})", one["blind"]["word"]["accuracy"], "<=", limit)


def without_swaps(kinds: dict[str, Any], attacker: str) -> float:
    """Accuracy on all other kinds: few swaps are likely sentences, and a caption that admits one has one."""
    told = {kind: (one["sampled"], one["blind"][attacker]["accuracy"]) for kind, one in kinds.items() if one["blind"]}
    swaps = [told[kind] for kind in told if kind.startswith("swap_")]
    number, accuracy = told["all"]
    return float((number * accuracy - sum(n * share for n, share in swaps)) / (number - sum(n for n, _ in swaps)))


def bar(measure: str, value: float, sign: str, limit: float | None) -> Row:
    compare: dict[str, Callable[[float, float], bool]] = {"<=": float.__le__, ">=": float.__ge__}
    if limit is None:
        return measure, "", f"{value:.2%}", None
    return measure, f"{sign} {limit:.1%}", f"{value:.2%}", compare[sign](float(value), float(limit))


def rate(kind: dict[str, Any], name: str) -> float:
    return float(kind["defects"][name]["rate"])


def show(found: list[Row], title: str) -> None:
    table = Table("measure", "bar", "result", "", title=title)
    for measure, limit, result, met in found:
        table.add_row(measure, limit, result, {True: "met", False: "missed", None: ""}[met])
    Console().print(table)


if __name__ == "__main__":
    main()
