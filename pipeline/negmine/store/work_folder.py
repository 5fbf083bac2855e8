"""A work folder: which stages lie in it, whether they belong together, and their rows by part and by key."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from negmine.base.errors import DamagedError, InputError, UsageError
from negmine.contract.records import PAIRS, NegativeRow, PairRow
from negmine.store import refusals
from negmine.store.files import read_part
from negmine.store.folder import folder_at
from negmine.store.manifest import MANIFEST, Manifest
from negmine.store.stage_folder import JOURNAL, REJECTED_FILE, load_manifest, reading

if TYPE_CHECKING:
    import pyarrow as pa

Row = TypeVar("Row")


class Stage(StrEnum):
    """The stages by the names of their folders."""

    PAIRS = "pairs"
    NEGATIVES = "negatives"
    POSITIVES = "positives"
    NEIGHBOURS = "neighbours"
    FIGURES = "figures"
    PLAN = "plan"


@dataclass(frozen=True)
class WorkFolder:
    """Finished stages of a work folder, all made from the same pairs.

    Attributes:
        stages: name to manifest; ``pairs`` is always among them.
    """

    path: Path
    stages: Mapping[str, Manifest]

    @classmethod
    @contextmanager
    def open(cls, path: Path, needs: Iterable[str] = (), optional: Iterable[str] = ()) -> Iterator[WorkFolder]:
        """The pairs and the stages `needs`, and of `optional` those that were begun, held while they are read.

        Raises:
            UsageError: there are no pairs yet.
            InputError: none of the pairs' input could be used.
            DamagedError: a stage is unfinished or damaged, or was made from other pairs or beside other negatives.
            ResourceError: another run is writing one of them.
        """
        folder_at(path / Stage.PAIRS).refresh()
        load_pairs(path)
        names = [*needs, *(name for name in optional if (path / name).is_dir())]
        with ExitStack() as stack:
            stages = {name: stack.enter_context(reading(path / name)) for name in (Stage.PAIRS, *names)}
            _check_same_pairs(path, stages)
            _check_same_negatives(path, stages)
            yield cls(path, stages)

    @classmethod
    def finished(cls, path: Path) -> WorkFolder:
        """All that is finished; nothing is held, so another run may go on in the same folder.

        Raises:
            UsageError, InputError, DamagedError: as `open`.
        """
        pairs, others = load_pairs(path), (name for name in Stage if name != Stage.PAIRS)
        made = {str(name): load_manifest(path / name) for name in others if (path / name / MANIFEST).exists()}
        stages: dict[str, Manifest] = {Stage.PAIRS: pairs, **made}
        _check_same_pairs(path, stages)
        return cls(path, stages)

    @property
    def pairs(self) -> Manifest:
        return self.stages[Stage.PAIRS]

    @property
    def pair_counts(self) -> tuple[int, ...]:
        """Pairs in each part."""
        return tuple(part.files[0].rows for part in self.pairs.parts)

    @property
    def unfinished(self) -> tuple[str, ...]:
        """Stages that were begun, and are not among these."""
        return tuple(name for name in Stage if name not in self.stages and (self.path / name / JOURNAL).exists())

    @property
    def image_root(self) -> str | None:
        """Where the images of the pairs lie: where they were read, figures where the folder is now.

        None where the pairs were read without images.
        """
        if Stage.FIGURES in self.pairs.spec.inputs:
            return self.folder_of_figures
        return self.pairs.spec.context.get("images")

    @property
    def folder_of_figures(self) -> str:
        return folder_at(self.path / Stage.FIGURES).address or str((self.path / Stage.FIGURES).resolve())

    def folder(self, stage: str) -> Path | None:
        """Where a stage lies; None if it is not among these."""
        return self.path / stage if stage in self.stages else None

    def rows(self, stage: str, part: int, columns: Sequence[str] | None = None) -> pa.Table:
        """A part of a stage; None reads all of its columns."""
        return read_part(self.path / stage, part, columns and list(columns))

    def rows_by_key(
        self,
        stage: str,
        kind: type[Row],
        keys: Collection[str],
        columns: Sequence[str] | None = None,
        parts: Iterable[int] | None = None,
    ) -> dict[str, list[Row]]:
        """The rows with these keys, in their order, by key; nothing where the stage is not among these.

        Args:
            kind: what they are, such as `PairRow`.
            columns: what is read, ``key`` among it; None for all of the kind.
            parts: those that are looked through; None for all.
        """
        if stage not in self.stages:
            return {}
        every = (part.index for part in self.stages[stage].parts)
        return rows_by_key(self.path / stage, kind, every if parts is None else parts, keys, columns)

    def with_negatives(
        self, part: int, columns: Sequence[str], of_negatives: Sequence[str]
    ) -> Iterator[tuple[PairRow, list[NegativeRow]]]:
        """The pairs of a part in their order, each with its negatives by slot.

        Args:
            columns: of the pairs, ``key`` among them.
            of_negatives: columns of the negatives.
        """
        found: dict[str, list[NegativeRow]] = {}
        table = self.rows(Stage.NEGATIVES, part, list(dict.fromkeys(["key", "slot", *of_negatives])))
        for row in table.sort_by([("key", "ascending"), ("slot", "ascending")]).to_pylist():
            found.setdefault(row["key"], []).append(row)
        for pair in self.rows(Stage.PAIRS, part, columns).to_pylist():
            yield pair, found.get(pair["key"], [])


def rows_by_key(
    folder: Path, kind: type[Row], parts: Iterable[int], keys: Collection[str], columns: Sequence[str] | None = None
) -> dict[str, list[Row]]:
    """The rows of some parts with these keys, in their order, by key.

    Args:
        kind: what they are, such as `PairRow`.
        columns: what is read, ``key`` among it; None for all of the kind.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    wanted, found = pa.array(sorted(keys), pa.string()), dict[str, list[Row]]()
    for part in parts if keys else ():
        held = pc.is_in(read_part(folder, part, ["key"])["key"], wanted)
        if pc.any(held).as_py():
            for row in read_part(folder, part, list(columns or kind.__annotations__)).filter(held).to_pylist():
                found.setdefault(row["key"], []).append(row)
    return found


def load_pairs(path: Path) -> Manifest:
    """The pairs that an earlier command left in a work folder.

    Raises:
        UsageError: there are none.
        InputError: none of its input's rows could be used.
        DamagedError: an earlier version of negmine made them, or they are damaged.
    """
    folder = path / Stage.PAIRS
    if not folder.is_dir():
        raise UsageError(
            "there are no pairs yet", where=str(path), fix="name captioned images, e.g. negmine parse PAIRS"
        )
    pairs = load_manifest(folder)
    if not pairs.counts["pairs"]:
        raise InputError(
            "there are no pairs here: none of the input's rows could be used",
            where=str(folder / REJECTED_FILE),
            why=refusals.named(pairs.counts) or "the input had no rows",
            fix="mend the input, and run negmine parse with it and --overwrite",
        )
    if pairs.parts and set(PAIRS.names) - set(read_part(folder, 0).column_names):
        raise DamagedError(
            "these pairs were made by an earlier negmine, which looked at images in another way",
            where=str(folder),
            fix="read them again: negmine parse PAIRS --overwrite",
        )
    return pairs


def _check_same_pairs(path: Path, stages: Mapping[str, Manifest]) -> None:
    pairs = stages[Stage.PAIRS]
    for name, manifest in stages.items():
        if name == Stage.FIGURES:  # the pairs were read off them
            together = pairs.spec.inputs.get(Stage.FIGURES) == manifest.digest
        else:
            together = name == Stage.PAIRS or manifest.spec.inputs.get(Stage.PAIRS) == pairs.digest
        if not together:
            raise DamagedError(
                f"the {name} were made from other pairs",
                where=str(path),
                fix="run that stage again with --overwrite, or use another --work",
            )


def _check_same_negatives(path: Path, stages: Mapping[str, Manifest]) -> None:
    """Positives answer the denials among the negatives that they were made beside."""
    positives, negatives = stages.get(Stage.POSITIVES), stages.get(Stage.NEGATIVES)
    beside = positives and positives.spec.inputs.get(Stage.NEGATIVES)
    if negatives and beside and beside != negatives.digest:
        raise DamagedError(
            "the positives were made beside other negatives",
            where=str(path / Stage.POSITIVES),
            fix="run negmine parse with --positives and --overwrite, or remove this folder",
        )
