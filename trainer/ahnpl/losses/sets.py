"""Column sets: which candidates stand against a positive, and which of them exist.

A row has a direction, anchor first: ``i2t`` is an image against texts. A set names the candidates of B samples that
ask, which are all of the batch or `Features.rows`:

======== ================ ==================================================================
inbatch  ``[B, B]``       the other images' true captions (images)
own      ``[B, K]``       the sample's own negatives
all      ``[B, B * K]``   every negative of the batch, sample-major
intra    ``[B, B]``       the other images' samples in the anchor's own modality
======== ================ ==================================================================

Samples of one image are true of each other, so that they never are candidates (where the batch has ``image_ids``).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from negmine.base.errors import UsageError
from torch import Tensor

from ahnpl.losses.features import Features
from ahnpl.losses.view import Columns

DIRECTIONS = ("i2t", "t2i", "t2t", "i2i")


def anchors(features: Features, direction: str) -> Tensor:
    """``[B, D]`` rows that ask."""
    return features.asking(features.image if direction[0] == "i" else features.text)


def targets(features: Features, direction: str) -> Tensor:
    """``[B, D]`` rows that answer, row i belonging to anchor i."""
    return features.asking(candidates(features, direction))


def candidates(features: Features, direction: str) -> Tensor:
    """``[B, D]`` true captions (images) of all samples."""
    return features.image if direction[2] == "i" else features.text


def negatives(features: Features, direction: str) -> tuple[Tensor, Tensor]:
    """``[B, K, D]`` negatives in the answering modality and their ``[B, K]`` validity.

    Raises:
        UsageError: the batch has none.
    """
    texts = direction[2] == "t"
    found = features.text_negatives if texts else features.image_negatives
    valid = features.text_valid if texts else features.image_valid
    if found is None:
        raise UsageError(
            f"this recipe needs {'text' if texts else 'image'} negatives and the batch has none",
            fix="train on shards with negatives, or use --recipe clip",
        )
    return found, torch.ones(found.shape[:2], dtype=torch.bool, device=found.device) if valid is None else valid


def inbatch(features: Features, direction: str) -> Columns:
    """The other images of the batch. In ``i2t`` and ``t2i`` these are CLIP's negatives."""
    return _others("inbatch", features, candidates(features, direction))


def intra(features: Features, direction: str) -> Columns:
    """The other images of the batch in the anchor's own modality."""
    return _others("intra", features, features.image if direction[0] == "i" else features.text)


def _others(name: str, features: Features, vectors: Tensor) -> Columns:
    own, itself = of_own_image(features), itself_only(features)
    return Columns(name, vectors, ~own, own & ~itself)


def of_own_image(features: Features) -> Tensor:
    """``[B, B]`` bool: the sample itself and others of its image; itself alone where the batch has no ``image_ids``."""
    ids = features.image_ids
    return itself_only(features) if ids is None else features.asking(ids)[:, None] == ids[None, :]


def itself_only(features: Features) -> Tensor:
    """``[B, B]`` bool: the diagonal."""
    numbers = torch.arange(len(features.text), device=features.text.device)
    return features.asking(numbers)[:, None] == numbers[None, :]


def own(features: Features, direction: str) -> Columns:
    """The sample's own K negatives."""
    found, valid = map(features.asking, negatives(features, direction))
    return Columns("own", found, valid)


def every(features: Features, direction: str) -> Columns:
    """All negatives of the batch against each anchor."""
    found, valid = negatives(features, direction)
    rows = len(features.asking(valid))
    return Columns("all", found.flatten(0, 1), valid.flatten().expand(rows, -1))


SETS: dict[str, Callable[[Features, str], Columns]] = {"inbatch": inbatch, "own": own, "all": every, "intra": intra}
FROM_NEGATIVES = ("own", "all")
"""Sets that need negatives in the answering modality; they are false by construction."""
