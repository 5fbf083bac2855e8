"""Folds of images, so that no caption is judged by what the captions of its own image say."""

from __future__ import annotations

from typing import Final

from negmine.base.hashing import hash64

FOLDS: Final = 5


def fold_of(image_id: str) -> int:
    """Number of an image's fold, 0 to `FOLDS` - 1."""
    return hash64(f"fold {image_id}") % FOLDS
