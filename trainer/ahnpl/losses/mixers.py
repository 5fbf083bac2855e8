"""Negatives made from features, without an encoder's forward pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from negmine.base.names import pick
from torch import Tensor, nn
from torch.distributions import Beta
from torch.nn import functional as F

from ahnpl.losses.adversarial import AdversarialNegative, AdversarialPositive
from ahnpl.losses.features import Features
from ahnpl.losses.sets import negatives
from ahnpl.losses.specs import Timed
from ahnpl.losses.view import Columns, View


def shift_images(features: Features, *, normalise: bool, detach_key: bool = False) -> Features:
    """AHNPL's visual perturbation: move each image by what its negative caption changed in the text space.

    ``v + sg(n - t)``, ``[B, K, D]``; the shift carries no gradient, so the text tower learns nothing from it.
    Source: nynu-BDAI/AHNPL 6f35f47 (raw), nynu-BDAI/ASPCL f3b0038 (normalised).

    Args:
        normalise: scale the result to unit length.
        detach_key: also stop the gradient into the image that is moved (not into the one that asks).
    """
    texts, valid = negatives(features, "i2t")
    image = features.image.detach() if detach_key else features.image
    moved = image[:, None, :] + (texts - features.text[:, None, :]).detach()
    moved = F.normalize(moved, dim=-1, eps=1e-6) if normalise else moved
    return replace(features, image_negatives=moved, image_valid=valid)


class MoCHi(Timed):
    """MoCHi: `pairs` mixtures of two of the `hardest` candidates, and `queries` of a candidate and the query.

    All are detached. The paper's numbers (1,024 each of a queue) are larger; these suit a batch.

    Args:
        mix_query: what stands for the query. An image is no caption, so across modalities the ``positive`` does;
            ``anchor``; ``off``.
        start: share of the training before which nothing is mixed.
    """

    def __init__(
        self, *, hardest: int = 64, pairs: int = 32, queries: int = 16, mix_query: str = "positive", start: float = 0.1
    ) -> None:
        super().__init__()
        self.hardest, self.pairs, self.queries, self.start = hardest, pairs, queries, start
        self.mix_query = pick("mix_query", mix_query, ("positive", "anchor", "off"))

    @torch.no_grad()
    def _mixtures(self, view: View) -> tuple[Tensor, Tensor]:
        scores = view.cosines().masked_fill(~view.mask(), -torch.inf)
        best = scores.topk(min(self.hardest, scores.shape[1]), dim=1)
        count = torch.isfinite(best.values).sum(dim=1, keepdim=True)  # the first so many of each row exist

        def draw(size: int) -> Tensor:
            chance = torch.rand(len(scores), size, device=scores.device)
            return view.take(best.indices.gather(1, (chance * count).long()))

        a = torch.rand(len(scores), self.pairs, 1, device=scores.device, dtype=scores.dtype)
        points = [a * draw(self.pairs) + (1 - a) * draw(self.pairs)]
        if self.mix_query != "off":
            query = view.anchor if self.mix_query == "anchor" else view.target
            b = torch.rand(len(scores), self.queries, 1, device=scores.device, dtype=scores.dtype) / 2
            points.append(b * query[:, None] + (1 - b) * draw(self.queries))
        mixed = F.normalize(torch.cat(points, dim=1), dim=-1, eps=1e-6)
        return mixed, (count > 0).expand(mixed.shape[:2])

    def forward(self, view: View) -> View:
        if self.progress < self.start or not view.mask().shape[1]:
            return view
        return _append(view, *self._mixtures(view))


class Kalm(nn.Module):
    """KaLM-Embedding-V2's mixing of own negatives, from memory: `pairs` mixtures of two, ``l ~ Beta(alpha, alpha)``,
    and with `listed` one of all, weighed by ``softmax(cos / temperature)``. Detached.
    """

    def __init__(self, *, pairs: int = 4, alpha: float = 2.0, listed: bool = True, temperature: float = 0.1) -> None:
        super().__init__()
        self.pairs, self.alpha, self.listed, self.temperature = pairs, alpha, listed, temperature

    @torch.no_grad()
    def _mixtures(self, view: View, own: Columns) -> tuple[Tensor, Tensor]:
        batch = torch.arange(len(own.mask), device=own.mask.device)[:, None]
        count = own.mask.sum(dim=1, keepdim=True)
        existing = own.mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)
        points = []
        if self.pairs:
            share = Beta(self.alpha, self.alpha).sample((len(own.mask), self.pairs, 1)).to(own.vectors)
            a, b = (
                own.vectors[
                    batch, existing.gather(1, (torch.rand(len(count), self.pairs, device=count.device) * count).long())
                ]
                for _ in range(2)
            )
            points.append(share * a + (1 - share) * b)
        if self.listed:
            scores = (own.cosines(view.anchor) / self.temperature).masked_fill(~own.mask & (count > 0), -torch.inf)
            points.append(torch.einsum("bk,bkd->bd", scores.softmax(dim=1), own.vectors)[:, None])
        if not points:
            return own.vectors[:, :0], own.mask[:, :0]
        mixed = F.normalize(torch.cat(points, dim=1), dim=-1, eps=1e-6)
        return mixed, (count > 0).expand(mixed.shape[:2])

    def forward(self, view: View) -> View:
        own = next((one for one in view.columns if one.name == "own"), None)
        return view if own is None or not own.mask.shape[1] else _append(view, *self._mixtures(view, own))


def _append(view: View, vectors: Tensor, mask: Tensor) -> View:
    return replace(view, columns=(*view.columns, Columns("synthetic", vectors, mask)))


class ExtrapolatePositive(nn.Module):
    """FT: ``q' = l q + (1 - l) k`` and ``k' = l k + (1 - l) q``, ``l - 1 ~ amount x Beta(alpha, alpha)``: a harder
    positive, ``p' = p + 2 l (1 - l) (1 - p)``. Candidates are compared with q'. Not normalised, as in the source.
    """

    def __init__(self, *, alpha: float = 2.0, amount: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.amount = alpha, amount

    def forward(self, view: View) -> View:
        l = 1 + self.amount * Beta(self.alpha, self.alpha).sample((len(view.anchor), 1)).to(view.anchor)  # noqa: E741
        anchor, target = view.anchor, view.target
        return replace(view, anchor=l * anchor + (1 - l) * target, target=l * target + (1 - l) * anchor)


class InterpolateNegatives(nn.Module):
    """FT: each candidate mixed with another of its set, ``m ~ 1 - amount (1 - Beta(alpha, alpha))``; detached, not
    normalised. A mixture with the anchor's own positive is no candidate.
    """

    def __init__(self, *, alpha: float = 1.6, amount: float = 1.0) -> None:
        super().__init__()
        self.alpha, self.amount = alpha, amount

    def forward(self, view: View) -> View:
        return replace(view, columns=tuple(self._mix(one) for one in view.columns)) if self.amount else view

    def _mix(self, one: Columns) -> Columns:
        size = one.mask.shape[1]
        order = torch.randperm(size, device=one.mask.device)
        m = 1 - self.amount * (1 - Beta(self.alpha, self.alpha).sample((size, 1))).to(one.vectors)
        vectors = one.vectors.detach()
        mixed = m * vectors + (1 - m) * vectors.index_select(-2, order)
        same = None if one.same is None else one.same | one.same[:, order]
        return replace(one, vectors=mixed, mask=one.mask & one.mask[:, order], same=same)


class SupReMix(nn.Module):
    """SupReMix: mixtures of the true target with own negatives, ``a ~ Beta(alpha, beta)`` of the target, detached.

    Candidates weigh 1 + how far their grade is from the target's: a mixture 1 - a, an own negative 1, a stranger 2
    (yilei-wu/SupReMix 94bcb1b; grades of captions are ours). Its mixtures of other samples on both sides of a grade as
    positives have no counterpart here: a caption has no such neighbours.
    """

    def __init__(self, *, mixtures: int = 8, alpha: float = 2.0, beta: float = 8.0, graded: bool = True) -> None:
        super().__init__()
        self.mixtures, self.alpha, self.beta, self.graded = mixtures, alpha, beta, graded

    def forward(self, view: View) -> View:
        if self.graded:
            grades = {"own": 1.0, "all": 1.0}
            view = replace(view, columns=tuple(self._weigh(one, grades.get(one.name, 2.0)) for one in view.columns))
        own = next((one for one in view.columns if one.name == "own"), None)
        if own is None or not own.mask.shape[1] or not self.mixtures:
            return view
        with torch.no_grad():
            count = own.mask.sum(dim=1, keepdim=True)
            existing = own.mask.to(torch.int8).argsort(dim=1, descending=True, stable=True)
            chance = torch.rand(len(count), self.mixtures, device=count.device)
            place = existing.gather(1, (chance * count).long())
            false = own.vectors[torch.arange(len(count), device=count.device)[:, None], place]
            a = Beta(self.alpha, self.beta).sample((*place.shape, 1)).to(own.vectors)
            mixed = F.normalize(a * view.target[:, None] + (1 - a) * false, dim=-1, eps=1e-6)
            weight = torch.log1p(1 - a[..., 0]) if self.graded else torch.zeros_like(a[..., 0])
            there = (count > 0).expand(place.shape)
        return replace(view, columns=(*view.columns, Columns("synthetic", mixed, there, log_weight=weight)))

    def _weigh(self, one: Columns, grade: float) -> Columns:
        own = torch.zeros_like(one.mask, dtype=one.vectors.dtype) if one.log_weight is None else one.log_weight
        return replace(one, log_weight=own + torch.log1p(own.new_tensor(grade)))


MIXERS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType(
    {
        "mochi": MoCHi,
        "kalm": Kalm,
        "extrapolate_positive": ExtrapolatePositive,
        "interpolate_negatives": InterpolateNegatives,
        "supremix": SupReMix,
        "adversarial_negative": AdversarialNegative,
        "adversarial_positive": AdversarialPositive,
    }
)
