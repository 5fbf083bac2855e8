"""Clusters of a batch's captions, and what is made of them: proxies of clusters, and a loss towards prototypes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses.features import Features, Part
from ahnpl.losses.sets import of_own_image
from ahnpl.losses.view import Columns, View


@torch.no_grad()
def cluster(vectors: Tensor, count: int, steps: int = 10) -> Tensor:
    """``[N]`` labels of ``[N, D]`` unit vectors by spherical k-means.

    Starts from the vector farthest from the mean and then those farthest from all centres, so that neither chance nor
    the order of the vectors plays a part. With as many clusters as vectors each is alone.
    """
    if count >= len(vectors):
        return torch.arange(len(vectors), device=vectors.device)
    chosen = (vectors @ vectors.mean(dim=0)).argmin()[None]
    while len(chosen) < count:
        chosen = torch.cat([chosen, (vectors @ vectors[chosen].T).amax(dim=1).argmin()[None]])
    centres = vectors[chosen]
    for _ in range(steps):
        labels = (vectors @ centres.T).argmax(dim=1)
        sums = torch.zeros_like(centres).index_add(0, labels, vectors)
        centres = torch.where(sums.any(dim=1, keepdim=True), F.normalize(sums, dim=1), centres)
    return (vectors @ centres.T).argmax(dim=1)


class ClusterProxies(nn.Module):
    """PamC: one candidate for each cluster of captions without one of the anchor's image, times the number of members.

    Per anchor, with a mask where the source's zeroed diagonal adds e^0 (gayanku/PAMC f33a8b3).

    Args:
        count: of clusters in the batch.
    """

    def __init__(self, *, count: int = 16) -> None:
        super().__init__()
        self.count = count

    def forward(self, view: View) -> View:
        labels = cluster(view.features.text.detach(), self.count)
        count = min(self.count, len(labels))
        member = F.one_hot(labels, count).to(view.target.dtype)
        size = member.sum(dim=0)
        sums = view.target.new_zeros(count, view.target.shape[1]).index_add(0, labels, view.target)
        own = of_own_image(view.features).to(size.dtype) @ member
        there = (size > 0) & (own == 0)
        weight = size.clamp_min(1).log().expand(len(labels), -1)
        proxies = Columns("proxy", F.normalize(sums, dim=1, eps=1e-6), there, log_weight=weight)
        return replace(view, columns=(*view.columns, proxies))


class Prototypes(nn.Module):
    """MEOW's ProtoNCE: an image against the centres of the captions' clusters, each with its own concentration
    (jianxiangyu/MEOW 6a072d7). Centres and concentrations carry no gradient.

    Args:
        counts: of clusters, one clustering each.
        temperature: mean concentration.
    """

    needs_negatives, needs_image_negatives = False, False

    def __init__(self, *, counts: tuple[int, ...] | list[int] = (4, 8), temperature: float = 0.07) -> None:
        super().__init__()
        self.counts, self.temperature = tuple(counts), temperature

    def forward(self, features: Features) -> Part:
        losses = [self._loss(features, count) for count in self.counts]
        return Part(torch.stack(losses).mean())

    def _loss(self, features: Features, count: int) -> Tensor:
        image, text = features.image, features.text.detach()
        labels = cluster(text, count)
        one_hot = F.one_hot(labels).to(text.dtype)
        size = one_hot.sum(dim=0)
        centres = F.normalize(one_hot.T @ text, dim=1, eps=1e-6)
        far = (text - centres[labels]).norm(dim=1).clamp_min(1e-3).sqrt()  # alone in a cluster: 0
        spread = (one_hot.T @ far) / size.clamp_min(1) / (size + 5).log()
        low, high = torch.quantile(spread[size > 0], spread.new_tensor([0.1, 0.9]))
        spread = spread.clamp(low, high)
        logits = image @ centres.T / (spread * self.temperature / spread[size > 0].mean())
        # clusters of the image's other captions
        same = (of_own_image(features).to(one_hot.dtype) @ one_hot > 0) & (one_hot == 0)
        return F.cross_entropy(logits.masked_fill(same | (size == 0), -torch.inf), labels)
