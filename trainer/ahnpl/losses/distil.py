"""Terms that keep the features near a teacher's."""

from __future__ import annotations

import torch
from negmine.base.names import pick
from torch import Tensor, nn
from torch.nn import functional as F

from ahnpl.losses import sets
from ahnpl.losses.features import Features, Part


class FeatureMSE(nn.Module):
    """DeGLA's distillation: squared distances of images, captions and their negatives to the teacher's, summed over
    the kinds and a sample's negatives, mean over the batch (the reference sums, which ties the weight to B).
    """

    small = True
    needs_negatives, needs_image_negatives, needs_teacher = False, False, True

    def forward(self, features: Features) -> Part:
        value = _distance(features.image, features.teacher("image")) + _distance(
            features.text, features.teacher("text")
        )
        if features.text_negatives is not None and features.teacher_text_negatives is not None:
            found, valid = sets.negatives(features, "i2t")
            far = (found - features.teacher("text_negatives")).square().sum(dim=2)
            value = value + torch.where(valid, far, 0).sum(dim=1)
        return Part(value.mean())


def _distance(student: Tensor, teacher: Tensor) -> Tensor:
    return (student - teacher).square().sum(dim=1)


class BatchKL(nn.Module):
    """UniME's first stage: the batch's similarities follow the teacher's, ``KL(softmax(E* E*^T / tau) || student)``.

    Args:
        direction: which similarities, ``t2t`` in the paper. Of a row with itself the similarity is always 1 and would
            swamp the others at this temperature (the paper keeps it), so that it is left out.
        temperature: tau of both.
    """

    needs_negatives, needs_image_negatives, needs_teacher = False, False, True

    def __init__(self, *, direction: str = "t2t", temperature: float = 0.02) -> None:
        super().__init__()
        self.direction, self.temperature = pick("direction", direction, sets.DIRECTIONS), temperature

    def forward(self, features: Features) -> Part:
        names = [{"i": "image", "t": "text"}[self.direction[place]] for place in (0, 2)]
        theirs = features.teacher(names[0]) @ features.teacher(names[1]).T
        ours = sets.anchors(features, self.direction) @ sets.targets(features, self.direction).T
        if names[0] == names[1]:
            itself = torch.eye(len(ours), dtype=torch.bool, device=ours.device)
            theirs, ours = theirs.masked_fill(itself, -100), ours.masked_fill(itself, -100)  # finite, for B = 1
        target = (theirs / self.temperature).softmax(dim=1)
        return Part(F.kl_div((ours / self.temperature).log_softmax(dim=1), target, reduction="batchmean"))
