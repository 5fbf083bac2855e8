"""Negatives made from features, without an encoder's forward pass."""

from __future__ import annotations

from dataclasses import replace

from torch.nn import functional as F

from ahnpl.losses.features import Features
from ahnpl.losses.sets import negatives


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
