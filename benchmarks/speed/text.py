"""How fast is `negmine parse` beside spaCy alone?

    python benchmarks/speed/text.py CAPTIONS [--turns N] [--limit N]

All runs are in one process, in CPU seconds, so that other work on the machine matters less. The baseline is `nlp.pipe`
(tagger and parser, as spaCy comes) over the same captions in the order of the file. A preset's time includes loading
the model, parsing and writing the result; reading the captions file is left out on both sides.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from comparison import Comparison, Row, show, take_turns

AIMS = {"swaps": 0.8, "unguessable": 0.5}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("captions", type=Path)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--limit", type=int, help="the first so many captions")
    options = parser.parse_args()
    show(compare(options.captions, options.turns, options.limit))


def compare(path: Path, turns: int = 3, limit: int | None = None) -> Comparison:
    """Both presets against `nlp.pipe`."""
    import spacy
    from negmine.engine.local import LocalEngine
    from negmine.language.analyse import NEEDED, find_model
    from negmine.stages.negatives.presets import load_preset
    from negmine.stages.negatives.stage import parse_pairs
    from negmine.stages.pairs.settings import IngestSettings
    from negmine.stages.pairs.stage import ingest
    from negmine.store import read_part

    engine = LocalEngine(1)
    with TemporaryDirectory() as folder:
        work = Path(folder)
        pairs = ingest(IngestSettings(str(path), limit=limit), work, engine)
        captions = [
            caption
            for index in range(len(pairs.parts))
            for caption in read_part(work / "pairs", index, ["caption"])["caption"].to_pylist()
        ]
        model = find_model(None)
        unneeded = set(spacy.util.load_meta(spacy.util.get_package_path(model) / "meta.json")["pipeline"]) - NEEDED
        nlp = spacy.load(model, exclude=sorted(unneeded))  # as it comes, without our matrix product

        def alone() -> float:
            return sum(1 for _ in nlp.pipe(captions))

        def preset(name: str) -> Callable[[], float]:
            settings = load_preset(name)

            def run() -> float:
                parse_pairs(settings, work, engine, overwrite=True)
                return len(captions)

            return run

        rates = take_turns({"alone": alone, **{name: preset(name) for name in AIMS}}, turns, time.process_time)
    rows = [Row(preset_row(n), "captions/s", rates[n], "spaCy `nlp.pipe`", rates["alone"], AIMS[n]) for n in AIMS]
    return Comparison("text", f"{len(captions):,} captions, one process, CPU seconds", rows)


def preset_row(name: str) -> str:
    """What the row of a preset is called."""
    return f"parse, preset `{name}`"


if __name__ == "__main__":
    main()
