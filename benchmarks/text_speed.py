"""How fast is `negmine parse` beside spaCy alone?

    python benchmarks/text_speed.py CAPTIONS [--repeats N]

All runs are in one process, in CPU seconds, so that other work on the machine matters less. The baseline is `nlp.pipe`
(tagger and parser, as spaCy comes) over the same captions in the order of the file. A preset's time includes loading
the model, parsing and writing the result; reading the captions file is left out on both sides.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import spacy
from negmine.engine.local import LocalEngine
from negmine.ingest import IngestSettings, ingest
from negmine.store import read_part
from negmine.text.analyse import NEEDED, find_model
from negmine.text.presets import load_preset
from negmine.text.run import parse_pairs
from negmine.text.stage import ParseSettings
from rich.console import Console
from rich.table import Table

BARS = {"swaps": 0.8, "unguessable": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    engine = LocalEngine(1)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        pairs = ingest(IngestSettings(options.captions), work, engine)
        captions = [
            caption
            for index in range(len(pairs.parts))
            for caption in read_part(work / "pairs", index, ["caption"])["caption"].to_pylist()
        ]
        model = find_model(None)
        unneeded = set(spacy.util.load_meta(spacy.util.get_package_path(model) / "meta.json")["pipeline"]) - NEEDED
        nlp = spacy.load(model, exclude=sorted(unneeded))  # as it comes, without our matrix product
        runs: dict[str, Callable[[], object]] = {"nlp.pipe": lambda: [None for _ in nlp.pipe(captions)]}
        for name in BARS:
            preset = load_preset(name)
            settings = ParseSettings(preset.rules, preset.per_caption, preset.balanced)
            runs[name] = lambda chosen=settings: parse_pairs(chosen, work, engine, overwrite=True)  # type: ignore[misc]
        seconds = {name: [cpu(run) for _ in range(options.repeats)] for name, run in runs.items()}
    show(seconds, len(captions))


def cpu(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def show(seconds: dict[str, list[float]], captions: int) -> None:
    base = median(seconds["nlp.pipe"])
    table = Table("", "CPU s, median", "min to max", "captions/s", "of nlp.pipe", "bar", title=f"{captions:,} captions")
    for name, found in seconds.items():
        middle = median(found)
        spread = f"{min(found):.1f} to {max(found):.1f}"
        bar = f">= {BARS[name]}" if name in BARS else ""
        table.add_row(name, f"{middle:.1f}", spread, f"{captions / middle:,.0f}", f"{base / middle:.2f}", bar)
    Console().print(table)


if __name__ == "__main__":
    main()
