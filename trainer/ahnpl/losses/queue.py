"""Candidates from earlier batches."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import torch
from negmine.base.names import pick
from torch import Tensor, nn

from ahnpl.losses.clusters import ClusterProxies
from ahnpl.losses.view import Columns, View


class Queue(nn.Module):
    """The last `size` features of the answering modality, first in first out; in the checkpoint, grown while training.

    Nothing random stands in it at the start, any batch size will do, and candidates of the anchor's own image are left
    out (where the batch has ``image_ids``). Within a locked tower it is SPN4CIR's static bank: filled after the first
    epoch, or by `push`, its features equal fresh ones.

    Args:
        size: rows kept; 0 adds no candidate.
        keys: whose features go in: the ``teacher``'s (MoCo) or the ``student``'s.
    """

    vectors: Tensor
    ids: Tensor

    def __init__(self, *, size: int = 4096, keys: str = "teacher") -> None:
        super().__init__()
        self.size, self.keys = size, pick("keys", keys, ("teacher", "student"))
        self.register_buffer("vectors", torch.zeros(0, 0))
        self.register_buffer("ids", torch.zeros(0, dtype=torch.long))

    @property
    def needs_teacher(self) -> bool:
        return self.keys == "teacher"

    def forward(self, view: View) -> View:
        kept, ids = self.vectors.to(view.anchor), self.ids
        asking = view.features.image_ids
        if len(kept) and self.size:
            same = ids.new_zeros(len(view.anchor), len(ids), dtype=torch.bool)
            if asking is not None:
                same = (asking[:, None] == ids[None, :]) & (ids >= 0)
            view = replace(view, columns=(*view.columns, Columns("queue", kept, ~same)))
        if self.training:
            modality = "text" if view.direction[2] == "t" else "image"
            self.push(view.features.teacher(modality) if self.needs_teacher else view.target, asking)
        return view

    @torch.no_grad()
    def push(self, vectors: Tensor, ids: Tensor | None = None) -> None:
        """Append ``[N, D]`` vectors and their ``[N]`` image ids, which must not be negative; forget the oldest."""
        named = self.ids.new_full((len(vectors),), -1) if ids is None else ids.to(self.ids)
        if not self.size:
            return
        before = self.vectors.to(vectors) if len(self.vectors) else vectors[:0]
        self.vectors = torch.cat([before, vectors.detach()])[-self.size :]
        self.ids = torch.cat([self.ids, named])[-self.size :]

    def _load_from_state_dict(self, state: Mapping[str, Tensor], prefix: str, *rest: object) -> None:
        for name in ("vectors", "ids"):  # as long as they were when they were saved
            if (saved := state.get(prefix + name)) is not None:
                setattr(self, name, torch.empty_like(saved, device=self.ids.device))
        super()._load_from_state_dict(state, prefix, *rest)


BANKS: Mapping[str, Callable[..., nn.Module]] = MappingProxyType({"queue": Queue, "cluster_proxies": ClusterProxies})
"""Sets of candidates that need options or a memory. Each maps a `View` to one with another set."""
