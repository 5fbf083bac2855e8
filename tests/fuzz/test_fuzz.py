"""No file, however broken, is a traceback, a hang, a row that nobody counted, or much memory.

A few seconds a target here; ``--full`` tries a thousand files each, drawn anew every time. What fails is printed small
by hypothesis; keep it as a seed in ``tests/cases/attack``.
"""

from __future__ import annotations

import resource
import time
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
MOST_MEMORY = 1_200_000
"""Growth of the process in kB. A picture of 1 x 24,000,000 pixels takes 0.9 GB: Pillow keeps a pointer a row."""


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
def test_what_once_did_harm(target: Target, path: Path, tmp_path: Path) -> None:
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
    target.refuses_in_words(path.read_bytes(), tmp_path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
    assert time.process_time() - started < MOST_WORK


@pytest.mark.timeout(1800)
@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)
def test_a_broken_file_is_refused_in_words(target: Target, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    full = request.config.getoption("--full")

    @settings(
        max_examples=MANY if full else FEW, deadline=LONGEST, derandomize=not full, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(mutations(target.seeds()))
    def read(content: bytes) -> None:
        target.refuses_in_words(content, tmp_path)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    read()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST_MEMORY
