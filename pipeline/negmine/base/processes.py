"""What the system knows of other processes."""

from __future__ import annotations

from pathlib import Path


def is_stopped(process: int | None) -> bool:
    """Whether a signal stopped it; one that a debugger holds is not. Known on Linux only."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "T"
    except (OSError, IndexError):
        return False
