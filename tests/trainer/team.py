"""Processes of one run, forked from one that has imported everything: imports take nearly all the time of a start."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any, Final

import ahnpl.training.evaluation
import ahnpl.training.loop  # noqa: F401  (what a run imports as it begins)
import torch
from ahnpl.cli import train_main

CONTEXT: Final = get_context("forkserver")
CONTEXT.set_forkserver_preload([__name__])


def in_processes(work: Callable[..., None], count: int, *arguments: Any) -> None:
    """Call `work(rank, count, *arguments)` in so many processes.

    Raises:
        AssertionError: one of them failed.
    """
    processes = [CONTEXT.Process(target=work, args=(rank, count, *arguments)) for rank in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * count


def start_command(arguments: Sequence[str], variables: Mapping[str, str], said: Path) -> ForkServerProcess:
    """``ahnpl-train`` in a process of its own, whose output goes to a file."""
    process = CONTEXT.Process(target=_run, args=(list(arguments), {**os.environ, **variables}, said))
    process.start()
    return process


def _run(arguments: list[str], variables: dict[str, str], said: Path) -> None:
    os.environ.clear()
    os.environ.update(variables)
    torch.set_num_threads(int(variables["OMP_NUM_THREADS"]))
    with said.open("wb") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
    sys.argv = ["ahnpl-train", *arguments]
    train_main()
