"""Numbers with their rules: accuracy with an interval, recall at k."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt

import torch
from torch import Tensor

TIE = 1e-6
"""Cosines closer than this are a tie; a tie counts as wrong."""


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


def judge(true_score: Tensor, false_scores: Tensor) -> Accuracy:
    """Compare one true cosine with several false ones."""
    gap = true_score - false_scores
    return Accuracy(int((gap > TIE).sum()), int((gap.abs() <= TIE).sum()), gap.numel())


@dataclass(frozen=True)
class Pairs:
    """How often two pictures and two captions were matched (Winoground, Thrush et al. 2022); a tie is wrong.

    Attributes:
        text: both pictures score their own caption higher; chance 1/4.
        image: both captions score their own picture higher; chance 1/4.
        group: all four; chance 1/6.
    """

    text: int = 0
    image: int = 0
    group: int = 0
    total: int = 0

    def __add__(self, other: Pairs) -> Pairs:
        return Pairs(*(getattr(self, name) + getattr(other, name) for name in ("text", "image", "group", "total")))


def match(scores: Tensor) -> Pairs:
    """Judge ``[2, 2]`` cosines: pictures in rows, their captions in the same order in columns."""
    right = scores.diagonal() - TIE
    text = bool((scores.fliplr().diagonal() < right).all())
    image = bool((scores.flipud().diagonal() < right).all())
    return Pairs(int(text), int(image), int(text and image), 1)


def micro(parts: Iterable[Accuracy]) -> Accuracy:
    """All items together: a kind with more items weighs more."""
    return sum(parts, Accuracy())


def macro(parts: Iterable[Accuracy]) -> float:
    """Mean of the kinds' accuracies: every kind weighs the same."""
    shares = [part.share for part in parts if part.total]
    return sum(shares) / len(shares) if shares else float("nan")


def wilson(correct: int, total: int, z: float = 1.959964) -> tuple[float, float]:
    """95 % score interval of a proportion (Wilson 1927); (0, 1) without data."""
    if not total:
        return 0.0, 1.0
    share, spread = correct / total, z * z / total
    centre = (share + spread / 2) / (1 + spread)
    half = z * sqrt(share * (1 - share) / total + spread / (4 * total)) / (1 + spread)
    return max(0.0, centre - half), min(1.0, centre + half)


def recall(images: Tensor, texts: Tensor, owner: Tensor, ks: tuple[int, ...] = (1, 5, 10)) -> dict[str, float]:
    """Recall at k in both directions; a wrong candidate with the same score counts as ranked above.

    Args:
        images: ``[I, D]`` unit features.
        texts: ``[T, D]`` unit features; an image may have several.
        owner: ``[T]``, the image that each text is true of.
    """
    to_texts = _ranks(images, texts, torch.arange(len(images)), owner)
    to_images = _ranks(texts, images, owner, torch.arange(len(images)))
    named = {"image to text": to_texts, "text to image": to_images}
    return {f"{name} R@{k}": float((ranks < k).double().mean()) for name, ranks in named.items() for k in ks}


def _ranks(queries: Tensor, candidates: Tensor, group: Tensor, candidate_group: Tensor, chunk: int = 1024) -> Tensor:
    """Number of wrong candidates at or above the best right one, for each query; never all pairs in memory."""
    ranks = []
    for part, groups in zip(torch.split(queries, chunk), torch.split(group, chunk), strict=True):
        scores = part @ candidates.T
        right = groups[:, None] == candidate_group[None, :]
        best = scores.masked_fill(~right, -torch.inf).amax(dim=1, keepdim=True)
        ranks.append(((scores >= best - TIE) & ~right).sum(dim=1))
    return torch.cat(ranks)
