"""``negmine audit``: read, measure, write the page and the data."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from negmine.audit.blind import ATTACKERS
from negmine.audit.measure import Report, audit, to_json
from negmine.audit.page import page
from negmine.audit.read import open_source
from negmine.errors import UsageError, explain_os_error
from negmine.store import write_text

PAGE: Final = "audit.html"
DATA: Final = "audit.json"


@dataclass(frozen=True)
class AuditSettings:
    """What is audited, and how closely.

    Attributes:
        work: folder with ``pairs`` and ``negatives``.
        negatives: somebody else's file in place of them.
        sample: negatives looked at, at most.
        attackers: names by comma, or ``all``.
    """

    work: Path
    negatives: Path | None = None
    sample: int = 20_000
    seed: int = 0
    attackers: str = "word,char,lm,boosting"


def audit_negatives(settings: AuditSettings, out: Path) -> Report:
    """Measure, and write `PAGE` and `DATA` to the folder `out`.

    Raises:
        UsageError: no such file, or an unknown attacker.
        InputError: nothing in it can be used.
        DamagedError: the work folder is unfinished or damaged.
    """
    attackers = _chosen(settings.attackers)
    report = audit(open_source(settings.work, settings.negatives), settings.sample, settings.seed, attackers)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise explain_os_error(error, str(out)) from error
    write_text(out, DATA, json.dumps(to_json(report), ensure_ascii=False, indent=1) + "\n")
    write_text(out, PAGE, page(report))
    return report


def _chosen(names: str) -> Sequence[str]:
    chosen = list(ATTACKERS) if names == "all" else [name.strip() for name in names.split(",") if name.strip()]
    unknown = [name for name in chosen if name not in ATTACKERS]
    if unknown:
        raise UsageError(f"no attacker named {', '.join(unknown)}", fix=f"choose from all, {', '.join(ATTACKERS)}")
    return chosen
