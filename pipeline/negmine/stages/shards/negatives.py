"""What a sample has beside its caption: true and false texts, the figures of its group, the images of neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from negmine.contract.records import PICTURES, PairRow, TextNegative, TextPositive
from negmine.images.locate import place_of
from negmine.store import folder_at, part_name, read_part
from negmine.store.files import read_table
from negmine.store.texts import PICTURES_STEM

RETRIEVED: Final = "retrieved"


class OtherImage(NamedTuple):
    """An image that a sample's caption is false of: where it lies, its own caption, and false captions of it.

    Attributes:
        image, offset, bytes, content: as in the pairs.
        rule: of the edit of a figure; the direction in which a neighbour was found.
        score: of a neighbour.
        root: where it lies, if not where the pairs' images do.
    """

    image: str | None
    offset: int | None
    bytes: int | None
    content: int | None
    caption: str
    kind: str
    rule: str
    score: float | None = None
    negatives: tuple[TextNegative, ...] = ()
    root: str | None = None


class Neighbour(NamedTuple):
    """A pair that was selected for another one."""

    key: str
    direction: str
    score: float


class FoundPair(NamedTuple):
    """A row of the pairs, and its text negatives."""

    row: PairRow
    negatives: tuple[TextNegative, ...]

    def as_negative(self, neighbour: Neighbour) -> OtherImage:
        """Its image, for the pair that it was selected for."""
        return OtherImage(
            *place_of(self.row),
            self.row["caption"],
            RETRIEVED,
            neighbour.direction,
            neighbour.score,
            self.negatives,
        )


def text_negatives(folder: Path | None, part: int, slots: int) -> dict[str, tuple[TextNegative, ...]]:
    """By key, those of the first slots, in their order; nothing where the stage was not run."""
    found: dict[str, list[TextNegative]] = {}
    if folder is not None:
        table = read_part(folder, part, ["key", "slot", "negative", "kind", "rule", "score"])
        table = table.filter(pc.field("slot") < slots)
        for row in table.to_pylist():
            negative = TextNegative(row["slot"], row["negative"], row["kind"], row["rule"], row["score"])
            found.setdefault(row["key"], []).append(negative)
    return {key: tuple(sorted(several, key=lambda negative: negative.slot)) for key, several in found.items()}


def text_positives(folder: Path | None, part: int) -> dict[str, tuple[TextPositive, ...]]:
    """By key, in the order of their slots; nothing where the stage was not run."""
    found: dict[str, list[TextPositive]] = {}
    if folder is not None:
        table = read_part(folder, part, ["key", "slot", "positive", "kind", "rule"])
        for row in table.sort_by([("key", "ascending"), ("slot", "ascending")]).to_pylist():
            found.setdefault(row["key"], []).append(TextPositive(row["positive"], row["kind"], row["rule"]))
    return {key: tuple(several) for key, several in found.items()}


def figure_negatives(folder: Path | None, part: int) -> dict[str, list[OtherImage]]:
    """By key, the other members of its group, in the order of the group; nothing where nothing was rendered."""
    if folder is None:
        return {}
    archive = part_name(part, "tar")
    return {
        row["key"]: [
            OtherImage(
                f"{archive}::{member['image']}",
                member["offset"],
                member["bytes"],
                None,
                member["caption"],
                edit["kind"],
                edit["type"],
            )
            for edit, member in zip(row["edits"], row["members"][1:], strict=True)
        ]
        for row in read_part(folder, part, ["key", "members", "edits"]).to_pylist()
    }


def picture_negatives(folder: Path, root: str, part: int) -> dict[str, list[OtherImage]]:
    """By key, the pictures that others made for its captions' false texts; nothing where a part has none."""
    name, found = part_name(part, stem=PICTURES_STEM), dict[str, list[OtherImage]]()
    if name not in folder_at(folder).sizes():
        return {}
    for row in read_table(folder, name, PICTURES).to_pylist():
        picture = OtherImage(
            row["image"], None, None, row["content"], row["caption"], row["kind"], row["rule"], root=root
        )
        found.setdefault(row["key"], []).append(picture)
    return found


def selected_neighbours(folder: Path | None, part: int) -> dict[str, list[Neighbour]]:
    """By key, the best first; nothing where the stage was not run."""
    found: dict[str, list[Neighbour]] = {}
    if folder is not None:
        table = read_part(folder, part, ["key", "neighbour_key", "direction", "rank", "score", "selected"])
        table = table.filter(pc.field("selected")).sort_by([("key", "ascending"), ("rank", "ascending")])
        for row in table.to_pylist():
            found.setdefault(row["key"], []).append(Neighbour(row["neighbour_key"], row["direction"], row["score"]))
    return found


def find_pairs(
    pairs: Path, negatives: Path | None, parts: Sequence[int], slots: int, keys: set[str]
) -> dict[str, FoundPair]:
    """The pairs of these keys, whichever part they lie in; all `parts` are looked through."""
    found: dict[str, FoundPair] = {}
    names = pa.array(sorted(keys), pa.string())
    for part in parts if keys else ():
        table = read_part(pairs, part)
        table = table.filter(pc.is_in(table["key"], names))
        if table.num_rows:
            texts = text_negatives(negatives, part, slots)
            found |= {row["key"]: FoundPair(row, texts.get(row["key"], ())) for row in table.to_pylist()}
    return found
