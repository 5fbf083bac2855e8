"""Facts beside the images as vectors: where they were taken, or any numbers. Near means alike before a model knows.

Sample4Geo's first epoch finds neighbours so. The table (CSV, TSV or Parquet) has a column ``key``, and
``latitude`` and ``longitude`` in degrees, which become a point on the sphere, so that the score is the cosine of the
angle between two places; or other numbers, which are standardised.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Vectors
from negmine.base.errors import InputError, UsageError
from negmine.encoders.base import Item, Modality, normalise
from negmine.store import file_sha256

if TYPE_CHECKING:
    import pyarrow as pa

PLACE: Final = ("latitude", "longitude")

Column = NDArray[np.float64]
Rows = np.ndarray[tuple[int, int], np.dtype[np.float64]]


class Metadata:
    """Named ``metadata:FILE``. Rows depend on the key and on nothing that the pair says or shows."""

    modalities: tuple[Modality, ...] = ("text", "image")
    by_key = True

    def __init__(self, argument: str, modality: Modality) -> None:
        self._path = Path(argument)
        self._rows: dict[str, NDArray[np.float32]] = {}

    def identity(self) -> str:
        if not self._path.is_file():
            raise UsageError(
                "there is no such file", where=str(self._path), fix="metadata:FILE needs a table with a column key"
            )
        return file_sha256(self._path)

    def load(self) -> None:
        table = _read(self._path)
        if "key" not in table.column_names:
            raise self._bad(f"its columns are {', '.join(table.column_names)}", "add a column key")
        names = [name for name in table.column_names if name != "key"]
        columns = [np.asarray(table[name].to_numpy(), dtype=np.float64) for name in names]
        if not names or not all(np.isfinite(column).all() for column in columns):
            raise self._bad("a value is missing or not finite", "give every row numbers only")
        facts = dict(zip(names, columns, strict=True))
        rows = _on_sphere(*(facts[n] for n in PLACE)) if set(names) == set(PLACE) else _standardised(columns)
        self._rows = dict(zip(map(str, table["key"].to_pylist()), normalise(rows), strict=True))

    def encode(self, keys: Sequence[str], items: Sequence[Item]) -> Vectors:
        missing = [key for key in keys if key not in self._rows]
        if missing:
            raise self._bad(f"{len(missing):,} pairs of one part are not in it, first: key {missing[0]}", "add them")
        return np.stack([self._rows[key] for key in keys])

    def _bad(self, why: str, fix: str) -> InputError:
        return InputError("this table cannot be used as metadata", where=str(self._path), why=why, fix=fix)


def _read(path: Path) -> pa.Table:
    import pyarrow as pa
    import pyarrow.csv
    import pyarrow.parquet as pq

    try:
        if path.suffix == ".parquet":
            return pq.read_table(path)
        options = pa.csv.ParseOptions(delimiter="\t" if path.suffix == ".tsv" else ",")
        as_text = pa.csv.ConvertOptions(column_types={"key": pa.string()})
        return pa.csv.read_csv(path, parse_options=options, convert_options=as_text)
    except pa.ArrowException as error:
        raise InputError(
            "this table cannot be read", where=str(path), why=str(error), fix="write CSV or Parquet"
        ) from None


def _on_sphere(latitude: Column, longitude: Column) -> Rows:
    """Points [n, 3] on the unit sphere, of degrees."""
    north, east = np.radians(latitude), np.radians(longitude)
    return np.stack([np.cos(north) * np.cos(east), np.cos(north) * np.sin(east), np.sin(north)], axis=1)


def _standardised(columns: Sequence[Column]) -> Rows:
    """Columns with mean 0 and deviation 1, and a 1, so that no row is zero."""
    scaled = [(column - column.mean()) / (column.std() or 1.0) for column in columns]
    return np.stack([*scaled, np.ones(len(columns[0]))], axis=1)
