"""The pairs in the order of their ids: the id of a pair is its place in all parts together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Ids, Places, Starts, Vectors
from negmine.store import part_name, read_part
from negmine.store.arrays import read_array

Kind = TypeVar("Kind", bound=np.generic)


@dataclass(frozen=True)
class Corpus:
    """Where the pairs lie.

    Attributes:
        folder: of the pairs' parts.
        sizes: pairs in each part.
        images: root of the image paths; None where the pairs were read without images.
    """

    folder: Path
    sizes: tuple[int, ...]
    images: str | None = None

    @cached_property
    def starts(self) -> Starts:
        """Id of the first pair of each part, and the number of pairs: [parts + 1]."""
        return np.concatenate([[0], np.cumsum(self.sizes)]).astype(np.int64)

    @property
    def pairs(self) -> int:
        return sum(self.sizes)

    def ids(self, part: int) -> Ids:
        """[n] ids of a part's pairs."""
        return np.arange(self.starts[part], self.starts[part + 1])

    def column(self, part: int, name: str) -> list[Any]:  # of the column's own type
        """A column of a part of the pairs."""
        return list(read_part(self.folder, part, [name])[name].to_pylist())

    def split(self, ids: Ids) -> list[tuple[int, Places, Places]]:
        """Ids [n] by part: part, places in `ids`, places in the part."""
        parts = np.searchsorted(self.starts, ids, side="right") - 1
        order = np.argsort(parts, kind="stable")
        bounds = np.searchsorted(parts[order], np.arange(len(self.sizes) + 1))
        return [
            (part, where := order[bounds[part] : bounds[part + 1]], ids[where] - self.starts[part])
            for part in np.unique(parts)
        ]

    def gather(self, ids: Ids, rows_of: Callable[[int], NDArray[Kind]]) -> NDArray[Kind]:
        """Rows at ids of any shape, from a function that gives those of a part."""
        flat = np.ascontiguousarray(ids).ravel()
        values: NDArray[Kind] | None = None
        for part, where, places in self.split(flat):
            taken = rows_of(part)[places]
            if values is None:
                values = np.empty((len(flat), *taken.shape[1:]), dtype=taken.dtype)
            values[where] = taken
        if values is None:
            values = rows_of(0)[:0]
        return values.reshape(*ids.shape, *values.shape[1:])


def read_vectors(folder: Path, part: int) -> Vectors:
    """[n, D] embeddings of a part, left on the disk until they are used."""
    return read_array(folder / part_name(part, "npy"), mapped=True)
