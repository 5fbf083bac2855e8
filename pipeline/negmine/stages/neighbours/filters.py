"""Which candidates would be false negatives or are not wanted: the first filter that refuses gives the reason.

A filter is a function and a line in `FILTERS`. Its keyword arguments are its thresholds; each refuses more when its
threshold is tightened, and none looks at another candidate's fate. Numbers of papers refer to ``docs/retrieve.md``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

import numpy as np

from negmine.base.arrays import Bytes, Codes, Mask, Places, Records, Scores
from negmine.contract.records import THUMBNAIL
from negmine.stages.neighbours.word_sets import Texts

_MOST: Final = 12.0
"""Shades, of 256, by which thumbnails of copies may differ in root mean square."""


@dataclass(frozen=True)
class Candidates:
    """C candidates of each of Q queries, by score descending.

    Attributes:
        score: [Q, C].
        positive: [Q], what the query scores against its own truth.
        found: [Q, C], False in places that hold no candidate.
        own: [Q] `pair_features.PAIR_FEATURE` of the queries' pairs; `theirs` [Q, C] of the candidates'.
        texts: the captions as sets of words.
        target_scores: the function behind `to_truth`.
        alike: similarities [n, n] of the candidates at some places of one row.
        images: whether the candidates are images, and not captions.
    """

    score: Scores
    positive: Scores
    found: Mask
    own: Records
    theirs: Records
    texts: Texts
    target_scores: Callable[[], Scores]
    alike: Callable[[int, Places], Scores]
    images: bool = False

    @cached_property
    def others(self) -> Mask:
        """[Q, C] candidates of another image."""
        return np.asarray(self.found & (self.theirs["image"] != self.own["image"][:, None]))

    @cached_property
    def place(self) -> Places:
        """[Q, C] rank among the candidates of other images, from 1."""
        return np.cumsum(self.others, axis=1)

    @cached_property
    def to_truth(self) -> Scores:
        """[Q, C] similarity of the candidate to what the query looks for (its own caption or image)."""
        return self.target_scores()


# --- the same thing again --------------------------------------------------------------------------------------------


def itself(found: Candidates) -> Mask:
    """The pair, or the image, that asks."""
    return np.asarray(found.theirs["key"] == found.own["key"][:, None])


def same_image(found: Candidates) -> Mask:
    """Another caption of the same image, or its image."""
    return np.asarray(found.theirs["image"] == found.own["image"][:, None])


def same_text(found: Candidates) -> Mask:
    """The same caption, letter by letter, of another image: it is true of both."""
    return np.asarray(found.theirs["text"] == found.own["text"][:, None])


def same_words(found: Candidates) -> Mask:
    """The same caption but for case, white space and punctuation."""
    return np.asarray(found.theirs["words"] == found.own["words"][:, None])


def near_image(found: Candidates, *, bits: float = 8) -> Mask:
    """An image whose signature differs in at most `bits` of 64, and whose thumbnail agrees: a copy, perhaps scaled or
    compressed again.

    Refuses nothing where the pairs were read without images.
    """
    differing = np.bitwise_count(found.theirs["signature"] ^ found.own["signature"][:, None])
    near = np.asarray((differing <= bits) & found.theirs["seen"] & found.own["seen"][:, None])
    near[near] = _look_alike(found.theirs["thumbnail"][near], found.own["thumbnail"][np.nonzero(near)[0]])
    return near


def _look_alike(one: Bytes, other: Bytes) -> Mask:
    """[n] whether two thumbnails [n, `THUMBNAIL_BYTES`] are of one image: both their shades and their colours differ,
    in root mean square, by less than half of what is in them, and by no more than compression changes.

    Flat images, stripes and lines on an empty page have few bits in their signatures, or none, and so those of many
    others. What differs in a small part only, or is small print of one layout, is not told apart.
    """
    shades = THUMBNAIL[0] ** 2
    near = _near(one[:, :shades, None], other[:, :shades, None], noise=0.3)
    colours = (len(one), THUMBNAIL[1] ** 2, 3)
    return near & _near(one[:, shades:].reshape(colours), other[:, shades:].reshape(colours), noise=0.8)


def _near(one: Bytes, other: Bytes, noise: float) -> Mask:
    """[n] the same for pixels [n, P, channels]; `noise` is what compression adds to an even surface."""
    these, those = (some.astype(np.float32) for some in (one, other))
    contrast = np.sqrt(np.minimum(*(some.var(axis=1).mean(axis=1) for some in (these, those))))
    apart = np.sqrt(((these - those) ** 2).mean(axis=(1, 2)))
    return np.asarray(apart <= np.minimum(noise + 0.4 * contrast, _MOST))


def near_text(found: Candidates, *, overlap: float = 0.8) -> Mask:
    """A caption that shares at least this part of all words of both (Jaccard)."""
    return np.asarray(found.texts.jaccard("words") >= overlap)


def near_truth(found: Candidates, *, score: float = 0.9) -> Mask:
    """A target at least so similar to the query's own (UniME's threshold between texts, #21)."""
    return np.asarray(found.to_truth >= score)


# --- by meaning ------------------------------------------------------------------------------------------------------


def concept(found: Candidates, *, overlap: float = 0.8) -> Mask:
    """A caption that the query's implies, word by word through synonyms and hypernyms (CAR, #47), or that shares at
    least this part of all concepts of both."""
    return np.asarray(found.texts.implied() | (found.texts.jaccard("concepts") >= overlap))


def entailed(found: Candidates, *, missing: float = 0) -> Mask:
    """A caption that is true of the query's image by what all captions of that image say together: they tell all
    that it claims, but at most `missing`, and nothing contrary to it (see `entailment`).

    Refuses no images.
    """
    if found.images:
        return np.zeros(found.score.shape, dtype=np.bool_)
    return np.asarray(found.texts.entailed(int(missing)))


def doubtful(found: Candidates, *, evidence: float = 3.0) -> Mask:
    """A caption that may be true of the query's image: what captions of that image leave out of what it says is
    evidence of less than so many nats that it is false (see `evidence`).

    Refuses no images.
    """
    if found.images:
        return np.zeros(found.score.shape, dtype=np.bool_)
    return np.asarray(found.texts.evidence(found.own["captions"]) < evidence)


def structure(found: Candidates, *, overlap: float = 0.8) -> Mask:
    """A caption whose objects, attributes, relations and numbers agree so far, mean of the four (SPACE-2, #42)."""
    return np.asarray(found.texts.structure() >= overlap)


# --- by score --------------------------------------------------------------------------------------------------------


def percentage(found: Candidates, *, share: float = 0.95) -> Mask:
    """Refuse unless score < positive - (1 - share) |positive| (NV-Retriever's TopK-PercPos, #36, right for negative
    scores too)."""
    bound = found.positive - (1 - share) * np.abs(found.positive)
    return np.asarray(found.score >= bound[:, None].astype(np.float32))


def margin(found: Candidates, *, below: float = 0.05) -> Mask:
    """Refuse unless score < positive - below (TopK-MarginPos, #36)."""
    return np.asarray(found.score >= (found.positive - below)[:, None].astype(np.float32))


def adaptive_margin(found: Candidates, *, base: float = 0.05, spread: float = 1.0, anchor: float = 1.0) -> Mask:
    """`margin` with base + spread x standard deviation of the query's candidates (LG-ANNA, #12; a reconstruction).

    With anchor = 0 the other reading: refuse a target whose similarity to the truth is above 1 - that margin.
    """
    scores = np.where(found.others, found.score, np.nan)
    known = found.others.any(axis=1)
    deviation = np.zeros(len(scores), dtype=np.float32)
    deviation[known] = np.nanstd(scores[known], axis=1)
    widths = base + spread * deviation
    if anchor:
        return np.asarray(found.score >= (found.positive - widths)[:, None].astype(np.float32))
    return np.asarray(found.to_truth > (1 - widths)[:, None].astype(np.float32))


def ceiling(found: Candidates, *, score: float = 0.7) -> Mask:
    """Refuse from this score on (TopK-Abs, #36)."""
    return np.asarray(found.score >= np.float32(score))


def floor(found: Candidates, *, score: float = 0.0) -> Mask:
    """Refuse below this score: too easy."""
    return np.asarray(found.score < np.float32(score))


def mistaken(found: Candidates, *, margin: float = 0.0) -> Mask:
    """Refuse unless score > positive - margin: only what the encoder mistakes for the truth is left (QCRD, #13)."""
    return np.asarray(found.score <= (found.positive - margin)[:, None].astype(np.float32))


def consistency(found: Candidates, *, rank: float = 2, score: float = -np.inf) -> Mask:
    """Refuse all candidates of a query whose own truth is not among its best `rank`, or scores below `score`.

    The pair itself is doubtful then (CoRNStack, #8; KaLM's filter with rank = 50, #28).
    """
    better = (found.others & (found.score > found.positive[:, None])).sum(axis=1)
    doubtful = (better >= rank) | (found.positive < score)
    return np.broadcast_to(doubtful[:, None], found.score.shape)


FILTERS: Final[dict[str, Callable[..., Mask]]] = {
    "itself": itself,
    "same_image": same_image,
    "same_text": same_text,
    "same_words": same_words,
    "near_image": near_image,
    "near_text": near_text,
    "near_truth": near_truth,
    "concept": concept,
    "structure": structure,
    "entailed": entailed,
    "doubtful": doubtful,
    "percentage": percentage,
    "margin": margin,
    "adaptive_margin": adaptive_margin,
    "ceiling": ceiling,
    "floor": floor,
    "mistaken": mistaken,
    "consistency": consistency,
}
"""Name (the reason in the table) to filter, in the order in which they are asked."""

ALWAYS: Final = ("itself", "same_image")
"""Asked whatever the settings say: no pair is its own negative."""

OUTSIDE: Final = "skipped"
"""The reason of candidates that stand before the range."""

ABOUT_SCORES: Final = frozenset({"percentage", "margin", "adaptive_margin", "ceiling", "floor"})
"""Filters whose threshold on the score a person tunes."""

NEEDS: Final[dict[str, str]] = {
    "near_text": "words",
    "concept": "concepts",
    "structure": "structure",
    "entailed": "entailment",
    "doubtful": "evidence",
}
"""Filters that look at sets of words: which."""


def refuse(found: Candidates, filters: Mapping[str, Mapping[str, float]], skip: int = 0) -> Codes:
    """The reason for each candidate [Q, C]: place in `reasons(filters)`, or -1 for one that every filter passes.

    Args:
        skip: candidates of other images that stand before the range.
    """
    reason = np.full(found.score.shape, -1, dtype=np.int8)
    names = reasons(filters)
    for number, name in enumerate(names):
        refused = found.place <= skip if name == OUTSIDE else FILTERS[name](found, **filters.get(name, {}))
        reason[refused & (reason < 0)] = number
    return reason


def reasons(filters: Mapping[str, Mapping[str, float]]) -> tuple[str, ...]:
    """Names of what refuses under these settings, in the order in which they are asked."""
    chosen = [name for name in FILTERS if name in filters or name in ALWAYS]
    return (*ALWAYS, OUTSIDE, *(name for name in chosen if name not in ALWAYS))
