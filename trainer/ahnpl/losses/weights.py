"""Masks that compose by AND: which candidates a recipe refuses to call negatives."""

from __future__ import annotations

from dataclasses import replace

from ahnpl.losses.features import Features
from ahnpl.losses.sets import Columns


def drop_same_image(columns: Columns, features: Features) -> Columns:
    """Remove in-batch candidates of the anchor's own image: another caption of the image is true of it.

    Changes nothing where the batch has no ``image_ids``.
    """
    if features.image_ids is None:
        return columns
    same = features.image_ids[:, None] == features.image_ids[None, :]
    return replace(columns, mask=columns.mask & ~same)


def keep_fillers(columns: Columns) -> Columns:
    """Count slots without a negative as if they had one, as the released AHNPL and CE-CLIP code does."""
    return replace(columns, mask=columns.mask.new_ones(columns.mask.shape))
