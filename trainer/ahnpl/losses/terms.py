"""The terms a recipe is made of. Each maps `Features` to a `Part`; adding one is a class and a line in `TERMS`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from negmine.errors import UsageError
from torch import Tensor, nn
from torch.nn import functional

from ahnpl.losses import sets, weights
from ahnpl.losses.features import Features
from ahnpl.losses.kernel import row
from ahnpl.losses.margins import GROUPS, RULES, RunningMargins
from ahnpl.names import pick


@dataclass(frozen=True)
class Part:
    """A scalar loss and what is worth logging of it."""

    value: Tensor
    stats: dict[str, Any] = field(default_factory=dict)


POSITIVES = ("pair", "self", "diagonal_column", "first_column", "none")


class Row(nn.Module):
    """A softmax of one positive against column sets.

    Args:
        direction: ``i2t t2i t2t i2i``, anchor first.
        columns: names of `sets.SETS`.
        positive: ``pair``: the sample's other modality. ``self``: the anchor with itself, s for a unit vector.
            ``diagonal_column`` and ``first_column``: row i takes candidate i (or 0) as its target although it is a
            negative, which is what the released AHNPL (and CE-CLIP) code does. ``none``: no positive, the anchor is
            only pushed away (CE-CLIP's equation 3).
        masked: leave out slots without a negative; False counts them, as the released code does.
        drop_same_image: leave out in-batch candidates of the anchor's own image.
    """

    def __init__(
        self,
        *,
        direction: str,
        columns: Sequence[str],
        positive: str = "pair",
        masked: bool = True,
        drop_same_image: bool = False,
    ) -> None:
        super().__init__()
        self.direction = pick("direction", direction, sets.DIRECTIONS)
        self.columns = [pick("column set", name, sets.SETS) for name in columns]
        self.positive = pick("positive", positive, POSITIVES)
        self.masked, self.drop_same_image = masked, drop_same_image

    @property
    def needs_negatives(self) -> bool:
        return self.direction[2] == "t" and any(name != "inbatch" for name in self.columns)

    @property
    def needs_image_negatives(self) -> bool:
        return self.direction[2] == "i" and any(name != "inbatch" for name in self.columns)

    def forward(self, features: Features) -> Part:
        parts = [self._columns(name, features) for name in self.columns]
        logits = torch.cat([part.logits for part in parts], dim=1)
        mask = torch.cat([part.mask for part in parts], dim=1)
        if self.positive.endswith("_column"):
            return Part(_column_as_target(logits, mask, first=self.positive == "first_column"))
        return Part(row(self._positive(features), logits, mask=mask, include_positive=self.positive != "none"))

    def _columns(self, name: str, features: Features) -> sets.Columns:
        columns = sets.SETS[name](features, self.direction)
        if name == "inbatch":
            return weights.drop_same_image(columns, features) if self.drop_same_image else columns
        return columns if self.masked else weights.keep_fillers(columns)

    def _positive(self, features: Features) -> Tensor:
        anchor = sets.anchors(features, self.direction)
        if self.positive == "none":
            return anchor.new_zeros(len(anchor))
        other = anchor if self.positive == "self" else sets.targets(features, self.direction)
        return features.logit_scale * (anchor * other).sum(dim=1)


def _column_as_target(logits: Tensor, mask: Tensor, *, first: bool) -> Tensor:
    """Cross-entropy with an arbitrary column as the target: flat columns, and right only as history."""
    batch = torch.arange(len(logits), device=logits.device)
    column = torch.zeros_like(batch) if first else batch
    others = mask.clone()
    others[batch, column] = False
    return row(logits[batch, column], logits, mask=others)


DIVISORS = ("slots", "valid")


class Rank(nn.Module):
    """CE-CLIP's cross-modal rank loss: the image prefers its caption to each own negative by a margin.

    ``sum m * relu(gamma + H - S) / divisor``, all in logits. The margins are `RunningMargins`.

    Args:
        divisor: ``slots`` (B * K) or ``valid`` (the number of existing negatives).
        upper_bound, rule, by, reset_each_epoch: see `RunningMargins`.
    """

    needs_negatives, needs_image_negatives = True, False

    def __init__(
        self,
        *,
        upper_bound: float = 10.0,
        rule: str = "gap",
        by: str = "slot",
        divisor: str = "valid",
        reset_each_epoch: bool = False,
    ) -> None:
        super().__init__()
        self.divisor = pick("divisor", divisor, DIVISORS)
        self.margins = RunningMargins(
            upper_bound=upper_bound,
            rule=pick("margin rule", rule, RULES),
            by=pick("margin group", by, GROUPS),
            reset_each_epoch=reset_each_epoch,
        )

    def forward(self, features: Features) -> Part:
        positive = features.logit_scale * (features.image * features.text).sum(dim=1)
        negatives = sets.own(features, "i2t")
        valid, groups = negatives.mask, self.margins.groups(negatives.mask, features.kinds)
        used = self.margins.value.to(positive.dtype, copy=True)  # the buffer changes below
        hinge = (used[groups] + negatives.logits - positive[:, None]).relu()
        count = valid.numel() if self.divisor == "slots" else valid.sum().clamp_min(1)
        loss = torch.where(valid, hinge, 0).sum() / count
        if self.training:
            self.margins.update(positive, negatives.logits, valid, groups)
        return Part(loss, {"margin": used if self.margins.by == "kind" else used[: valid.shape[1]]})


class PositiveMargin(nn.Module):
    """A floor under the cosine of true pairs: ``mean relu(alpha - cos)`` (the follow-up code's positive margin).

    A learnable alpha only ever sinks to `lowest`: its gradient is never negative.

    Args:
        alpha: cosine units; CLIP ViT-B/32's true pairs lie near 0.3.
        learnable: make alpha a parameter, and so a matter of the optimiser.
        lowest: alpha is clamped to this before use.
    """

    needs_negatives, needs_image_negatives = False, False

    def __init__(self, *, alpha: float, learnable: bool = False, lowest: float = 0.2) -> None:
        super().__init__()
        self.lowest = lowest
        self.alpha = nn.Parameter(torch.tensor(alpha), requires_grad=learnable)

    def forward(self, features: Features) -> Part:
        cosine = (features.image * features.text).sum(dim=1)
        floor = self.alpha.clamp_min(self.lowest)
        return Part((floor - cosine).relu().mean(), {"alpha": floor.detach()})


SCOPES = ("group", "block")


class Members(nn.Module):
    """Every member of a group asks: the sample itself, and each of its image negatives with its own caption.

    Candidates are the other members of the same group (``group``), or of all groups of the batch (``block``: one
    square matrix of all pictures and captions). Both directions of a row or column have one right answer, because every
    picture of a group makes the other captions false.

    Args:
        direction: ``i2t`` or ``t2i``.
        scope: ``group`` or ``block``.
        drop_same_text: leave out candidates with the very caption of the anchor.
    """

    needs_negatives, needs_image_negatives = False, True

    def __init__(self, *, direction: str, scope: str, drop_same_text: bool = True) -> None:
        super().__init__()
        self.direction = pick("direction", direction, ("i2t", "t2i"))
        self.scope = pick("scope", scope, SCOPES)
        self.drop_same_text = drop_same_text

    def forward(self, features: Features) -> Part:
        pictures, valid = sets.negatives(features, "t2i")
        captions = features.image_negative_texts
        if captions is None:
            raise UsageError("members of groups need the captions of the image negatives, and the batch has none")
        there = torch.cat([valid.new_ones(len(valid), 1), valid], dim=1)
        images = torch.cat([features.image[:, None], pictures], dim=1)[there]
        texts = torch.cat([features.text[:, None], captions], dim=1)[there]
        anchors, targets = (images, texts) if self.direction == "i2t" else (texts, images)
        logits = features.logit_scale * anchors @ targets.T
        return Part(row(logits.diagonal(), logits, mask=self._candidates(features, there)))

    def _candidates(self, features: Features, there: Tensor) -> Tensor:
        """``[N, N]`` bool for the N members that exist."""
        group = torch.arange(len(there), device=there.device)[:, None].expand_as(there)[there]
        mask = ~torch.eye(len(group), dtype=torch.bool, device=there.device)
        if self.scope == "group":
            mask &= group[:, None] == group[None, :]
        if self.drop_same_text and features.text_ids is not None:
            texts = features.text_ids[there]
            mask &= texts[:, None] != texts[None, :]
        return mask


class Sigmoid(nn.Module):
    """Each own pair by itself, as SigLIP has it: ``mean_B sum_k -log sigmoid(y (s cos + b))`` over the positive and its
    own negatives. The released MMCLIP code trains its image side so (THU-KEG/MMGeoLM 021e1ef).

    Args:
        direction: ``i2t`` or ``t2i``.
        bias: b at the start; learned.
    """

    def __init__(self, *, direction: str, bias: float = -10.0) -> None:
        super().__init__()
        self.direction = pick("direction", direction, sets.DIRECTIONS)
        self.bias = nn.Parameter(torch.tensor(bias))
        self.needs_negatives, self.needs_image_negatives = direction[2] == "t", direction[2] == "i"

    def forward(self, features: Features) -> Part:
        anchor, target = sets.anchors(features, self.direction), sets.targets(features, self.direction)
        own = sets.own(features, self.direction)
        positive = features.logit_scale * (anchor * target).sum(dim=1) + self.bias
        negative = torch.where(own.mask, functional.softplus(own.logits + self.bias), 0)
        return Part((functional.softplus(-positive) + negative.sum(dim=1)).mean(), {"bias": self.bias.detach()})


TERMS: dict[str, Callable[..., nn.Module]] = {
    "row": Row,
    "rank": Rank,
    "positive_margin": PositiveMargin,
    "members": Members,
    "sigmoid": Sigmoid,
}
