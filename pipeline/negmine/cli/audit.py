"""``negmine audit``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from negmine.base import console
from negmine.base.command import Given
from negmine.base.options import Option, Values
from negmine.cli.engine_options import EngineOptions, shares_work
from negmine.cli.run_options import RunOptions
from negmine.stages.audit.settings import AuditSettings
from negmine.store.folder import place
from negmine.store.options import DATA


@shares_work
def audit(
    *,
    given: Annotated[Values, Given(AuditSettings)],
    out: Annotated[
        Path | None, Option("folder of the page, or its address", parser=place, unset="audit/ in --work", panel=DATA)
    ] = None,
    how: RunOptions,
    where: EngineOptions,
) -> None:
    """Measure negatives, ours or anybody's: defects, coverage, diversity, and what can be told without looking.

    Examples:

        negmine audit

        negmine audit --negatives train_neg.tsv --out audit/ --attackers all
    """
    from negmine.stages.audit.measure import to_json
    from negmine.stages.audit.stage import audit_negatives
    from negmine.stages.audit.table import show

    folder = out or how.work / "audit"
    report = audit_negatives(AuditSettings(how.work, **given), folder, where.start(), overwrite=how.overwrite)
    if how.as_json:
        sys.stdout.write(json.dumps(to_json(report), ensure_ascii=False) + "\n")
        return
    show(report)
    console.show_output("written to", str(folder))
