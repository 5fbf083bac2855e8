"""What a row looks at: anchors, their positives, and sets of candidate vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ahnpl.losses.features import Features


@dataclass(frozen=True)
class Columns:
    """One set of candidates.

    Attributes:
        name: the set's, see `sets.SETS`, or ``synthetic``.
        vectors: ``[M, D]`` for all anchors alike, or ``[B, M, D]``.
        mask: ``[B, M]`` bool, True where a candidate exists.
        same: ``[B, M]`` bool, True where it belongs to the anchor's own image; None where that is not known.
        log_weight: ``[B, M]``; None is 0.
    """

    name: str
    vectors: Tensor
    mask: Tensor
    same: Tensor | None = None
    log_weight: Tensor | None = None

    def cosines(self, anchor: Tensor) -> Tensor:
        """``[B, M]`` inner products with the anchors."""
        if self.vectors.ndim == 2:
            return anchor @ self.vectors.T
        return torch.einsum("bd,bmd->bm", anchor, self.vectors)


@dataclass(frozen=True)
class View:
    """A row before its logits are made; mixers map a view to a view.

    Attributes:
        anchor, target: ``[B, D]``; target i belongs to anchor i.
        columns: sets of candidates, side by side.
        scale: s.
    """

    features: Features
    direction: str
    anchor: Tensor
    target: Tensor
    columns: tuple[Columns, ...]
    scale: Tensor

    def cosines(self) -> Tensor:
        """``[B, M]`` over all sets."""
        return torch.cat([self.anchor[:, :0], *(one.cosines(self.anchor) for one in self.columns)], dim=1)

    def mask(self) -> Tensor:
        """``[B, M]`` bool over all sets."""
        return torch.cat([self._no_mask(), *(one.mask for one in self.columns)], dim=1)

    def _no_mask(self) -> Tensor:
        return torch.zeros_like(self.anchor[:, :0], dtype=torch.bool)

    def same(self) -> Tensor:
        """``[B, M]`` bool: candidates of the anchor's own image, where known."""
        known = [torch.zeros_like(one.mask) if one.same is None else one.same for one in self.columns]
        return torch.cat([self._no_mask(), *known], dim=1)

    def log_weight(self) -> Tensor:
        """``[B, M]`` that the sets bring along."""
        brought = [
            self.anchor.new_zeros(one.mask.shape) if one.log_weight is None else one.log_weight for one in self.columns
        ]
        return torch.cat([self.anchor[:, :0], *brought], dim=1)

    def named(self, *names: str) -> Tensor:
        """``[M]`` bool, the columns of these sets."""
        places = [one.mask.new_full((one.mask.shape[1],), one.name in names) for one in self.columns]
        return torch.cat([self._no_mask()[0], *places])

    def has(self, name: str) -> bool:
        """Whether there are columns of this set."""
        return any(one.name == name and one.mask.shape[1] for one in self.columns)

    def of_batch(self, values: Tensor, elsewhere: float) -> Tensor:
        """``[B, M]``: detached `values` ``[B, B]`` on the columns of the batch, `elsewhere` on the others."""
        mask = self.mask()
        found = torch.full(mask.shape, elsewhere, dtype=values.dtype, device=values.device)
        for name in ("inbatch", "intra"):
            if self.has(name):
                found = found.masked_scatter(self.named(name).expand_as(found), values.detach())
        return found

    def take(self, place: Tensor) -> Tensor:
        """``[B, N, D]`` vectors of the candidates at ``[B, N]`` places."""
        batch = torch.arange(len(place), device=place.device)[:, None]
        found = self.anchor.new_zeros(*place.shape, self.anchor.shape[1])
        start = 0
        for one in self.columns:
            size = one.mask.shape[1]
            if size:
                inside = (place >= start) & (place < start + size)
                at = (place - start).clamp(0, size - 1)
                vectors = one.vectors[at] if one.vectors.ndim == 2 else one.vectors[batch, at]
                found = torch.where(inside[..., None], vectors, found)
            start += size
        return found
