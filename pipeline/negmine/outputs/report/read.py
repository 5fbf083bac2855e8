"""A work folder as a page shows it: its finished stages, and some pairs with everything that was made for them."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from negmine.base.hashing import hash64
from negmine.base.html import Segment, edited
from negmine.contract.records import Edit, FigureRow, NegativeRow, NeighbourRow, PairRow
from negmine.images.locate import PLACE, place_of
from negmine.store import Manifest, part_name
from negmine.store.work_folder import Stage, WorkFolder

LOOKED_AT: Final = 50_000
"""Pairs that are drawn from and measured: those of the first parts, which are a random sample."""
OF_KINDS: Final = 4
"""One example in so many is drawn for its kind, so that rare kinds are seen too."""
SELECTED: Final = 4
REFUSED: Final = 3
"""Neighbours shown of a pair."""
OBVIOUS: Final = frozenset({"itself", "same_image", "skipped"})
"""Reasons that nobody needs to see an example of."""

_IMAGE: Final = ("key", "caption", *PLACE)


@dataclass(frozen=True)
class ImagePlace:
    """Where an image lies: ``figures`` or ``pairs`` it belongs to, and its place as in the pairs."""

    stage: str
    image: str
    offset: int | None
    size: int | None
    content: int | None = None


@dataclass(frozen=True)
class Shown:
    """A negative.

    Attributes:
        image: of which `text` is true, where one was drawn.
    """

    text: str
    kind: str
    rule: str
    score: float | None
    edits: tuple[Edit, ...]
    image: ImagePlace | None = None

    def segments(self, caption: str) -> list[Segment]:
        """How it differs from the caption that it was made of."""
        return edited(caption, self.edits)


@dataclass(frozen=True)
class Candidate:
    """A mined pair: kept (and perhaps selected), or refused for a reason."""

    key: str
    caption: str
    image: ImagePlace | None
    direction: str
    rank: int
    score: float
    truth: float
    reason: str | None
    selected: bool


@dataclass(frozen=True)
class Example:
    """A pair with what was made for it.

    Attributes:
        selected: number of candidates that were drawn, of those kept: that every filter passed.
        refused: number of others by reason, obvious ones left out.
    """

    key: str
    image_id: str
    caption: str
    size: tuple[int, int] | None
    image: ImagePlace | None
    negatives: tuple[Shown, ...]
    candidates: tuple[Candidate, ...] = ()
    selected: int = 0
    kept: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class SampledFolder(WorkFolder):
    """What is finished of a work folder, and which parts of it a page looks at."""

    parts: tuple[int, ...]

    @property
    def pairs_looked_at(self) -> int:
        return sum(self.pair_counts[part] for part in self.parts)


def open_work(path: Path) -> SampledFolder:
    """What is finished in a work folder.

    Raises:
        UsageError, InputError, DamagedError: as `WorkFolder.finished`.
    """
    work = WorkFolder.finished(path)
    return SampledFolder(work.path, work.stages, tuple(_first_parts(work.pairs)))


def _first_parts(pairs: Manifest) -> Iterable[int]:
    seen = 0
    for part in pairs.parts:
        if seen >= LOOKED_AT:
            return
        yield part.index
        seen += part.files[0].rows


# --- the draw --------------------------------------------------------------------------------------------------------


def draw_examples(work: SampledFolder, count: int, seed: int) -> list[Example]:
    """Some pairs, those with the smallest seeded hash; a part of them for their kind, so that each kind is there.

    The draw depends neither on the order of the rows nor on how they were cut into parts.
    """
    ranks: dict[str, int] = {}
    kinds: dict[str, list[str]] = {}
    for part in work.parts:
        ranks |= {key: _rank(key, seed) for key in work.rows(Stage.PAIRS, part, ["key"])["key"].to_pylist()}
        if Stage.NEGATIVES in work.stages:
            rows = work.rows(Stage.NEGATIVES, part, ["key", "kind"])
            for key, kind in zip(rows["key"].to_pylist(), rows["kind"].to_pylist(), strict=True):
                kinds.setdefault(kind, []).append(key)
    of_each = max(1, count // (OF_KINDS * max(len(kinds), 1)))
    wanted = {key for keys in kinds.values() for key in heapq.nsmallest(of_each, set(keys), key=ranks.__getitem__)}
    chosen = sorted(wanted, key=ranks.__getitem__)[:count]
    chosen += heapq.nsmallest(count - len(chosen), ranks.keys() - wanted, key=ranks.__getitem__)
    return _examples(work, sorted(chosen, key=ranks.__getitem__))


def _rank(key: str, seed: int) -> int:
    return hash64(f"{seed}\n{key}")


def _examples(work: SampledFolder, keys: Sequence[str]) -> list[Example]:
    """Everything that was made for these pairs, in their order."""

    pairs = work.rows_by_key(Stage.PAIRS, PairRow, keys, parts=work.parts)
    negatives = work.rows_by_key(Stage.NEGATIVES, NegativeRow, keys, parts=work.parts)
    mined = work.rows_by_key(Stage.NEIGHBOURS, NeighbourRow, keys, parts=work.parts)
    figures = _figures(work, keys)
    shown = {key: _shown(several) for key, several in mined.items()}
    others = {row["neighbour_key"] for several in shown.values() for row in several}
    found = {key: several[0] for key, several in work.rows_by_key(Stage.PAIRS, PairRow, others, _IMAGE).items()}
    examples = []
    for key in keys:
        pair, candidates = pairs[key][0], mined.get(key, [])
        examples.append(
            Example(
                key,
                pair["image_id"],
                pair["caption"],
                _size(pair),
                _image(pair),
                tuple(_negative(row, figures) for row in sorted(negatives.get(key, []), key=lambda row: row["slot"])),
                tuple(_candidate(row, found[row["neighbour_key"]]) for row in shown.get(key, [])),
                sum(row["selected"] for row in candidates),
                sum(row["keep"] for row in candidates),
                Counter(row["reason"] for row in candidates if row["reason"] and row["reason"] not in OBVIOUS),
            )
        )
    return examples


def _shown(rows: Sequence[NeighbourRow]) -> list[NeighbourRow]:
    """The best that were selected, then the best that were refused for a reason worth seeing, one of each first."""
    ranked = sorted(rows, key=lambda row: row["rank"])
    seen, turns = Counter[str](), list[tuple[int, int, NeighbourRow]]()
    for row in ranked:
        reason = row["reason"]
        if reason and reason not in OBVIOUS:
            turns.append((seen[reason], row["rank"], row))
            seen[reason] += 1
    turns.sort(key=lambda turn: turn[:2])
    return [row for row in ranked if row["selected"]][:SELECTED] + [row for _, _, row in turns[:REFUSED]]


def _figures(work: SampledFolder, keys: Sequence[str]) -> dict[str, list[ImagePlace]]:
    """By key, the images of its perturbed figures; the negative in slot k is the caption of the k-th."""
    images = dict[str, list[ImagePlace]]()
    for part in work.parts:
        archive = part_name(part, "tar")
        for key, (row,) in work.rows_by_key(Stage.FIGURES, FigureRow, keys, ["key", "members"], [part]).items():
            images[key] = [
                ImagePlace("figures", f"{archive}::{member['image']}", member["offset"], member["bytes"])
                for member in row["members"][1:]
            ]
    return images


def _size(pair: PairRow) -> tuple[int, int] | None:
    width, height = pair["width"], pair["height"]
    return None if width is None or height is None else (width, height)


def _image(pair: PairRow) -> ImagePlace | None:
    image, *place = place_of(pair)
    return None if image is None else ImagePlace("pairs", image, *place)


def _negative(row: NegativeRow, figures: Mapping[str, Sequence[ImagePlace]]) -> Shown:
    edits = tuple(Edit(**edit) for edit in row["edits"])
    image = figures[row["key"]][row["slot"]] if row["key"] in figures else None
    return Shown(row["negative"], row["kind"], row["rule"], row["score"], edits, image)


def _candidate(row: NeighbourRow, pair: PairRow) -> Candidate:
    return Candidate(
        row["neighbour_key"],
        pair["caption"],
        _image(pair),
        row["direction"],
        row["rank"],
        row["score"],
        row["positive_score"],
        row["reason"],
        row["selected"],
    )
