"""No file, however broken, is a traceback, a hang, a row that nobody counted, or much memory.

A few seconds a target here; ``--full`` tries a thousand files each, drawn anew every time. What fails is printed small
by hypothesis; keep it as a seed in ``tests/cases/attack``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings

from tests.fuzz.mutations import mutations
from tests.fuzz.targets import ATTACK, TARGETS, Target

FEW, MANY = 30, 1_000
LONGEST = timedelta(seconds=60)
"""By the clock, on a machine that does other things too."""
MOST_WORK = 10.0
"""Seconds of the processor for one file."""
MOST_MEMORY = 500_000
"""Growth of the process in kB."""

Taken = Callable[[Target, Path, Path], tuple[int, float, str]]


@pytest.fixture(scope="module")
def taken() -> Iterator[Taken]:
    """What reading one file takes in a process that has read none: see `tests.fuzz.fresh`."""
    places = os.pathsep.join(filter(None, sys.path))
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.fresh"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"PYTHONPATH": places},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        asked, answers = process.stdin, process.stdout

        def ask(target: Target, path: Path, folder: Path) -> tuple[int, float, str]:
            print(json.dumps([target.name, path.name, str(folder)]), file=asked, flush=True)
            grown, seconds, what = json.loads(answers.readline())
            return grown, seconds, what

        yield ask


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_good_file_is_read(target: Target, tmp_path: Path) -> None:
    """Else nothing of the reader would be tried below."""
    for content in target.good():
        target.read(content, tmp_path)


def test_every_harmful_file_has_a_target() -> None:
    assert {path for target in TARGETS for path in target.once_harmful()} == set(ATTACK.iterdir())


@pytest.mark.parametrize(
    ("target", "path"), [pytest.param(t, p, id=f"{t.name}-{p.name}") for t in TARGETS for p in t.once_harmful()]
)
def test_what_once_did_harm(target: Target, path: Path, tmp_path: Path, taken: Taken) -> None:
    grown, seconds, what = taken(target, path, tmp_path)
    assert not what
    assert grown < MOST_MEMORY
    assert seconds < MOST_WORK


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_broken_file_is_refused_in_words(target: Target, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    full = request.config.getoption("--full")

    @settings(
        max_examples=MANY if full else FEW,
        deadline=LONGEST,
        derandomize=not full,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(mutations(target.seeds()))
    def read(content: bytes) -> None:
        started = time.process_time()
        target.refuses_in_words(content, tmp_path)
        assert time.process_time() - started < MOST_WORK

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
