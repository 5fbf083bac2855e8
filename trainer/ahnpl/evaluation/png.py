"""Figures of matplotlib's as files."""

from __future__ import annotations

from pathlib import Path
from typing import IO, TYPE_CHECKING

from negmine.store import write_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def write_png(figure: Figure, path: Path) -> Path:
    """Write a figure as a PNG that is whole under its name or not there.

    Raises:
        ResourceError: no space or no permission.
    """

    def write(stream: IO[bytes]) -> int:
        figure.savefig(stream, dpi=130, format="png")
        return 0

    write_output(path, write)
    return path
