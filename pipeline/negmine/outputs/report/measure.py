"""What is counted for the page: kinds and guards from the manifests, lengths and scores from the parts looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow.compute as pc
from numpy.typing import NDArray

from negmine.base.arrays import Places
from negmine.outputs.report.read import OBVIOUS, SampledFolder
from negmine.store import Manifest
from negmine.store.arrays import Array

BINS: Final = 40
TAIL: Final = 0.001
"""Share of the values, at either end, that may stand in the last bin."""
QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95)

Values = NDArray[np.floating] | NDArray[np.integer]


@dataclass(frozen=True)
class Series:
    """Counts by bin, and what they are of."""

    name: str
    counts: tuple[int, ...]

    @property
    def total(self) -> int:
        return sum(self.counts)


@dataclass(frozen=True)
class Histogram:
    """Several series over the same bins.

    Attributes:
        edges: one more than there are bins; what lies beyond is counted in the first or last bin.
        whole: the values are whole numbers, and bin i is of those from edges[i] to edges[i + 1] - 1.
    """

    title: str
    about: str
    edges: tuple[float, ...]
    series: tuple[Series, ...]
    whole: bool = False


@dataclass(frozen=True)
class Kind:
    """One kind of negatives.

    Attributes:
        negatives: in the whole folder.
        quantiles: of the score at `QUANTILES`, in the parts looked at; None where a kind has no scores.
    """

    name: str
    negatives: int
    quantiles: tuple[float, ...] | None


@dataclass(frozen=True)
class Rule:
    """What became of a rule's candidates: proposed = accepted + all refused."""

    name: str
    proposed: int
    refused: Mapping[str, int]
    accepted: int


@dataclass(frozen=True)
class Measures:
    """All that the page counts."""

    kinds: tuple[Kind, ...]
    rules: tuple[Rule, ...]
    refused: Mapping[str, int]
    histograms: tuple[Histogram, ...]


def measure(work: SampledFolder) -> Measures:
    """Count and measure; memory is that of the columns of the parts looked at."""
    lengths = {"captions": _words(work, "pairs", "caption")}
    kinds, rules, histograms = list[Kind](), list[Rule](), list[Histogram]()
    if "negatives" in work.stages:
        made = work.stages["negatives"]
        lengths["negatives"] = _words(work, "negatives", "negative")
        names = _column(work, "negatives", "kind").astype(str)
        scores = _column(work, "negatives", "score").astype(np.float64)
        for name, number in made.counts.under("kind").items():
            kinds.append(Kind(name, number, _quantiles(scores[names == name])))
        rules = _rules(made)
        scored = scores[np.isfinite(scores)]
        if len(scored):
            about = "By which they were chosen; log weights where the choice is balanced."
            histograms.append(histogram("Scores of negatives", about, {"negatives": scored}))
    histograms.insert(0, histogram("Words in a text", "Captions beside their negatives.", lengths, whole=True))
    refused = dict[str, int]()
    if "neighbours" in work.stages:
        refused = work.stages["neighbours"].counts.under("refused")
        histograms.append(_neighbours(work))
    return Measures(tuple(kinds), tuple(rules), refused, tuple(histograms))


def _rules(made: Manifest) -> list[Rule]:
    refused: dict[str, dict[str, int]] = {}
    for name, number in made.counts.under("rejected").items():
        rule, _, guard = name.partition(":")
        refused.setdefault(rule, {})[guard] = number
    accepted = made.counts.under("accepted")
    return [
        Rule(name, number, refused.get(name, {}), accepted.get(name, 0))
        for name, number in made.counts.under("proposed").items()
    ]


def _neighbours(work: SampledFolder) -> Histogram:
    score, truth = (_column(work, "neighbours", name).astype(np.float64) for name in ("score", "positive_score"))
    selected = _column(work, "neighbours", "selected").astype(bool)
    reason = _column(work, "neighbours", "reason")
    refused = np.array([value is not None and value not in OBVIOUS for value in reason], dtype=bool)
    kept = np.array([value is None for value in reason], dtype=bool) & ~selected
    first = _column(work, "neighbours", "rank") == 1
    return histogram(
        "Scores of mined candidates",
        "Beside the truth's; the pair itself and other captions of its image are left out.",
        {"truth": truth[first], "selected": score[selected], "kept": score[kept], "refused": score[refused]},
    )


# --- columns ---------------------------------------------------------------------------------------------------------


def _column(work: SampledFolder, stage: str, name: str) -> Array:
    """[n] values of a column in all parts looked at."""
    columns = [work.rows(stage, part, [name])[name].to_numpy(zero_copy_only=False) for part in work.parts]
    return np.concatenate(columns) if columns else np.empty(0)


def _words(work: SampledFolder, stage: str, name: str) -> Places:
    """[n] words of each text; texts have single blanks between them."""
    counts = [pc.count_substring(work.rows(stage, part, [name])[name], " ").to_numpy() + 1 for part in work.parts]
    return np.concatenate(counts) if counts else np.empty(0, np.int64)


def _quantiles(values: Values) -> tuple[float, ...] | None:
    values = values[np.isfinite(values)]
    return tuple(float(q) for q in np.quantile(values, QUANTILES)) if len(values) else None


def histogram(title: str, about: str, groups: Mapping[str, Values], *, whole: bool = False) -> Histogram:
    """Groups of values over common bins; groups without values are left out.

    Args:
        whole: the values are whole numbers, and so are the edges.
    """
    groups = {name: values for name, values in groups.items() if len(values)}
    edges = _edges(np.concatenate(list(groups.values())), whole) if groups else np.arange(2.0)
    inside = (edges[0], np.nextafter(edges[-1], edges[0]))
    series = [
        Series(name, tuple(np.histogram(np.clip(values, *inside), edges)[0].tolist()))
        for name, values in groups.items()
    ]
    return Histogram(title, about, tuple(edges.tolist()), tuple(series), whole)


def _edges(values: Values, whole: bool) -> NDArray[np.float64]:
    low, high = np.quantile(values, (TAIL, 1 - TAIL), method="nearest")
    if whole:
        width = max(1, -(-(int(high) - int(low) + 1) // BINS))
        return np.arange(int(low), int(high) + width + 1, width, dtype=np.float64)
    return np.linspace(low, high if high > low else low + 1, BINS + 1)


def shares(series: Series) -> Sequence[float]:
    """Each bin's share of its series, 0 to 1."""
    return [count / max(series.total, 1) for count in series.counts]
