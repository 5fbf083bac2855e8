"""A work folder as a page shows it: its finished stages, and some pairs with everything that was made for them."""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from negmine.base.errors import DamagedError
from negmine.base.html import Segment, edited
from negmine.contract.records import Edit
from negmine.images.locate import PLACE
from negmine.stages.pairs.stage import check_usable
from negmine.store import JOURNAL, MANIFEST, Manifest, load_manifest, part_name, read_part
from negmine.store.lookup import rows_by_key

STAGES: Final = ("pairs", "negatives", "neighbours", "figures", "plan")
"""In the order in which they are made."""
LOOKED_AT: Final = 50_000
"""Pairs that are drawn from and measured: those of the first parts, which are a random sample."""
OF_KINDS: Final = 4
"""One example in so many is drawn for its kind, so that rare kinds are seen too."""
SELECTED: Final = 4
REFUSED: Final = 3
"""Neighbours shown of a pair."""
OBVIOUS: Final = frozenset({"itself", "same_image", "skipped"})
"""Reasons that nobody needs to see an example of."""

_PICTURE: Final = ("key", "caption", *PLACE)


@dataclass(frozen=True)
class Picture:
    """Where a picture lies: ``figures`` or ``pairs`` it belongs to, and its place as in the pairs."""

    stage: str
    image: str
    offset: int | None
    size: int | None
    content: int | None = None


@dataclass(frozen=True)
class Shown:
    """A negative.

    Attributes:
        picture: of which `text` is true, where one was drawn.
    """

    text: str
    kind: str
    rule: str
    score: float | None
    edits: tuple[Edit, ...]
    picture: Picture | None = None

    def segments(self, caption: str) -> list[Segment]:
        """How it differs from the caption that it was made of."""
        return edited(caption, self.edits)


@dataclass(frozen=True)
class Candidate:
    """A mined pair: kept (and perhaps selected), or refused for a reason."""

    key: str
    caption: str
    picture: Picture | None
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
    picture: Picture | None
    negatives: tuple[Shown, ...]
    candidates: tuple[Candidate, ...] = ()
    selected: int = 0
    kept: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkFolder:
    """The finished stages of a work folder, by name.

    Attributes:
        unfinished: stages that were begun.
        parts: those that are looked at.
    """

    path: Path
    stages: Mapping[str, Manifest]
    unfinished: tuple[str, ...]
    parts: tuple[int, ...]

    @property
    def pairs_looked_at(self) -> int:
        records = {part.index: part for part in self.stages["pairs"].parts}
        return sum(records[index].files[0].rows for index in self.parts)

    def folder(self, stage: str) -> Path | None:
        return self.path / stage if stage in self.stages else None


def open_work(path: Path) -> WorkFolder:
    """What is finished in a work folder.

    Raises:
        InputError: its pairs were read, and none could be used.
        DamagedError: not even its pairs are, a manifest was edited, or a stage was made from other pairs.
    """
    pairs = load_manifest(path / "pairs")
    check_usable(pairs, path / "pairs")
    stages = {"pairs": pairs} | {
        name: load_manifest(path / name) for name in STAGES[1:] if (path / name / MANIFEST).exists()
    }
    for name, manifest in stages.items():
        if manifest.spec.inputs.get("pairs") not in (None, pairs.digest):
            raise DamagedError(
                f"the {name} were made from other pairs", where=str(path), fix="run their command with --overwrite"
            )
    unfinished = tuple(name for name in STAGES[1:] if name not in stages and (path / name / JOURNAL).exists())
    return WorkFolder(path, stages, unfinished, tuple(_first_parts(pairs)))


def _first_parts(pairs: Manifest) -> Iterable[int]:
    seen = 0
    for part in pairs.parts:
        if seen >= LOOKED_AT:
            return
        yield part.index
        seen += part.files[0].rows


# --- the draw --------------------------------------------------------------------------------------------------------


def draw_examples(work: WorkFolder, count: int, seed: int) -> list[Example]:
    """Some pairs, those with the smallest seeded hash; a part of them for their kind, so that each kind is there.

    The draw depends neither on the order of the rows nor on how they were cut into parts.
    """
    ranks: dict[str, bytes] = {}
    kinds: dict[str, list[str]] = {}
    negatives = work.folder("negatives")
    for part in work.parts:
        ranks |= {key: _rank(key, seed) for key in read_part(work.path / "pairs", part, ["key"])["key"].to_pylist()}
        if negatives is not None:
            rows = read_part(negatives, part, ["key", "kind"])
            for key, kind in zip(rows["key"].to_pylist(), rows["kind"].to_pylist(), strict=True):
                kinds.setdefault(kind, []).append(key)
    of_each = max(1, count // (OF_KINDS * max(len(kinds), 1)))
    wanted = {key for keys in kinds.values() for key in heapq.nsmallest(of_each, set(keys), key=ranks.__getitem__)}
    chosen = sorted(wanted, key=ranks.__getitem__)[:count]
    chosen += heapq.nsmallest(count - len(chosen), ranks.keys() - wanted, key=ranks.__getitem__)
    return _examples(work, sorted(chosen, key=ranks.__getitem__))


def _rank(key: str, seed: int) -> bytes:
    return hashlib.blake2b(f"{seed}\n{key}".encode(), digest_size=8).digest()


def _examples(work: WorkFolder, keys: Sequence[str]) -> list[Example]:
    """Everything that was made for these pairs, in their order."""

    def rows(stage: str, columns: Sequence[str] | None = None) -> dict[str, list[dict[str, Any]]]:
        folder = work.folder(stage)
        return {} if folder is None else rows_by_key(folder, work.parts, keys, columns)

    pairs, negatives, mined, figures = rows("pairs"), rows("negatives"), rows("neighbours"), _figures(work, keys)
    shown = {key: _shown(several) for key, several in mined.items()}
    others = {row["neighbour_key"] for several in shown.values() for row in several}
    every = [part.index for part in work.stages["pairs"].parts]
    found = {key: several[0] for key, several in rows_by_key(work.path / "pairs", every, others, _PICTURE).items()}
    examples = []
    for key in keys:
        pair, candidates = pairs[key][0], mined.get(key, [])
        examples.append(
            Example(
                key, pair["image_id"], pair["caption"],
                None if pair["width"] is None else (pair["width"], pair["height"]),
                _picture(pair),
                tuple(_negative(row, figures) for row in sorted(negatives.get(key, []), key=lambda row: row["slot"])),
                tuple(_candidate(row, found[row["neighbour_key"]]) for row in shown.get(key, [])),
                sum(row["selected"] for row in candidates),
                sum(row["keep"] for row in candidates),
                Counter(row["reason"] for row in candidates if row["reason"] and row["reason"] not in OBVIOUS),
            )
        )  # fmt: skip
    return examples


def _shown(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The best that were selected, then the best that were refused for a reason worth seeing, one of each first."""
    ranked = sorted(rows, key=lambda row: row["rank"])
    refused = [row for row in ranked if row["reason"] and row["reason"] not in OBVIOUS]
    seen: Counter[str] = Counter()
    turns = []
    for row in refused:
        turns.append((seen[row["reason"]], row["rank"], row))
        seen[row["reason"]] += 1
    turns.sort(key=lambda turn: turn[:2])
    return [row for row in ranked if row["selected"]][:SELECTED] + [row for _, _, row in turns[:REFUSED]]


def _figures(work: WorkFolder, keys: Sequence[str]) -> dict[str, list[Picture]]:
    """By key, the pictures of its perturbed figures; the negative in slot k is the caption of the k-th."""
    folder, pictures = work.folder("figures"), dict[str, list[Picture]]()
    for part in work.parts if folder is not None else ():
        archive = part_name(part, "tar")
        for key, (row,) in rows_by_key(work.path / "figures", [part], keys, ["key", "members"]).items():
            pictures[key] = [
                Picture("figures", f"{archive}::{member['image']}", member["offset"], member["bytes"])
                for member in row["members"][1:]
            ]
    return pictures


def _picture(pair: Mapping[str, Any]) -> Picture | None:
    place = [pair[name] for name in PLACE]
    return None if pair["image"] is None else Picture("pairs", *place)


def _negative(row: Mapping[str, Any], figures: Mapping[str, Sequence[Picture]]) -> Shown:
    edits = tuple(Edit(**edit) for edit in row["edits"])
    picture = figures[row["key"]][row["slot"]] if row["key"] in figures else None
    return Shown(row["negative"], row["kind"], row["rule"], row["score"], edits, picture)


def _candidate(row: Mapping[str, Any], pair: Mapping[str, Any]) -> Candidate:
    return Candidate(
        row["neighbour_key"], pair["caption"], _picture(pair), row["direction"], row["rank"], row["score"],
        row["positive_score"], row["reason"], row["selected"],
    )  # fmt: skip
