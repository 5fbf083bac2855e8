"""``negmine parse``: the parts of ``work/pairs`` in, ``work/negatives`` out.

A varied choice needs one phase, a balanced one several; see `negmine.stages.negatives.balanced`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.errors import UsageError
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
from negmine.store.texts import texts_stage, texts_there
from negmine.store.work_folder import Stage, WorkFolder

STAGE: Final = Stage.NEGATIVES


def parse_pairs(settings: ParseSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/negatives`` unless it is there.

    Raises:
        UsageError: the spaCy model, the WordNet folder, the reader's encoder or the judge is missing.
        DamagedError: the folder was made from other pairs or with other settings.
    """
    settings.chosen()  # something must be
    judge = None if settings.judge is None else pinned_judge(settings.judge)
    model, settings = find_model(settings.model), replace(settings, reader=pinned(settings.reader_here), judge=judge)
    packages = {name: version(name) for name in ("spacy", "lemminflect", model)}
    texts = _texts(work, settings.texts)
    with WorkFolder.open(work, texts) as folder:
        inputs = {str(Stage.PAIRS): folder.pairs.digest, **{name: folder.stages[name].digest for name in texts}}
        if settings.wordnet is not None:
            inputs["wordnet"] = digest(settings.wordnet)
        if settings.reads:
            inputs["reader"] = check_reader(settings.reader_here)
            packages |= {name: version(name) for name in ("torch", "numpy")}
        if settings.judge is not None:
            inputs["judge"] = CausalModel(settings.judge).identity()
            packages |= {name: version(name) for name in ("torch", "numpy", "transformers")}
        make = partial(_make, settings=settings, folder=folder, engine=engine)
        return run_stage(
            work / STAGE, Spec(STAGE, settings.chosen(), inputs, packages), make, engine.share, overwrite=overwrite
        )


def _texts(work: Path, names: Sequence[str]) -> list[str]:
    """The stages of texts by others.

    Raises:
        UsageError: there are none of such a name.
    """
    there = texts_there(work)
    for name in names:
        if name not in there:
            raise UsageError(
                f"there are no texts {name!r} here",
                where=str(work),
                why=f"there are {', '.join(there) or 'none'}",
                fix=f"make them first: negmine import TABLE --name {name}",
            )
    return [texts_stage(name) for name in names]


def _make(store: Store, settings: ParseSettings, folder: WorkFolder, engine: Engine) -> Manifest:
    pairs = folder.path / Stage.PAIRS
    if settings.balanced:
        return Balanced(store, settings, pairs, folder.pair_counts, engine).make()
    run(store, VariedPhase(settings, pairs), engine, "parsing", folder.pair_counts)
    return store.finish()
