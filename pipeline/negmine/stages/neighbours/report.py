"""What a mined table says of itself: quantiles of the scores, a threshold that would do, examples to look at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import IO, Final

import numpy as np
from numpy.typing import NDArray

from negmine.base.arrays import Places, Scores
from negmine.base.html import data_url, document, thumbnail
from negmine.contract.records import NeighbourRow, PairRow
from negmine.images.decode import BadImageError, decode
from negmine.images.locate import PLACE, ImageRoot, place_of
from negmine.stages.neighbours.corpus import Corpus
from negmine.stages.neighbours.filters import ABOUT_SCORES, ALWAYS
from negmine.store import read_part
from negmine.store.work_folder import rows_by_key

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)
ENOUGH: Final = 0.95
"""Share of the pairs that shall have K candidates under the suggested threshold."""

_BINS: Final = 20_000
_COLUMNS: Final = ("rank", "score", "positive_score", "reason")


@dataclass
class Histogram:
    """Counts of numbers, from which quantiles can be read to a two-hundredth of a per cent of their range."""

    low: float
    high: float
    counts: Places = field(default_factory=lambda: np.zeros(_BINS, dtype=np.int64))

    def add(self, values: NDArray[np.floating]) -> None:
        places = (np.asarray(values) - self.low) * (_BINS / max(self.high - self.low, 1e-12))
        self.counts += np.bincount(np.clip(places.astype(np.int64), 0, _BINS - 1), minlength=_BINS)

    def quantile(self, share: float) -> float:
        """The number that this share of all are below; NaN of none."""
        total = self.counts.sum()
        if not total:
            return float("nan")
        at = int(np.searchsorted(np.cumsum(self.counts), share * total))
        return self.low + (min(at, _BINS - 1) + 0.5) * (self.high - self.low) / _BINS


def score_figures(neighbours: Path, parts: int, k: int) -> dict[str, object]:
    """Quantiles of the scores of truths and of candidates of other images, and the widest margins that leave enough.

    Args:
        k: neighbours asked for.
    """
    low, high = _range(neighbours, parts)
    truths, others = Histogram(low, high), Histogram(low, high)
    spread = high - low
    margins, shares = Histogram(-spread, spread), Histogram(-1.0, 3.0)
    for part in range(parts):
        for query in _queries(neighbours, part):
            truths.add(query.positive)
            others.add(query.others)
            margins.add(query.margin(k))
            shares.add(query.share(k))
    if not others.counts.any():
        return {}
    figures: dict[str, object] = {
        "score of the truth": _quantiles(truths),
        "score of candidates": _quantiles(others),
    }
    margin, share = margins.quantile(1 - ENOUGH), shares.quantile(ENOUGH)
    figures[f"{k} are left to {ENOUGH:.0%} of the pairs up to"] = f"margin={margin:.3f}, percentage={share:.3f}"
    return figures


def _quantiles(values: Histogram) -> dict[str, float]:
    return {f"{share:.0%} below": round(values.quantile(share), 3) for share in QUANTILES}


def _range(neighbours: Path, parts: int) -> tuple[float, float]:
    """The smallest and the largest score, of truths and candidates."""
    low, high = np.inf, -np.inf
    for part in range(parts):
        table = read_part(neighbours, part, ["score", "positive_score"])
        for name in table.column_names if table.num_rows else ():
            values = table[name].to_numpy()
            low, high = min(low, float(values.min())), max(high, float(values.max()))
    return (low, high) if low <= high else (0.0, 1.0)


@dataclass(frozen=True)
class _Queries:
    """The candidates of a part's queries one after the other.

    Attributes:
        positive: [Q]; `others` the scores of all candidates of other images.
        passing: scores of candidates that only a filter of scores refuses, if any, in the order of their queries.
        counts: [Q] how many of them each query has.
    """

    positive: Scores
    others: Scores
    passing: Scores
    counts: Places

    def _kth(self, k: int) -> tuple[Scores, Scores]:
        """Truth and highest of the k lowest candidates, of queries that have k."""
        enough = self.counts >= k
        ends = np.cumsum(self.counts)
        return self.positive[enough], self.passing[ends[enough] - k]

    def margin(self, k: int) -> Scores:
        """Widest margin that leaves k candidates to a query."""
        positive, score = self._kth(k)
        return positive - score

    def share(self, k: int) -> NDArray[np.float64]:
        """Lowest percentage that does."""
        positive, score = self._kth(k)
        return 1 - (positive - score) / np.maximum(np.abs(positive), 1e-6)


def _queries(neighbours: Path, part: int) -> Iterator[_Queries]:
    table = read_part(neighbours, part, list(_COLUMNS))
    if not table.num_rows:
        return
    rank, score, positive = (table[name].to_numpy() for name in _COLUMNS[:3])
    reason = table["reason"].to_numpy(zero_copy_only=False).astype(str)
    query = np.cumsum(rank == 1) - 1
    passing = np.isin(reason, [*ABOUT_SCORES, "None", "nan"])
    starts = np.flatnonzero(rank == 1)
    counts = np.bincount(query[passing], minlength=len(starts))
    yield _Queries(positive[starts], score[~np.isin(reason, ALWAYS)], score[passing], counts)


# --- examples --------------------------------------------------------------------------------------------------------

EXAMPLES: Final = 12
EXAMPLES_FILE: Final = "examples.html"
_IMAGE: Final = ("key", "caption", *PLACE)
_SHOWN, _REFUSED = 3, 2
_SIDE, _QUALITY = 180, 75

_STYLE: Final = """
:root { --good: var(--new); --bad: var(--old); }
section { display: flex; gap: 1rem; overflow-x: auto; border-top: 1px solid var(--line); padding: 1rem 0; }
figure { margin: 0; flex: 0 0 11.5rem; } figure:first-child { margin-right: 1.5rem; }
img { display: block; max-width: 100%; height: auto; border-radius: 4px; }
figcaption { overflow-wrap: anywhere; } small { display: block; color: var(--soft); }
.kept { color: var(--good); } .refused { color: var(--bad); }
"""


def write_examples(stream: IO[bytes], corpus: Corpus, neighbours: Path) -> int:
    """A page with some queries, what was selected for them, and what was refused and why. Returns their number."""
    chosen = list(_chosen(corpus, neighbours))
    shown = [(rows[0], [row for row in rows if row["selected"]][:_SHOWN], _refused(rows)) for rows in chosen]
    keys = {first["key"] for first, _, _ in shown}
    keys |= {row["neighbour_key"] for _, selected, refused in shown for row in (*selected, *refused)}
    found = rows_by_key(corpus.folder, PairRow, range(len(corpus.sizes)), keys, _IMAGE)
    pairs = {key: rows[0] for key, rows in found.items()}
    sections = [_section(corpus, pairs, *rows) for rows in shown]
    lead = f"<p>{len(sections)} pairs, each with what was selected for it and what was refused.</p>"
    body = f"<main><h1>Mined neighbours</h1>{lead}{''.join(sections)}</main>"
    text = document("Mined neighbours", body, style=_STYLE)
    stream.write(text.encode())
    return len(sections)


def _chosen(corpus: Corpus, neighbours: Path) -> Iterator[list[NeighbourRow]]:
    """Rows of the table of a few queries, spread over the corpus: the pair, selected ones, refused ones."""
    wanted = np.unique(np.linspace(0, max(corpus.pairs - 1, 0), EXAMPLES).astype(np.int64))
    for part, _, places in corpus.split(wanted[: corpus.pairs]):
        table = read_part(neighbours, part)
        if not table.num_rows:
            continue
        starts = np.flatnonzero(table["rank"].to_numpy() == 1)
        keys = corpus.column(part, "key")
        found = {table["key"][int(start)].as_py(): int(start) for start in starts}
        for place in places.tolist():
            start = found.get(keys[place])
            if start is not None:
                end = next((int(s) for s in starts if s > start), table.num_rows)
                yield table.slice(start, end - start).to_pylist()


def _refused(rows: Sequence[NeighbourRow]) -> list[NeighbourRow]:
    return [row for row in rows if row["reason"] and row["reason"] not in ALWAYS][:_REFUSED]


def _section(
    corpus: Corpus,
    pairs: Mapping[str, PairRow],
    first: NeighbourRow,
    selected: Sequence[NeighbourRow],
    refused: Sequence[NeighbourRow],
) -> str:
    figures = [_figure(corpus, pairs[first["key"]], f"truth {first['positive_score']:.3f}", "")]
    for kind, rows in (("kept", selected), ("refused", refused)):
        for row in rows:
            note = f"{row['score']:.3f}, " + (f"refused: {row['reason']}" if row["reason"] else f"rank {row['rank']}")
            figures.append(_figure(corpus, pairs[row["neighbour_key"]], note, kind))
    return f"<section tabindex=0>{''.join(figures)}</section>"


def _figure(corpus: Corpus, pair: PairRow, note: str, kind: str) -> str:
    thumbnail = _thumbnail(corpus, pair)
    image = f'<img alt="" src="{data_url(thumbnail)}">' if thumbnail else ""
    return (
        f"<figure>{image}<figcaption>{escape(pair['caption'])}"
        f'<small class="{kind}">{escape(note)}</small><small>{escape(pair["key"])}</small></figcaption></figure>'
    )


def _thumbnail(corpus: Corpus, pair: PairRow) -> bytes | None:
    """None where there is no image to be had."""
    image, *place = place_of(pair)
    if corpus.images is None or image is None:
        return None
    try:
        content = ImageRoot(corpus.images).read(image, *place)
        seen = decode(content, None, least=2 * _SIDE)
        return thumbnail(seen.rgb, _SIDE, _QUALITY)
    except (BadImageError, OSError):
        return None
