"""Rows with several true texts: what else may be said of an image is an answer too."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from negmine.base.errors import UsageError
from negmine.base.names import pick
from torch import Tensor, nn

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part
from ahnpl.losses.kernel import row_losses

FORMS = ("each", "together")
_OF_BATCH = ("inbatch", "intra")


class Positives(nn.Module):
    """The P true texts beside a sample's caption, each an answer, against column sets.

    With logits p of the positives and c of the candidates of a row, ``each`` is the mean over the positives of
    ``-log(e^p / (e^p + sum e^c))``: no positive competes with another (the outer sum of Khosla et al. 2020, their
    other positives left out of the denominator). ``together`` is ``-log(sum e^p / (sum e^p + sum e^c))``: one of them
    is enough (MIL-NCE, Miech et al. 2020). A sample without positives costs 0.

    Candidates with a text that is true of the anchor's image, its caption or one of its positives, are left out, and
    so are other samples of its image.

    Args:
        direction: ``i2t``: images ask. ``t2t``: captions ask. ``t2i``: positives ask, their image answers.
        columns: names of `sets.SETS`.
        form: ``each`` or ``together``; for ``t2i``, where each asks by itself, only ``each``.
    """

    needs_positives, needs_image_negatives, row_wise = True, False, True

    def __init__(self, *, direction: str, columns: Sequence[str], form: str = "each") -> None:
        super().__init__()
        self.direction = pick("direction", direction, ("i2t", "t2t", "t2i"))
        self.columns = [pick("column set", name, sets.SETS) for name in columns]
        self.form = pick("form", form, FORMS)
        if direction == "t2i" and (form != "each" or self.columns != ["inbatch"]):
            raise UsageError("positives that ask do so each by itself, of the batch's images", fix="columns: [inbatch]")

    @property
    def needs_negatives(self) -> bool:
        return any(name in sets.FROM_NEGATIVES for name in self.columns)

    def forward(self, features: Features) -> Part:
        positives, valid = map(features.asking, positives_of(features))
        if self.direction == "t2i":
            logits, mask = self._images(features, positives)
            own = (positives * features.asking(features.image)[:, None]).sum(dim=2)
        else:
            anchor = sets.anchors(features, self.direction)
            logits, mask = self._texts(features, anchor)
            own = torch.einsum("bd,bpd->bp", anchor, positives)
        own = features.logit_scale * own
        candidates = (features.logit_scale * logits).masked_fill(~mask, -torch.inf)
        if self.form == "together":
            there = valid.any(dim=1)
            joined = own.masked_fill(~valid, -torch.inf).masked_fill(~there[:, None], 0).logsumexp(dim=1)
            return Part(torch.where(there, row_losses(joined, candidates[:, 0]), 0).mean())
        losses = row_losses(own.flatten(), candidates.expand(-1, own.shape[1], -1).flatten(0, 1)).view_as(own)
        each = torch.where(valid, losses, 0).sum(dim=1) / valid.sum(dim=1).clamp_min(1)
        return Part(each.mean())

    def _texts(self, features: Features, anchor: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, 1, M]`` cosines of the anchors with all candidates, and which of them count."""
        columns = [sets.SETS[name](features, self.direction) for name in self.columns]
        true = caption_is_true(features)
        masks = [one.mask & ~true if one.name in _OF_BATCH else one.mask for one in columns]
        return torch.cat([one.cosines(anchor) for one in columns], dim=1)[:, None], torch.cat(masks, dim=1)[:, None]

    def _images(self, features: Features, positives: Tensor) -> tuple[Tensor, Tensor]:
        """``[B, P, B]`` cosines of the positives with all images, and which of them count."""
        return positives @ features.image.T, (~sets.of_own_image(features))[:, None] & ~positive_is_true(features)


def positives_of(features: Features) -> tuple[Tensor, Tensor]:
    """``[B, P, D]`` true texts beside the captions and their ``[B, P]`` validity.

    Raises:
        UsageError: the batch has none.
    """
    found, valid = features.text_positives, features.positive_valid
    if found is None or valid is None:
        raise UsageError(
            "this recipe needs positives and the batch has none",
            fix="train on shards made after `negmine parse --positives 2`",
        )
    return found, valid


def caption_is_true(features: Features) -> Tensor:
    """``[B, B]`` bool: whether the caption of one sample is, word for word, a true text of the sample that asks."""
    true = _true_texts(features)
    if true is None:
        return torch.zeros_like(sets.of_own_image(features))
    return (features.asking(true)[:, :, None] == true[None, None, :, 0]).any(dim=1)


def positive_is_true(features: Features) -> Tensor:
    """``[B, P, B]`` bool: whether a positive of the sample that asks is, word for word, a true text of another."""
    true = _true_texts(features)
    if true is None:
        asked = features.asking(positives_of(features)[1])
        return asked.new_zeros(*asked.shape, len(features.text))
    return (features.asking(true)[:, 1:, None, None] == true[None, None]).any(dim=3)


def _true_texts(features: Features) -> Tensor | None:
    """``[B, 1 + P]`` numbers of captions and positives, the caption's where there is no positive; None if not known."""
    _, valid = positives_of(features)
    if features.text_ids is None or features.positive_ids is None:
        return None
    caption = features.text_ids[:, :1]
    return torch.cat([caption, torch.where(valid, features.positive_ids, caption)], dim=1)
