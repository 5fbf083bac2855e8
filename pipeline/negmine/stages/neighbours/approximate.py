"""Search by a FAISS index, on request: faster than exact search on large corpora, and always with its recall measured.

The corpus is indexed in shards of `PARTS` parts, each in a file of its own, and what they find is scored exactly and
merged. Index files are made here and read back by their sha256; those of others are not read.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import isqrt
from pathlib import Path
from types import ModuleType
from typing import IO, TYPE_CHECKING, Any, Final

import numpy as np

from negmine.base.arrays import Ids, Places, Scores, Vectors
from negmine.base.errors import UsageError
from negmine.engine import PartFunction
from negmine.stages.neighbours.scorers import Dense, FirstOf, Found
from negmine.stages.neighbours.search import NO_ID, merge, search
from negmine.store import PartRecord, folder_at, part_name, write_file

if TYPE_CHECKING:
    import faiss

PARTS: Final = 64
"""Parts of the pairs in one index; fixed, so that no result depends on memory or workers."""

MEASURED: Final = 10_000
"""Queries whose neighbours are found exactly too, to measure recall."""


def ivf(rows: int, k: int) -> str:
    """Inverted lists around about 4 sqrt(rows) centres, of which a sixteenth is read, at least eight."""
    lists = max(1, min(4 * isqrt(rows), rows // 39))
    return f"IVF{lists},Flat:nprobe={max(8, lists // 16)}"


def hnsw(rows: int, k: int) -> str:
    """A navigable small-world graph with 32 links, searched twice as wide as what is asked for."""
    return f"HNSW32,Flat:efSearch={max(64, 2 * k)}"


PRESETS: Final[dict[str, Callable[[int, int], str]]] = {"ivf": ivf, "hnsw": hnsw}
"""Name to a factory string with its search parameters, by rows of an index and neighbours asked for."""

CAGRA: Final = "cagra"
"""FAISS's graph index on GPUs; with a build that has it, and a GPU."""


def check_index(text: str) -> None:
    """Refuse what cannot be built.

    Raises:
        UsageError: a file, no factory string, or CAGRA where there is none.
    """
    import faiss

    if Path(text).suffix in (".faiss", ".index") or Path(text).is_file():
        raise UsageError(
            "index files of others are not read",
            where=text,
            why="reading one runs what its bytes say",
            fix=f"name a preset ({', '.join((*PRESETS, CAGRA))}) or a factory string such as IVF4096,Flat:nprobe=32",
        )
    if text == CAGRA:
        if not (hasattr(faiss, "GpuIndexCagra") and faiss.get_num_gpus()):
            raise UsageError(
                "CAGRA needs a GPU and a FAISS build that has it",
                why="neither --index hnsw nor ivf does",
                fix="pip install faiss-gpu-cuvs on a machine with a GPU, or --index hnsw",
            )
        return
    try:
        _empty(text if text not in PRESETS else PRESETS[text](10_000, 10), 8)
    except (RuntimeError, ValueError) as error:
        raise UsageError(
            f"FAISS knows no index {text!r}",
            why=str(error).splitlines()[-1],
            fix=f"name a preset ({', '.join((*PRESETS, CAGRA))}) or a factory string such as IVF4096,Flat:nprobe=32",
        ) from None


def _empty(text: str, dimensions: int) -> faiss.Index:
    """An untrained index with its search parameters."""
    import faiss

    factory, _, parameters = text.partition(":")
    index = faiss.index_factory(dimensions, factory, faiss.METRIC_INNER_PRODUCT)
    if parameters:
        _set(index, parameters)
    return index


def _set(index: faiss.Index, parameters: str) -> None:
    """Search parameters, as ``nprobe=32``."""
    import faiss

    space: Any = faiss.ParameterSpace()  # its stub has one form of this method only
    space.set_index_parameters(index, parameters)


@dataclass(frozen=True)
class IndexPhase:
    """Build the index of each shard of the corpus.

    Attributes:
        first_of: function from part to its pairs [n] that are searched; None for all.
        k: neighbours that will be asked for.
    """

    vectors: Dense
    first_of: FirstOf | None
    index: str
    k: int

    @property
    def shards(self) -> int:
        return -(-len(self.vectors.corpus.sizes) // PARTS)

    def setup(self) -> PartFunction:
        import faiss

        faiss.omp_set_num_threads(1)  # a graph built by several threads is another one each time
        return partial(_build, self)

    def ids(self, shard: int) -> Ids:
        """[n] ids of the rows of a shard."""
        corpus = self.vectors.corpus
        parts = range(shard * PARTS, min((shard + 1) * PARTS, len(corpus.sizes)))
        chosen = [
            corpus.ids(part) if self.first_of is None else corpus.ids(part)[self.first_of(part)] for part in parts
        ]
        return np.concatenate(chosen)

    def text(self, rows: int) -> str:
        return PRESETS[self.index](rows, self.k) if self.index in PRESETS else self.index


def _build(phase: IndexPhase, shard: int, folder: Path) -> PartRecord:
    import faiss

    rows = phase.vectors.corpus.gather(phase.ids(shard), phase.vectors.targets)
    if phase.index == CAGRA:
        gpu: ModuleType = faiss  # this build has what the stubs of the other lack
        made = gpu.GpuIndexCagra(gpu.StandardGpuResources(), rows.shape[1], faiss.METRIC_INNER_PRODUCT)
        made.train(rows)
        index = faiss.index_gpu_to_cpu(made)
    else:
        index = _empty(phase.text(len(rows)), rows.shape[1])
        index.train(rows)
        index.add(rows)

    def write(stream: IO[bytes]) -> int:
        stream.write(faiss.serialize_index(index).tobytes())
        return len(rows)

    return PartRecord(shard, (write_file(folder, part_name(shard, "faiss"), write),), {"pairs": len(rows)})


@dataclass(frozen=True)
class Indexes:
    """The indexes of all shards, on the disk; the recall of every part is measured by exact search.

    Attributes:
        tile_rows: of the corpus at once, for exact search.
    """

    phase: IndexPhase
    folder: Path
    tile_rows: int

    def load(self) -> None:
        """Nothing: an index is read when it is asked."""

    def search(self, part: int, rows: Places, k: int) -> Found:
        queries = self.phase.vectors.queries(part)[rows]
        scores, ids = self._search(part, rows, queries, k)
        hits, exact = self._recall(queries, ids)
        return Found(scores, ids, {"recall_found": hits, "recall_exact": exact})

    def _search(self, part: int, rows: Places, queries: Vectors, k: int) -> tuple[Scores, Ids]:
        """As `negmine.stages.neighbours.search.search`, but for what the indexes miss."""
        import faiss

        faiss.omp_set_num_threads(1)
        scores = np.full((len(rows), k), -np.inf, dtype=np.float32)
        ids = np.full((len(rows), k), NO_ID, dtype=np.int64)
        for shard in range(self.phase.shards):
            names = self.phase.ids(shard)
            content = np.fromfile(folder_at(self.folder).file(part_name(shard, "faiss")), dtype=np.uint8)
            index = faiss.deserialize_index(content)
            parameters = self.phase.text(len(names)).partition(":")[2]
            if parameters:  # those of a search are not in the file
                _set(index, parameters)
            _, places = index.search(np.ascontiguousarray(queries), min(k, len(names)))
            query, column = np.nonzero(places >= 0)
            found = names[places[query, column]]
            merge(scores, ids, query, self.phase.vectors.score(part, rows[query], found), found)
        return scores, ids

    def _recall(self, queries: Vectors, found: Ids) -> tuple[int, int]:
        """Of some of the queries: how many of their exact neighbours were found, and how many they have."""
        parts = len(self.phase.vectors.corpus.sizes)
        some = np.unique(np.linspace(0, len(found) - 1, min(len(found), -(-MEASURED // parts))).astype(np.int64))
        tiles = self.phase.vectors.tiles(self.phase.first_of, self.tile_rows)
        exact = search(np.asarray(queries)[some], tiles, found.shape[1])[1]
        hits = sum(len(set(a) & set(b) - {NO_ID}) for a, b in zip(exact.tolist(), found[some].tolist(), strict=True))
        return hits, int((exact != NO_ID).sum())
