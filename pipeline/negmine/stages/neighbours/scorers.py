"""What gives pairs a score: embeddings (their weighted sum), BM25, or a function of the user's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

import numpy as np

from negmine.base.arrays import Ids, Mask, Places, Scores, Vectors
from negmine.base.errors import InputError, UsageError
from negmine.contract.records import PairRow
from negmine.images.locate import PLACE, ImageRoot, place_of
from negmine.stages.neighbours.corpus import Corpus, read_vectors
from negmine.stages.neighbours.embed import known_image
from negmine.stages.neighbours.search import NO_ID, make_product, pair_scores, search
from negmine.stages.neighbours.settings import Source
from negmine.stages.neighbours.word_sets import normalised
from negmine.store import file_sha256, read_part

ROWS_AT_ONCE: Final = 1_024

FirstOf = Callable[[int], Mask]
"""Which pairs [n] of a part are searched: the first of each image."""


class Reranker(Protocol):
    """Scores a pair's query against the targets of any pairs."""

    @property
    def vectors(self) -> Dense | None:
        """What it compares; None if it has no vectors."""
        ...

    def load(self) -> None:
        """Load what is needed, once a process."""
        ...

    def positives(self, part: int, first: Mask, *, lowest: bool) -> Scores:
        """[n] how the pairs of a part score against their own truth; NaN where there is none.

        ``i2t`` and ``t2i``: caption and image of the pair. ``t2t``: mean over the other captions of the image,
        NaN for an only caption. ``i2i``: 1, or what the scorer gives an image with itself.

        Args:
            first: [n], True where the rows of an image begin.
            lowest: of several truths (all other captions, all captions of the image) the lowest score instead.
        """
        ...

    def score(self, part: int, rows: Places, ids: Ids) -> Scores:
        """[n] scores of a part's queries `rows` against the targets of the pairs `ids`."""
        ...


class Retriever(Reranker, Protocol):
    """Finds candidates by its scores."""

    @property
    def images(self) -> bool:
        """Whether images are searched, each but once, and no captions."""
        ...

    @property
    def by_image(self) -> bool:
        """Whether all captions of an image ask the same."""
        ...

    def exact(self, first_of: FirstOf | None, tile_rows: int, product: str) -> Searcher:
        """A search that misses nothing.

        Args:
            first_of: which pairs are searched; None for all.
            tile_rows: of the corpus at once, and `product` how vectors are multiplied, by name; the result depends on
                neither.
        """
        ...


class Searcher(Protocol):
    """Finds the best candidates in the whole corpus."""

    def load(self) -> None:
        """Load what is needed, once a process."""
        ...

    def search(self, part: int, rows: Places, k: int) -> Found:
        """The k best for a part's queries `rows`."""
        ...


class Found(NamedTuple):
    """Candidates [n, k] of some queries, by score descending, then id ascending; `NO_ID` where there are fewer.

    Attributes:
        counts: what was measured of the search.
    """

    scores: Scores
    ids: Ids
    counts: Mapping[str, int] = MappingProxyType({})


# --- embeddings ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Dense:
    """The weighted sum of inner products is the inner product of scaled vectors, laid end to end.

    Attributes:
        folders: of the embeddings of queries and targets, one pair a source.
    """

    corpus: Corpus
    sources: tuple[Source, ...]
    folders: tuple[tuple[Path, Path], ...]

    def load(self) -> None:
        """Nothing: vectors are read as they are needed."""

    @property
    def vectors(self) -> Dense:
        return self

    @property
    def by_source(self) -> list[Dense]:
        """Each source alone."""
        alone = zip(self.sources, self.folders, strict=True)
        return [Dense(self.corpus, (source,), (folders,)) for source, folders in alone]

    @property
    def images(self) -> bool:
        return all(source.target == "image" for source in self.sources)

    @property
    def by_image(self) -> bool:
        return all(source.query == "image" for source in self.sources)

    def exact(self, first_of: FirstOf | None, tile_rows: int, product: str) -> Exact:
        return Exact(self, first_of, tile_rows, product)

    @property
    def dimensions(self) -> int:
        full = next(part for part, size in enumerate(self.corpus.sizes) if size)  # an empty part has none
        return sum(read_vectors(query, full).shape[1] for query, _ in self.folders)

    def queries(self, part: int) -> Vectors:
        """[n, D] rows that are asked with."""
        return self._vectors(part, 0)

    def targets(self, part: int) -> Vectors:
        """[n, D] rows that are asked for."""
        return self._vectors(part, 1)

    def _vectors(self, part: int, side: int) -> Vectors:
        rows = [read_vectors(folders[side], part) for folders in self.folders]
        if len(rows) == 1 and self.sources[0].weight == 1:
            return np.asarray(rows[0])
        scaled = [np.float32(source.weight**0.5) * one for source, one in zip(self.sources, rows, strict=True)]
        return np.concatenate(scaled, axis=1)

    def positives(self, part: int, first: Mask, *, lowest: bool) -> Scores:
        total = np.zeros(len(first), dtype=np.float32)
        for source, folders in zip(self.sources, self.folders, strict=True):
            queries, targets = (read_vectors(folder, part) for folder in folders)
            total += np.float32(source.weight) * positive_scores(source.direction, queries, targets, first, lowest)
        return total

    def score(self, part: int, rows: Places, ids: Ids) -> Scores:
        queries, scores = self.queries(part), np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            at = slice(start, start + ROWS_AT_ONCE)
            targets = self.corpus.gather(ids[at], self.targets)
            scores[at] = pair_scores(queries, targets, rows[at], np.arange(len(targets)))
        return scores

    def similarity(self, ids: Ids, others: Ids) -> Scores:
        """[n] inner products of the targets of two lists of pairs."""
        scores = np.empty(len(ids), dtype=np.float32)
        for start in range(0, len(ids), ROWS_AT_ONCE):
            at = slice(start, start + ROWS_AT_ONCE)
            one, other = (self.corpus.gather(some[at], self.targets) for some in (ids, others))
            scores[at] = np.vecdot(one, other)
        return scores

    def tiles(self, first_of: FirstOf | None, rows: int) -> Iterator[tuple[Ids, Vectors]]:
        """The corpus in tiles of at most `rows`, each in the same memory: ids and vectors.

        Args:
            first_of: function from part to its pairs [n] that are searched; None for all.
        """
        held = np.empty((rows, self.dimensions), dtype=np.float32)
        names = np.empty(rows, dtype=np.int64)
        filled = 0
        for part in range(len(self.corpus.sizes)):
            vectors, ids = self.targets(part), self.corpus.ids(part)
            if first_of is not None:
                vectors, ids = vectors[first_of(part)], ids[first_of(part)]
            taken = 0
            while taken < len(ids):
                size = min(rows - filled, len(ids) - taken)
                held[filled : filled + size] = vectors[taken : taken + size]
                names[filled : filled + size] = ids[taken : taken + size]
                filled, taken = filled + size, taken + size
                if filled == rows:
                    yield names, held
                    filled = 0
        if filled:
            yield names[:filled], held[:filled]


@dataclass(frozen=True)
class Exact:
    """Multiplies the queries with every row of the corpus; see `Retriever.exact`."""

    vectors: Dense
    first_of: FirstOf | None
    tile_rows: int
    product: str

    def load(self) -> None:
        make_product(self.product)

    def search(self, part: int, rows: Places, k: int) -> Found:
        queries, tiles = self.vectors.queries(part)[rows], self.vectors.tiles(self.first_of, self.tile_rows)
        return Found(*search(queries, tiles, k, make_product(self.product)))


def positive_scores(direction: str, queries: Vectors, targets: Vectors, first: Mask, lowest: bool = False) -> Scores:
    """How similar each pair is to its own truth, [N]; see `Reranker.positives`.

    Args:
        queries: unit rows [N, D]; `targets` likewise, row for row of the same pairs.
    """
    if direction == "i2i" or not len(queries):
        return np.ones(len(queries), dtype=np.float32)
    if direction != "t2t" and not (lowest and direction == "i2t"):
        return np.asarray(np.vecdot(queries, targets))
    starts = np.flatnonzero(first)
    if lowest:
        scores = np.empty(len(queries), dtype=np.float32)
        for start, end in zip(starts, [*starts[1:], len(queries)], strict=True):
            scores[start:end] = _lowest(queries[start:end] @ targets[start:end].T, without_self=direction == "t2t")
        return scores
    group = np.cumsum(first) - 1
    sums = np.add.reduceat(queries, starts, axis=0)[group] - queries
    others = np.diff([*starts, len(queries)])[group] - 1
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.vecdot(queries, sums) / np.where(others, others, np.nan), dtype=np.float32)


def _lowest(scores: Scores, *, without_self: bool) -> Scores:
    """[m] smallest of each row of [m, m]; NaN where nothing is left."""
    if without_self:
        np.fill_diagonal(scores, np.inf)
    lowest = scores.min(axis=1)
    return np.where(np.isinf(lowest), np.nan, lowest)


# --- BM25 ------------------------------------------------------------------------------------------------------------


@dataclass
class Lexical:
    """BM25 over all captions, by the library bm25s. The index is in memory: about 100 bytes a caption."""

    corpus: Corpus
    _index: Any = field(default=None, repr=False)  # bm25s.BM25, from `load` on

    @property
    def vectors(self) -> None:
        """Words have none."""

    @property
    def images(self) -> bool:
        return False

    @property
    def by_image(self) -> bool:
        return False

    def exact(self, first_of: FirstOf | None, tile_rows: int, product: str) -> Lexical:
        return self

    def load(self) -> None:
        """Index all captions.

        Raises:
            UsageError: bm25s is not installed.
        """
        try:
            import bm25s
        except ImportError:
            raise UsageError("bm25 needs the package bm25s", fix="pip install bm25s") from None
        if self._index is None:
            index = bm25s.BM25()
            index.index(
                [one for part in range(len(self.corpus.sizes)) for one in self._words(part)], show_progress=False
            )
            self._index = index

    def _words(self, part: int) -> list[list[str]]:
        return [normalised(caption).split() for caption in self.corpus.column(part, "caption")]

    def all_scores(self, part: int, rows: Places) -> Iterator[Scores]:
        """[N] scores of some captions of a part, one after the other, against all captions."""
        words = self._words(part)
        for row in rows.tolist():
            known = [word for word in words[row] if word in self._index.vocab_dict]
            yield self._index.get_scores(known) if known else np.zeros(self.corpus.pairs, dtype=np.float32)

    def positives(self, part: int, first: Mask, *, lowest: bool) -> Scores:
        start = self.corpus.starts[part]
        group = np.cumsum(first) - 1
        bounds = np.concatenate([np.flatnonzero(first), [len(first)]])
        positives = np.empty(len(first), dtype=np.float32)
        for row, scores in enumerate(self.all_scores(part, np.arange(len(first)))):
            members = np.arange(bounds[group[row]], bounds[group[row] + 1])
            truths = scores[start + members[members != row]]
            positives[row] = np.nan if not truths.size else truths.min() if lowest else truths.mean()
        return positives

    def search(self, part: int, rows: Places, k: int) -> Found:
        """The k captions with the highest scores; captions without a word in common are no candidates."""
        scores = np.full((len(rows), k), -np.inf, dtype=np.float32)
        ids = np.full(scores.shape, NO_ID, dtype=np.int64)
        for row, found in enumerate(self.all_scores(part, rows)):
            matching = np.flatnonzero(found > 0)
            if len(matching) > k:
                cut = np.partition(found[matching], len(matching) - k)[len(matching) - k]
                matching = matching[found[matching] >= cut]
            best = matching[np.lexsort((matching, -found[matching]))][:k]
            scores[row, : len(best)], ids[row, : len(best)] = found[best], best
        return Found(scores, ids)

    def score(self, part: int, rows: Places, ids: Ids) -> Scores:
        scores, asked = np.empty(len(rows), dtype=np.float32), np.unique(rows)
        for row, found in zip(asked, self.all_scores(part, asked), strict=True):
            here = rows == row
            scores[here] = found[ids[here]]
        return scores


# --- a function of the user's ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Item:
    """One side of a pair for a cross-scorer: its caption, or the encoded image; the other is None."""

    key: str
    caption: str | None
    image: bytes | None


@dataclass
class Cross:
    """``cross:FILE.py:FUNCTION``: function(queries, candidates), two lists of `Item`, gives a score for each pair."""

    corpus: Corpus
    source: Source
    _function: Any = field(default=None, repr=False)  # the user's function, from `load` on

    @property
    def vectors(self) -> None:
        """A function of the user's compares by what it likes."""

    @property
    def _file(self) -> tuple[Path, str]:
        file, _, function = self.source.name.partition(":")[2].rpartition(":")
        return Path(file), function

    def identity(self) -> str:
        """A text that changes with the function's file.

        Raises:
            UsageError: there is no such file.
        """
        path, function = self._file
        if not path.is_file():
            raise UsageError(
                "there is no such file", where=str(path), fix="name a cross-scorer as DIRECTION:cross:FILE.py:FUNCTION"
            )
        return f"{function} {file_sha256(path)}"

    def load(self) -> None:
        """Run the file and take the function from it.

        Raises:
            UsageError: it is not there.
        """
        if self._function is not None:
            return
        import runpy

        path, name = self._file
        self._function = runpy.run_path(str(path)).get(name)
        if not callable(self._function):
            raise UsageError(f"there is no function {name!r}", where=str(path), fix="name a function of the file")
        self._part = lru_cache(64)(self._read_part)
        self._images = ImageRoot(self.corpus.images) if self.corpus.images is not None else None

    def positives(self, part: int, first: Mask, *, lowest: bool) -> Scores:
        rows = np.arange(len(first))
        if self.source.direction != "t2t":
            return self.score(part, rows, self.corpus.ids(part))
        group = np.cumsum(first) - 1
        one, other = np.nonzero((group[:, None] == group) & (rows[:, None] != rows))
        scores = self.score(part, one, other + self.corpus.starts[part])
        sums, counts = np.bincount(one, scores, len(rows)), np.bincount(one, minlength=len(rows))
        with np.errstate(invalid="ignore", divide="ignore"):
            positives = (sums / np.where(counts, counts, np.nan)).astype(np.float32)
        if lowest:
            np.fmin.at(positives, one, scores)
        return positives

    def score(self, part: int, rows: Places, ids: Ids) -> Scores:
        scores = np.empty(len(rows), dtype=np.float32)
        for start in range(0, len(rows), ROWS_AT_ONCE):
            at = slice(start, start + ROWS_AT_ONCE)
            queries = [self._item(int(i) + int(self.corpus.starts[part]), self.source.query) for i in rows[at]]
            found = np.asarray(self._function(queries, [self._item(int(i), self.source.target) for i in ids[at]]))
            if found.shape != (len(queries),) or not np.isfinite(found).all():
                raise InputError(
                    "the cross-scorer gave something else than one finite number a pair",
                    where=self.source.name,
                    why=f"shape {found.shape} for {len(queries)} pairs",
                    fix="return a list of floats, as long as the lists it is given",
                )
            scores[at] = found
        return scores

    def _item(self, pair: int, modality: str) -> Item:
        part = int(np.searchsorted(self.corpus.starts, pair, side="right")) - 1
        row = self._part(part)[pair - int(self.corpus.starts[part])]
        if modality == "text":
            return Item(row["key"], row["caption"], None)
        if self._images is None:
            raise UsageError("the pairs were read without images", fix="read them again with --images FOLDER")
        return Item(row["key"], None, known_image(self._images, place_of(row)))

    def _read_part(self, part: int) -> list[PairRow]:
        rows: list[PairRow] = read_part(self.corpus.folder, part, ["key", "caption", *PLACE]).to_pylist()
        return rows
