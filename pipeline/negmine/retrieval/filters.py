"""Which candidates would be false negatives: pure functions with a name, the first that refuses gives the reason."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

Mask = np.ndarray[tuple[int, int], np.dtype[np.bool_]]


@dataclass(frozen=True)
class Candidates:
    """Candidates of Q queries, C each.

    Attributes:
        score: [Q, C].
        positive_score: [Q], what the query scores against its own truth.
        image: [Q, C] hash of each candidate's image id; `query_image` [Q] of the query's.
        text: [Q, C] hash of each candidate's normalised caption; `query_text` [Q] of the query's.
    """

    score: Any
    positive_score: Any
    image: Any
    query_image: Any
    text: Any
    query_text: Any


@dataclass(frozen=True)
class FilterSettings:
    """Thresholds of the filters.

    Attributes:
        relative_margin: m of the positive-aware filter, 0 to 1: refuse unless score < positive - m |positive|
            (NV-Retriever's TopK-PercPos with 1 - m, in a form that also holds for negative scores).
    """

    relative_margin: float = 0.05


def same_image(candidates: Candidates, settings: FilterSettings) -> Mask:
    """The query itself, and every other caption of its image."""
    return np.asarray(candidates.image == candidates.query_image[:, None])


def same_text(candidates: Candidates, settings: FilterSettings) -> Mask:
    """The same caption, but for case, white space and punctuation, of another image: it is true of both."""
    return np.asarray(candidates.text == candidates.query_text[:, None])


def too_similar(candidates: Candidates, settings: FilterSettings) -> Mask:
    """Nearly as similar as the truth, or more."""
    positive = candidates.positive_score
    return np.asarray(candidates.score >= (positive - np.abs(positive) * settings.relative_margin)[:, None])


FILTERS: Final[dict[str, Callable[[Candidates, FilterSettings], Mask]]] = {
    "same_image": same_image,
    "same_text": same_text,
    "too_similar": too_similar,
}
"""Name (the reason in the table) to filter, in the order in which they are asked."""


def refuse(candidates: Candidates, settings: FilterSettings) -> Any:
    """The reason for each candidate [Q, C]: position in `FILTERS`, or -1 for a candidate that every filter passes."""
    reason = np.full(candidates.score.shape, -1, dtype=np.int8)
    for number, check in enumerate(FILTERS.values()):
        reason[check(candidates, settings) & (reason < 0)] = number
    return reason
