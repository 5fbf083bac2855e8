"""A row: one anchor, its positive, sets of candidates, and the pieces that say how they are set against each other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import torch
from negmine.base.errors import UsageError
from negmine.base.names import pick
from torch import Tensor, nn

from ahnpl.losses import sets
from ahnpl.losses.denominators import DENOMINATORS, Decoupled
from ahnpl.losses.features import Features, Part
from ahnpl.losses.kernel import Logits, mean, row
from ahnpl.losses.masks import MASKS
from ahnpl.losses.mixers import MIXERS
from ahnpl.losses.queue import BANKS
from ahnpl.losses.sample_weights import SAMPLE_WEIGHTS
from ahnpl.losses.specs import Spec, make
from ahnpl.losses.view import Columns, View
from ahnpl.losses.weights import WEIGHTS

POSITIVES = ("pair", "self", "teacher", "diagonal_column", "first_column", "none")


class Row(nn.Module):
    """One positive against column sets.

    Args:
        direction: ``i2t t2i t2t i2i``, anchor first.
        columns: names of `sets.SETS`.
        positive: ``pair``: the sample's other modality. ``self``: the anchor with itself, s for a unit vector.
            ``teacher``: the teacher's features of the target.
            ``diagonal_column`` and ``first_column``: row i takes candidate i (or 0) as its target although it is a
            negative, which is what the released AHNPL (and CE-CLIP) code does. ``none``: no positive, the anchor is
            only pushed away (CE-CLIP's equation 3).
        masked: leave out slots without a negative; False counts them, as the released code does.
        banks, mix, masks, weights: pieces of `BANKS`, `MIXERS`, `MASKS`, `WEIGHTS`, in this order of effect.
        denominator, sample_weight: a piece of `DENOMINATORS`, `SAMPLE_WEIGHTS`.
        margin: logit units, subtracted from the positive.
        scale: in place of the learned s.
        detach_targets: no gradient into positive and candidates.

    Examples, of B samples with K text negatives each and features of width D:

        ``Row(direction="i2t", columns=["inbatch"])`` is half of CLIP. Anchors are images ``[B, D]``, positives the own
        captions ``[B, D]`` with logits ``[B]``, candidates all captions ``[B, D]`` with logits ``[B, B]``, of which the
        mask leaves out the diagonal; the loss is the mean of B cross-entropies over 1 + (B - 1) captions.

        ``Row(direction="i2t", columns=["inbatch", "own"], margin=2.0, weights=[{"tilt": {"beta": 0.5}}])`` sets each
        image against its own false captions too. Candidates have logits ``[B, B + K]``, in the order of `columns`; the
        mask leaves out the diagonal and slots without a negative. 2 is taken off the positive's logit ``[B]``, and
        ``tilt`` adds log weights ``[B, B + K]``, by which hard candidates count for more.
    """

    def __init__(
        self,
        *,
        direction: str,
        columns: Sequence[str],
        positive: str = "pair",
        masked: bool = True,
        masks: Sequence[Spec] = (),
        weights: Sequence[Spec] = (),
        banks: Sequence[Spec] = (),
        mix: Sequence[Spec] = (),
        denominator: Spec = "softmax",
        sample_weight: Spec | None = None,
        margin: float = 0.0,
        scale: float | None = None,
        detach_targets: bool = False,
    ) -> None:
        super().__init__()
        self.direction = pick("direction", direction, sets.DIRECTIONS)
        self.columns = [pick("column set", name, sets.SETS) for name in columns]
        self.positive = pick("positive", positive, POSITIVES)
        self.masked, self.margin, self.scale = masked, margin, scale
        self.detach_targets = detach_targets
        if isinstance(masks, str | Mapping):
            raise UsageError(f"masks of a row are a list, not {masks!r}")
        self.masks = [make("mask", spec, MASKS) for spec in masks]
        self.weights = nn.ModuleList(make("weight", spec, WEIGHTS) for spec in weights)
        self.banks = nn.ModuleList(make("bank", spec, BANKS) for spec in banks)
        self.mix = nn.ModuleList(make("mixer", spec, MIXERS) for spec in mix)
        self.denominator = make("denominator", denominator, DENOMINATORS)
        self.sample_weight = None if sample_weight is None else make("sample weight", sample_weight, SAMPLE_WEIGHTS)
        if isinstance(self.denominator, Decoupled) and "inbatch" not in self.columns:
            raise UsageError(
                "a decoupled row needs in-batch candidates",
                why="without any candidate its loss has no lower bound",
                fix="add inbatch to its columns, or use another denominator",
            )

    @property
    def needs_negatives(self) -> bool:
        return self.direction[2] == "t" and any(name in sets.FROM_NEGATIVES for name in self.columns)

    @property
    def needs_image_negatives(self) -> bool:
        return self.direction[2] == "i" and any(name in sets.FROM_NEGATIVES for name in self.columns)

    @property
    def needs_teacher(self) -> bool:
        return self.positive == "teacher" or any(
            bool(getattr(piece, "needs_teacher", False)) for piece in (*self.weights, *self.banks)
        )

    @property
    def row_wise(self) -> bool:
        """Whether each row's loss depends on its own anchor and the candidates alone, and all rows count alike: then
        the mean over some rows, and the mean of such means, is what the whole batch gives."""
        pieces = [self.denominator, *self.weights, *([] if self.sample_weight is None else [self.sample_weight])]
        plain = not self.banks and not self.mix and self.positive != "none"
        return plain and all(bool(getattr(piece, "row_wise", False)) for piece in pieces)

    def forward(self, features: Features) -> Part:
        view = self._view(features)
        if self.positive.endswith("_column"):
            flat = view.scale * view.cosines()
            own = features.asking(torch.arange(len(features.text), device=flat.device))
            column = torch.zeros_like(own) if self.positive == "first_column" else own
            return Part(_column_as_target(flat, view.mask(), column))
        if self.positive == "none":
            nothing = view.anchor.new_zeros(len(view.anchor))
            return Part(row(nothing, view.scale * view.cosines(), mask=view.mask(), include_positive=False))
        for add in (*self.banks, *self.mix):
            view = add(view)
        logits = self._logits(view)
        kept = logits.kept if isinstance(self.denominator, Decoupled) else torch.ones_like(logits.kept)
        if self.sample_weight is None:
            return Part(mean(self.denominator(logits), kept))
        weight = self.sample_weight(logits)
        if getattr(self.sample_weight, "of_positive", False):
            return Part(mean(self.denominator(replace(logits, positive=weight * logits.positive)), kept))
        return Part(mean(self.denominator(logits), kept, weight))

    def _view(self, features: Features) -> View:
        anchor, target = sets.anchors(features, self.direction), sets.targets(features, self.direction)
        if self.positive == "self":
            target = anchor
        if self.positive == "teacher":
            target = features.asking(features.teacher("text" if self.direction[2] == "t" else "image"))
        columns = tuple(self._columns(name, features) for name in self.columns)
        if self.detach_targets:
            target = target.detach()
            columns = tuple(replace(one, vectors=one.vectors.detach()) for one in columns)
        scale = features.logit_scale if self.scale is None else features.logit_scale.new_tensor(self.scale)
        return View(features, self.direction, anchor, target, columns, scale)

    def _columns(self, name: str, features: Features) -> Columns:
        columns = sets.SETS[name](features, self.direction)
        if name in sets.FROM_NEGATIVES and not self.masked:
            return replace(columns, mask=torch.ones_like(columns.mask))
        return columns

    def _logits(self, view: View) -> Logits:
        mask = view.mask()
        for refuse in self.masks:
            mask = refuse(view, mask)
        negatives, log_weight = view.scale * view.cosines(), view.log_weight()
        for weigh in self.weights:
            log_weight = log_weight + weigh(view, negatives, mask)
        mask = mask & (log_weight > -torch.inf)
        log_weight = torch.where(mask, log_weight, 0)
        positive = view.scale * (view.anchor * view.target).sum(dim=1) - self.margin
        trusted = view.named(*sets.FROM_NEGATIVES)
        return Logits(positive, negatives, mask, log_weight, trusted, view.scale, view.same(), view.features.logit_bias)


def _column_as_target(logits: Tensor, mask: Tensor, column: Tensor) -> Tensor:
    """Cross-entropy with an arbitrary column as the target: flat columns, and right only as history."""
    batch = torch.arange(len(logits), device=logits.device)
    others = mask.clone()
    others[batch, column] = False
    return row(logits[batch, column], logits, mask=others)
