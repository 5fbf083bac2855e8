"""``negmine parse``: the parts of ``work/pairs`` in, ``work/negatives`` out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.engine import Engine, PartFunction, run_phase
from negmine.records import NEGATIVES, Negative, to_table
from negmine.sources import digest
from negmine.store import Manifest, PartRecord, Spec, Store, part_name, read_part, reading, write_table
from negmine.text.analyse import find_model
from negmine.text.stage import ParseSettings, ParseWorker, Row

STAGE: Final = "negatives"


def parse_pairs(settings: ParseSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/negatives`` unless it is there.

    Raises:
        UsageError: the spaCy model or the WordNet folder is missing.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    model = find_model(settings.model)
    packages = {name: version(name) for name in ("spacy", "lemminflect", model)}
    with reading(work / "pairs") as pairs:
        inputs = {"pairs": pairs.digest}
        chosen = {name: value for name, value in asdict(settings).items() if name != "wordnet"}
        if settings.wordnet is not None:
            inputs["wordnet"] = digest(settings.wordnet)
        with Store.open(work / STAGE, Spec(STAGE, chosen, inputs, packages), overwrite=overwrite) as store:
            if not store.finished:
                phase = ParsePhase(settings, work / "pairs")
                total = pairs.counts["pairs"]
                run_phase(store, phase, engine, len(pairs.parts), title="parsing", unit="pairs", total=total)
                store.finish()
            assert store.manifest is not None
            return store.manifest


@dataclass(frozen=True)
class ParsePhase:
    """Negatives for the captions of a part."""

    settings: ParseSettings
    pairs: Path

    def setup(self) -> PartFunction:
        worker = ParseWorker(self.settings)
        worker.setup()
        return partial(_parse_part, self.pairs, worker.negatives_of)


def _parse_part(
    pairs: Path, negatives_of: Callable[[list[Row]], tuple[list[Negative], dict[str, int]]], index: int, folder: Path
) -> PartRecord:
    table = read_part(pairs, index, ["key", "image_id", "caption"])
    rows = list(zip(*(column.to_pylist() for column in table.columns), strict=True))
    negatives, counts = negatives_of(rows)
    return PartRecord(index, (write_table(folder, part_name(index), to_table(negatives, NEGATIVES)),), counts)
