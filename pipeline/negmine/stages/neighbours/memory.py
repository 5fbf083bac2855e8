"""How much memory the search may take, and how large its tiles are then. No result depends on it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from negmine.base.errors import ResourceError, UsageError
from negmine.stages.neighbours.search import CORPUS_BLOCK, QUERY_BLOCK

PROCESS: Final = 120 * 2**20
"""Bytes of a process with NumPy, Arrow and FAISS loaded, before it works (what it shares with others by its share)."""

TORCH: Final = 200 * 2**20
"""What PyTorch adds."""

CANDIDATE: Final = 200
"""Bytes that a candidate of a part takes, from the search to the written table."""

MOST_ROWS: Final = 2**17
"""Rows of a tile that is large enough."""

_UNITS: Final = {"": 1, "K": 2**10, "M": 2**20, "G": 2**30, "T": 2**40}


def read_bytes(text: str) -> int:
    """A size such as ``800M`` or ``4G``.

    Raises:
        UsageError: it is none.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)i?B?\s*", text, re.IGNORECASE)
    if match is None:
        raise UsageError(f"{text!r} is no size", fix="write it as 800M or 4G")
    return int(float(match[1]) * _UNITS[match[2].upper()])


def show_bytes(size: float) -> str:
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def free_bytes() -> int:
    """Memory that can be had now: of the machine, or of the control group if that is less."""
    lines = Path("/proc/meminfo").read_text().splitlines()
    free = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    try:
        most = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = Path("/sys/fs/cgroup/memory.current").read_text()
    except OSError:
        return free
    return free if most == "max" else min(free, int(most) - int(used))


@dataclass(frozen=True)
class Budget:
    """Memory of a search.

    Attributes:
        total: bytes, of all processes together.
        processes: worker processes, and the one that waits for them.
    """

    total: int
    processes: int

    @classmethod
    def of(cls, memory: str | None, workers: int) -> Budget:
        """The budget asked for; half of what is free where nothing was asked.

        Raises:
            ResourceError: more than is free.
        """
        free = free_bytes()
        total = free // 2 if memory is None else read_bytes(memory)
        if total > free:
            raise ResourceError(
                f"--memory {memory} is more than is free",
                why=f"{show_bytes(free)} are free",
                fix="ask for less, or leave --memory out to take half of what is free",
            )
        return cls(total, workers + (workers > 1))

    def check_index(self, rows: int, dimensions: int) -> None:
        """Whether each worker can hold so many rows and an index of them.

        Raises:
            ResourceError: with the numbers.
        """
        workers = max(1, self.processes - 1)
        needed = (self.processes - workers) * PROCESS + workers * (PROCESS + 2 * rows * dimensions * 4)
        if needed > self.total:
            raise ResourceError(
                f"not enough memory: {show_bytes(self.total)} for indexes of {rows:,} rows in {workers} workers",
                why=f"rows of {dimensions:,} dimensions and their index take {show_bytes(needed)}",
                fix="raise --memory, use fewer --workers, or leave --index out: exact search takes less",
            )

    def fits(self, dimensions: int, queries: int, k: int, *, half: bool) -> bool:
        """Whether `tile_rows` finds room for a tile that is not tiny."""
        try:
            return self.tile_rows(dimensions, queries, k, half=half) >= 4 * CORPUS_BLOCK
        except ResourceError:
            return False

    def tile_rows(self, dimensions: int, queries: int, k: int, *, half: bool) -> int:
        """Rows of the corpus in memory at once, in each worker.

        Args:
            queries: rows of the largest part.
            half: whether torch makes a second copy in two bytes a number.

        Raises:
            ResourceError: not even one block fits; the message has the numbers.
        """
        row = dimensions * (6 if half else 4)
        blocks = 2 * QUERY_BLOCK * CORPUS_BLOCK * 4
        fixed = PROCESS + TORCH * half + queries * (row + k * CANDIDATE) + blocks
        waiting = PROCESS if self.processes > 1 else 0
        workers = max(1, self.processes - 1)
        rows = ((self.total - waiting) // workers - fixed) // row
        if rows < CORPUS_BLOCK:
            needed = waiting + workers * (fixed + CORPUS_BLOCK * row)
            raise ResourceError(
                f"not enough memory: {show_bytes(self.total)} for {workers} worker{'s' if workers > 1 else ''}",
                why=f"{queries:,} queries of {dimensions:,} dimensions and {k:,} candidates each take at least "
                + show_bytes(needed),
                fix="raise --memory, or use fewer --workers or --candidates",
            )
        return int(min(rows, MOST_ROWS))
