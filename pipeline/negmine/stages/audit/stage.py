"""``negmine audit``: draw a sample, let the judges look at it, write the page and the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.base.names import pick
from negmine.engine import Engine, run_phase, run_stage
from negmine.language.analyse import find_model
from negmine.stages.audit.blind import ATTACKERS
from negmine.stages.audit.defects import DETECTORS
from negmine.stages.audit.judges import UNIT, JudgePhase, read_answers, seated
from negmine.stages.audit.measure import VERSION, Report, make_report, to_json
from negmine.stages.audit.page import page
from negmine.stages.audit.read import open_source
from negmine.stages.audit.sample import draw
from negmine.stages.audit.settings import AuditSettings
from negmine.store import Manifest, Spec, Store, write_text

STAGE: Final = "audit"
PAGE: Final = "audit.html"
DATA: Final = "audit.json"

_PACKAGES: Final = ("lemminflect", "numpy", "open_clip_torch", "scikit-learn", "scipy", "spacy")


def audit_negatives(settings: AuditSettings, out: Path, engine: Engine, *, overwrite: bool = False) -> Report:
    """Measure, and write `PAGE` and `DATA` to the folder `out`, unless they are there.

    Raises:
        UsageError: no such file, or an unknown attacker.
        InputError: nothing in it can be used.
        DamagedError: the work folder is unfinished or damaged, or `out` holds an audit of something else.
    """
    attackers = _chosen(settings.attackers)
    source = open_source(settings.work, settings.negatives, settings.texts)
    inputs, sample = source.inputs(), draw(source, settings.sample, settings.seed)
    judges, notes = seated(sample.items, attackers)
    absent = [name for name in (*DETECTORS, *attackers) if name not in judges]
    chosen = {
        "sample": settings.sample,
        "seed": settings.seed,
        "attackers": attackers,
        "absent": absent,
        "version": VERSION,
    }
    packages = {name: version(name) for name in (*_PACKAGES, find_model(None))}

    def report() -> Report:
        return make_report(source.name, sample, settings.seed, read_answers(out, judges), notes)

    def judge(store: Store) -> Manifest:
        phase = JudgePhase(tuple(judges), sample.items, settings.seed)
        run_phase(store, phase, engine, len(judges), title="judging", unit=UNIT, total=len(judges))
        data = json.dumps(to_json(found := report()), ensure_ascii=False, indent=1) + "\n"
        return store.finish([write_text(out, DATA, data), write_text(out, PAGE, page(found))])

    run_stage(out, Spec(STAGE, chosen, inputs, packages), judge, engine.share, overwrite=overwrite)
    return report()


def _chosen(names: str) -> Sequence[str]:
    chosen = list(ATTACKERS) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    return list(dict.fromkeys(pick("attacker", name, ATTACKERS) for name in chosen))
