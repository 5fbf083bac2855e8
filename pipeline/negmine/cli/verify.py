"""``negmine verify``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

from negmine.base import console
from negmine.base.errors import DamagedError
from negmine.base.options import Option
from negmine.store.folder import place
from negmine.store.options import AsJson


def verify(
    path: Annotated[
        Path, Option("a work folder, a stage's folder, or a folder of shards", parser=place, argument=True)
    ],
    fast: Annotated[bool, Option("sizes and names only, no sha256")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a folder against its manifest: sha256, sizes, counts, missing and extra files (status 4 if damaged).

    Examples:

        negmine verify work/

        negmine verify data/
    """
    from negmine.outputs.verify import problems_of, summary
    from negmine.outputs.verify import verify as check

    found = check(path, fast=fast)
    problems = problems_of(found)
    if problems:
        if as_json:
            sys.stdout.write(json.dumps({"command": "negmine verify", "problems": problems}) + "\n")
        raise DamagedError(
            f"{len(problems)} problem{'s' if len(problems) > 1 else ''} found",
            where=str(path),
            why="; ".join(problems[:20]) + (f"; and {len(problems) - 20} more" if len(problems) > 20 else ""),
            fix="make the damaged stage again: its command with --overwrite, or delete the named files and repeat it",
        )
    console.show(summary(found, path, fast=fast), as_json)
