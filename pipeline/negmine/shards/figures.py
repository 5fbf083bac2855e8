"""The members of a group of figures, as the image negatives of its base."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from negmine.store import part_name, read_part


class FigureNegative(NamedTuple):
    """A picture that its group's base caption is false of, where it lies, and its own caption."""

    image: str
    offset: int
    bytes: int
    caption: str
    kind: str
    rule: str


def figure_negatives(folder: Path | None, part: int) -> dict[str, list[FigureNegative]]:
    """By key, in the order of the group; nothing where nothing was rendered."""
    if folder is None:
        return {}
    archive = part_name(part, "tar")
    return {
        row["key"]: [
            FigureNegative(
                f"{archive}::{member['image']}", member["offset"], member["bytes"], member["caption"], edit["kind"],
                edit["type"],
            )
            for edit, member in zip(row["edits"], row["members"][1:], strict=True)
        ]
        for row in read_part(folder, part, ["key", "members", "edits"]).to_pylist()
    }  # fmt: skip
