"""A training batch, and what is told of it: samples left out, and negatives that a model cannot tell from the truth."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from negmine.base.options import Values
from torch import Tensor

if TYPE_CHECKING:
    from ahnpl.data.worklist import Worklist


@dataclass(frozen=True)
class BadSample:
    """A sample that could not be used.

    Attributes:
        kind: of what is wrong with it, as it is counted.
    """

    key: str
    shard: str
    reason: str
    kind: str = "image that cannot be decoded"


@dataclass(frozen=True)
class Legible:
    """How many negatives a model can tell from a true caption of the same image.

    A tokenizer may drop case, and drops what comes after the tower's last position: a negative then reads as the truth.

    Attributes:
        total: negatives looked at.
        alike: of these, such that have the tokens of a true caption.
    """

    total: int = 0
    alike: int = 0

    def __add__(self, other: Legible) -> Legible:
        return Legible(self.total + other.total, self.alike + other.alike)

    @property
    def percent_alike(self) -> float:
        return 100 * self.alike / max(self.total, 1)


@dataclass(frozen=True)
class Batch:
    """One training batch; K slots for negatives, empty ones hold an empty text and are False in `valid`.

    Attributes:
        images: ``[B, 3, S, S]`` bytes.
        texts: ``[B, L]`` tokens.
        negatives: ``[B, K, L]`` tokens.
        valid: ``[B, K]`` bool.
        kinds: ``[B, K]`` positions in ``negmine.contract.records.KINDS``, -1 in empty slots.
        image_ids: ``[B]``, equal for captions of one image.
        keys: of the samples.
        bad: samples of this batch that others stand in for.
        legible: of its samples' negatives, how many the model can tell from the truth; the others are left out.
        image_negatives: ``[B, J, 3, S, S]`` bytes, cropped as the image is; None where no recipe term asks for them.
        image_negative_texts: ``[B, J, L]`` tokens of their own captions.
        image_valid: ``[B, J]`` bool.
        positives: ``[B, P, L]`` tokens of true texts beside the caption; None where no recipe term asks for them.
        positive_valid: ``[B, P]`` bool.
        worklists: what is to be encoded of the batch, or of each part that `split` will give; none where the model is
            to find out, and wait for its device.
    """

    images: Tensor
    texts: Tensor
    negatives: Tensor
    valid: Tensor
    kinds: Tensor
    image_ids: Tensor
    keys: list[str]
    bad: list[BadSample] = field(default_factory=list)
    legible: Legible = Legible()
    image_negatives: Tensor | None = None
    image_negative_texts: Tensor | None = None
    image_valid: Tensor | None = None
    positives: Tensor | None = None
    positive_valid: Tensor | None = None
    worklists: list[Worklist] = field(default_factory=list)

    def to(self, device: torch.device) -> Batch:
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    @property
    def text_counts(self) -> list[int]:
        """How many captions there are, and slots of text negatives, of image negatives and of positives."""
        slots = [0 if valid is None else valid.numel() for valid in (self.valid, self.image_valid, self.positive_valid)]
        return [len(self.texts), *slots]

    def pin_memory(self) -> Batch:
        return self._map(Tensor.pin_memory)

    def split(self, parts: int) -> list[Batch]:
        """The batch in at most `parts` batches of nearly equal size, in order; counts stay with the first."""
        size = len(self.keys)
        bounds = [size * part // parts for part in range(parts + 1)]
        found = [self._rows(slice(a, b)) for a, b in pairwise(bounds) if a < b]
        if len(found) != len(self.worklists):
            return found
        return [replace(part, worklists=[worklist]) for part, worklist in zip(found, self.worklists, strict=True)]

    def _rows(self, rows: slice) -> Batch:
        part = replace(self, worklists=[])._map(lambda tensor: tensor[rows])
        first = rows.start == 0
        return replace(
            part, keys=self.keys[rows], bad=self.bad if first else [], legible=self.legible if first else Legible()
        )

    def _map(self, change: Callable[[Tensor], Tensor]) -> Batch:
        tensors: Values = {n: change(value) for n, value in vars(self).items() if isinstance(value, Tensor)}
        return replace(self, **tensors, worklists=[worklist.map(change) for worklist in self.worklists])
