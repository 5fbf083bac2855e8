"""Reads files in processes of their own, so that what each one takes can be seen.

A line of standard input, ``["images", "tall.png", "/folder"]``, is a target, a file of ``tests/cases/attack`` and a
folder to work in; the answer is a line ``[kB by which the process grew, its seconds of the processor, traceback]``.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import traceback
from pathlib import Path

from tests.fuzz.targets import ATTACK, TARGETS


def taken(target: str, file: str, folder: str) -> tuple[int, float, str]:
    (reader,) = (one for one in TARGETS if one.name == target)
    content, what = (ATTACK / file).read_bytes(), ""
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    try:
        reader.refuses_in_words(content, Path(folder))
    except BaseException:  # noqa: BLE001  it is told to the test
        what = traceback.format_exc()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    return grown, time.process_time() - started, what


def tell(grown: int, seconds: float, what: str) -> None:
    sys.stdout.write(json.dumps([grown, seconds, what]) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Everything is imported once; a fork has read nothing yet."""
    for line in sys.stdin:
        if (child := os.fork()) == 0:
            tell(*taken(*json.loads(line)))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status:
            tell(0, 0.0, f"the process ended with {status}")


if __name__ == "__main__":
    main()
