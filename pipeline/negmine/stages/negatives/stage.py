"""``negmine parse``: the parts of ``work/pairs`` in, ``work/negatives`` out.

A varied choice needs one phase, a balanced one several; see `negmine.stages.negatives.balanced`.
"""

from __future__ import annotations

from dataclasses import asdict, replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.encoders import pinned
from negmine.encoders.causal import CausalModel, pinned_judge
from negmine.engine import Engine, run_stage
from negmine.language.analyse import find_model
from negmine.sources import digest
from negmine.stages.negatives.balance.reading import check_reader
from negmine.stages.negatives.balanced import Balanced, run
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.varied import VariedPhase
from negmine.store import Manifest, Spec, Store
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = Stage.NEGATIVES


def parse_pairs(settings: ParseSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/negatives`` unless it is there.

    Raises:
        UsageError: the spaCy model, the WordNet folder, the reader's encoder or the judge is missing.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    judge = None if settings.judge is None else pinned_judge(settings.judge)
    model, settings = find_model(settings.model), replace(settings, reader=pinned(settings.reader_here), judge=judge)
    packages = {name: version(name) for name in ("spacy", "lemminflect", model)}
    with WorkFolder.open(work) as folder:
        inputs = {str(Stage.PAIRS): folder.pairs.digest}
        chosen = {name: value for name, value in asdict(settings).items() if name not in ("wordnet", "judge")}
        if settings.wordnet is not None:
            inputs["wordnet"] = digest(settings.wordnet)
        if settings.reads:
            inputs["reader"] = check_reader(settings.reader_here)
            packages |= {name: version(name) for name in ("torch", "numpy")}
        if settings.judge is not None:
            inputs["judge"] = CausalModel(settings.judge).identity()
            packages |= {name: version(name) for name in ("torch", "numpy", "transformers")}
        make = partial(_make, settings=settings, folder=folder, engine=engine)
        return run_stage(work / STAGE, Spec(STAGE, chosen, inputs, packages), make, engine.share, overwrite=overwrite)


def _make(store: Store, settings: ParseSettings, folder: WorkFolder, engine: Engine) -> Manifest:
    pairs = folder.path / Stage.PAIRS
    if settings.balanced:
        return Balanced(store, settings, pairs, folder.pair_counts, engine).make()
    run(store, VariedPhase(settings, pairs), engine, "parsing", folder.pair_counts)
    return store.finish()
