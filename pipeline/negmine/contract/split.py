"""Training or held-out images: where batches are planned and where shards are written, the same ones."""

from __future__ import annotations

from dataclasses import dataclass

from negmine.base.hashing import hash64
from negmine.contract.records import SPLIT_MARK


@dataclass(frozen=True)
class Split:
    """Training or held-out images, told apart by the hash of their id, or of its part before `SPLIT_MARK`.

    Attributes:
        train_fraction: share of the images that are trained on, 0 to 1.
        heldout: which of the two this is.
    """

    train_fraction: float
    seed: int
    heldout: bool

    def holds(self, image_id: str) -> bool:
        unit = image_id.partition(SPLIT_MARK)[0]
        training = hash64(f"split {self.seed} {unit}") < self.train_fraction * 2.0**64
        return training != self.heldout
