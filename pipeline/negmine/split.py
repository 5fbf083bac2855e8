"""Training or held-out images: where batches are planned and where shards are written, the same ones."""

from __future__ import annotations

from dataclasses import dataclass

from negmine.hashing import hash64


@dataclass(frozen=True)
class Split:
    """Training or held-out images, told apart by the hash of their id.

    Attributes:
        train_fraction: share of the images that are trained on, 0 to 1.
        heldout: which of the two this is.
    """

    train_fraction: float
    seed: int
    heldout: bool

    def holds(self, image_id: str) -> bool:
        training = hash64(f"split {self.seed} {image_id}") < self.train_fraction * 2.0**64
        return training != self.heldout
