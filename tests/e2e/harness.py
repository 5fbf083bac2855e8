"""Running the commands as a user does: as processes, judged by exit status, stdout, stderr and the files they leave."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
CAPTIONS = SAMPLE / "captions.jsonl"
NEGMINE = str(Path(sys.executable).with_name("negmine"))
PATIENCE = 90.0
"""Seconds that anything may take."""


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def summary(self) -> dict[str, Any]:
        """The one JSON document on stdout; fails if there is anything beside it."""
        document: dict[str, Any] = json.loads(self.out)
        return document

    @property
    def figures(self) -> dict[str, Any]:
        return dict(self.summary["figures"])


def negmine(*arguments: object, prepare: Callable[[], None] | None = None) -> Outcome:
    """Run a command to its end; `prepare` runs in the child first. No run may ever show a traceback."""
    command = [NEGMINE, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, preexec_fn=prepare)
    return _checked(Outcome(done.returncode, done.stdout, done.stderr))


def succeed(*arguments: object) -> Outcome:
    outcome = negmine(*arguments)
    assert outcome.status == 0, outcome.err
    return outcome


def refused(outcome: Outcome, status: int, *words: object) -> None:
    """One message that says what, where or why, and what to do; nothing on stdout."""
    assert outcome.status == status, outcome
    assert outcome.err.count("error ") == 1, outcome.err
    assert "  do: " in outcome.err
    for word in words:
        assert str(word) in outcome.err, f"{word!r} is missing in:\n{outcome.err}"
    assert outcome.out == ""


def _checked(outcome: Outcome) -> Outcome:
    assert "Traceback" not in outcome.err + outcome.out, outcome.err
    return outcome


# --- commands under way ----------------------------------------------------------------------------------------------


class Running:
    """A command in a process group of its own."""

    def __init__(self, command: Sequence[object]) -> None:
        self.process = subprocess.Popen(
            [*map(str, command)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def wait_until(self, condition: Callable[[], bool]) -> bool:
        """Whether the condition came true while the command ran."""
        deadline = time.monotonic() + PATIENCE
        while self.process.poll() is None:
            if condition():
                return True
            assert time.monotonic() < deadline, "this takes too long"
            time.sleep(0.005)
        return False

    def signal_group(self, number: signal.Signals) -> None:
        os.killpg(self.process.pid, number)

    def workers(self) -> list[int]:
        """Process ids of the worker processes."""
        found = []
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            for pid in map(int, (task / "children").read_text().split()):
                if b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found.append(pid)
        return found

    def end(self) -> Outcome:
        out, err = self.process.communicate(timeout=PATIENCE)
        return _checked(Outcome(self.process.returncode, out, err))


def start(*arguments: object) -> Running:
    return Running([NEGMINE, *arguments])


# --- files -----------------------------------------------------------------------------------------------------------


def hashes(*folders: Path) -> dict[str, str]:
    """sha256 of each result below some folders, hidden files and locks aside."""
    return {
        f"{folder.name}/{path.relative_to(folder)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not any(name.startswith(".") for name in path.relative_to(folder).parts)
    }


def times(folder: Path) -> dict[str, int]:
    """When each result was written, in nanoseconds."""
    return {
        str(path.relative_to(folder)): path.stat().st_mtime_ns
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }


def leftovers(folder: Path) -> list[str]:
    """Temporary files and folders."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".tmp-*")]


def rejected(folder: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(folder / "rejected.parquet").to_pylist()
    return rows


def write_lines(path: Path, rows: Sequence[object]) -> Path:
    """A JSONL file; text is written as it is."""
    path.write_text("".join((row if isinstance(row, str) else json.dumps(row)) + "\n" for row in rows))
    return path


def write_embeddings(pairs: Path, path: Path, dimensions: int = 16) -> str:
    """Random rows for all pairs of a work folder; returns what ``--encoder`` calls them."""
    keys = [key for part in sorted(pairs.glob("part-*.parquet")) for key in pq.read_table(part)["key"].to_pylist()]
    np.save(path, np.random.default_rng(0).normal(size=(len(keys), dimensions)).astype(np.float32))
    path.with_suffix(".keys").write_text("\n".join(keys) + "\n")
    return f"npy:{path}"


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to))
