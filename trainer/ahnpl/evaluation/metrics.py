"""Numbers with their rules: marks and their averages, intervals, recall at k, areas under a curve."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TIE: Final = 1e-6
"""Cosines closer than this are a tie; a tie counts as wrong."""

WRONG, TIED, RIGHT = range(3)


@dataclass(frozen=True)
class Accuracy:
    """How often the true caption scored above the false one."""

    correct: int = 0
    ties: int = 0
    total: int = 0

    def __add__(self, other: Accuracy) -> Accuracy:
        return Accuracy(self.correct + other.correct, self.ties + other.ties, self.total + other.total)

    @property
    def share(self) -> float:
        return self.correct / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        return wilson(self.correct, self.total)


@dataclass(frozen=True)
class Marks:
    """Outcomes in the order they were judged, each with the image it belongs to.

    Attributes:
        outcomes: `WRONG`, `TIED` or `RIGHT`.
        images: a number for each image; equal numbers are one image.
        alike: 1 where the model reads the false text as a true one, 0 elsewhere.
    """

    outcomes: bytearray = field(default_factory=bytearray)
    images: array[int] = field(default_factory=lambda: array("q"))
    alike: bytearray = field(default_factory=bytearray)

    def add(self, outcome: int, image: int, alike: bool = False) -> None:
        self.outcomes.append(outcome)
        self.images.append(image)
        self.alike.append(alike)

    @property
    def accuracy(self) -> Accuracy:
        """Of all, as papers count: where the texts are alike there is a tie, which is wrong."""
        return _accuracy(self.outcomes)

    @property
    def legible(self) -> Accuracy:
        """Of those alone whose texts differ for the model."""
        return _accuracy(bytes(outcome for outcome, alike in zip(self.outcomes, self.alike, strict=True) if not alike))


def _accuracy(outcomes: bytes | bytearray) -> Accuracy:
    return Accuracy(outcomes.count(RIGHT), outcomes.count(TIED), len(outcomes))


@dataclass(frozen=True)
class Measure:
    """One question asked of many items.

    Attributes:
        name: what counts as right; it goes above the numbers.
        chance: what guessing reaches; None where it differs from item to item.
        kinds: the marks, by kind of item.
        detail: whether a table shows each kind, or the average only.
    """

    name: str
    chance: float | None
    kinds: Mapping[str, Marks]
    detail: bool = True

    @property
    def by_kind(self) -> dict[str, Accuracy]:
        return {kind: marks.accuracy for kind, marks in self.kinds.items()}

    @property
    def micro(self) -> Accuracy:
        """All items together."""
        return micro(self.by_kind.values())

    @property
    def alike(self) -> int:
        """Items whose false text has the tokens of a true one."""
        return sum(sum(marks.alike) for marks in self.kinds.values())

    @property
    def legible(self) -> Accuracy:
        """All items together but those that are `alike`."""
        return micro(marks.legible for marks in self.kinds.values())

    @property
    def macro(self) -> float:
        """Mean of the kinds."""
        return macro(self.by_kind.values())

    @property
    def by_image(self) -> float:
        """Mean of the images: one with many items weighs no more than one with few."""
        shares = self._image_shares()
        return float(shares.mean()) if len(shares) else float("nan")

    @property
    def image_interval(self) -> tuple[float, float]:
        """95 % interval of `by_image` with images, not items, taken for independent: Wilson's for as many trials.

        It errs to the wide side: shares of images vary no more than rights and wrongs of the same mean.
        """
        shares = self._image_shares()
        return wilson(float(shares.sum()), len(shares))

    def _image_shares(self) -> NDArray[np.float64]:
        right = np.concatenate([np.frombuffer(marks.outcomes, np.uint8) == RIGHT for marks in self.kinds.values()])
        image = np.concatenate([np.asarray(marks.images, dtype=np.int64) for marks in self.kinds.values()])
        _, place = np.unique(image, return_inverse=True)
        return np.bincount(place, weights=right) / np.bincount(place)


def outcome(gap: float) -> int:
    """What a lead of the right answer over the wrong one, in cosine, is worth."""
    return RIGHT if gap > TIE else TIED if gap >= -TIE else WRONG


@dataclass(frozen=True)
class Pairs:
    """How often two images and two captions were matched (Winoground, Thrush et al. 2022); a tie is wrong.

    Attributes:
        text: both images score their own caption higher; chance 1/4.
        image: both captions score their own image higher; chance 1/4.
        group: all four; chance 1/6.
    """

    text: int = 0
    image: int = 0
    group: int = 0
    total: int = 0

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(*(getattr(self, name) + getattr(other, name) for name in ("text", "image", "group", "total")))


def leads(scores: Tensor) -> tuple[float, float]:
    """The smaller lead of the right over the wrong caption, and over the wrong image, in ``[2, 2]`` cosines."""
    right = scores.diagonal()
    return float((right - scores.fliplr().diagonal()).min()), float((right - scores.flipud().diagonal()).min())


def micro(parts: Iterable[Accuracy]) -> Accuracy:
    """All items together: a kind with more items weighs more."""
    return sum(parts, Accuracy())


def macro(parts: Iterable[Accuracy]) -> float:
    """Mean of the kinds' accuracies: every kind weighs the same."""
    return mean([part.share for part in parts if part.total])


def mean(numbers: Sequence[float]) -> float:
    """Plain mean; NaN of nothing."""
    return sum(numbers) / len(numbers) if numbers else float("nan")


def wilson(correct: float, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927); (0, 1) without data."""
    if not total:
        return 0.0, 1.0
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def sign_test(gained: int, lost: int) -> float:
    """Two-sided exact p of so uneven a split of items that changed (McNemar 1947, exact); 1 if none did."""
    from scipy.stats import binomtest

    return float(binomtest(gained, gained + lost).pvalue) if gained + lost else 1.0


def area_under_curve(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """Area under the ROC curve: how often a true statement scores above a false one, ties half (Mann and Whitney
    1947); NaN where all labels are equal."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(labels, scores)) if len(set(labels)) > 1 else float("nan")


def best_threshold(scores: Sequence[float], labels: Sequence[bool]) -> float:
    """The score at or above which to say "true", so that most labels are met; the lowest of several that do as well."""
    order = np.argsort(np.asarray(scores, dtype=np.float64), kind="stable")
    values, true = np.asarray(scores, dtype=np.float64)[order], np.asarray(labels, dtype=bool)[order]
    met = np.concatenate([[0], np.cumsum(~true)]) + np.concatenate([np.cumsum(true[::-1])[::-1], [0]])
    first = np.concatenate([[True], values[1:] > values[:-1], [True]])  # equal scores fall on one side
    at = int(np.argmax(np.where(first, met, -1)))
    return float(values[at]) if at < len(values) else float(np.nextafter(values[-1], np.inf))


def ranks(images: Tensor, texts: Tensor, owner: Tensor) -> dict[str, Tensor]:
    """Per query of each direction, how many wrong candidates score no less than the best right one."""
    return {
        "image to text": _ranks(images, texts, torch.arange(len(images)), owner),
        "text to image": _ranks(texts, images, owner, torch.arange(len(images))),
    }


def _ranks(queries: Tensor, candidates: Tensor, group: Tensor, candidate_group: Tensor, chunk: int = 1024) -> Tensor:
    """Number of wrong candidates at or above the best right one, for each query; never all pairs in memory."""
    found = []
    for part, groups in zip(torch.split(queries, chunk), torch.split(group, chunk), strict=True):
        scores = part @ candidates.T
        right = groups[:, None] == candidate_group[None, :]
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        found.append(((scores >= best - TIE) & ~right).sum(dim=1))
    return torch.cat(found)
