"""How much memory a training step takes, before it is taken."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import torch
from torch import Tensor

from ahnpl.data.batch import Batch
from ahnpl.model.clip import ClipModel

TRIED: Final = 8
"""Samples of a run that its memory is estimated from."""

_SAMPLES = 2
_LOGIT = 30
"""Bytes that a logit takes, its gradient and what lies between included; measured, 27 to 39 by recipe."""


def estimate_memory(
    model: ClipModel,
    batch: Batch,
    batch_size: int,
    *,
    parts: int = 1,
    rows: int | None = None,
    shards: int = 1,
    half: torch.dtype | None = None,
) -> dict[str, int]:
    """Bytes that one process takes: of weights, of gradients and AdamW's two moments, of what a step keeps for its
    backward pass, and of the loss.

    Activations are measured on `batch` and on half of it, and extended in a line. The loss is of the joined batch,
    every caption and its negatives against the images of `rows`.

    Args:
        batch: some samples of the run, at least 2.
        batch_size: B, over all processes.
        parts: in which the batch is encoded, processes times ``--grad-cache-chunks``.
        rows: of the loss that stand at one time; None for all.
        shards: processes that share the weights.
        half: what towers compute in where that is 16 bits.
    """
    weights = sum(p.numel() * p.element_size() for p in model.network.parameters())
    trained = sum(p.numel() * p.element_size() for p in model.network.parameters() if p.requires_grad)
    few, many = batch.split(2)[0], batch
    kept = [_saved_bytes(model, one, half) for one in (few, many)]
    each = (kept[1] - kept[0]) / (len(many.keys) - len(few.keys))
    return {
        "weights": weights // shards,
        "gradients and moments": 3 * trained // shards,
        "activations": round(max(kept[1] + each * (-(-batch_size // parts) - len(many.keys)), 0)),
        "loss": _LOGIT * min(rows or batch_size, batch_size) * batch_size * (1 + batch.valid.shape[1]),
    }


def _saved_bytes(model: ClipModel, batch: Batch, half: torch.dtype | None) -> int:
    known = {p.untyped_storage().data_ptr() for p in model.network.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with (
        torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor),
        torch.autocast(batch.images.device.type, dtype=half, enabled=half is not None),
    ):
        features = model(batch)  # holds what was saved until it is counted
    del features
    return sum(saved.values())


def trial_batch(model: ClipModel, negatives: int, image_negatives: int, positives: int = 0) -> Batch:
    """Two samples on the model's device: random images, and texts that are all different and of full length."""
    chance = torch.Generator().manual_seed(0)
    length, words = model.context_length, model.vocabulary
    tokens = torch.randint(
        1, words - 1, (_SAMPLES, 1 + negatives + positives + image_negatives, length), generator=chance
    )
    tokens[..., -1] = words - 1
    size = model.image_size
    images = torch.randint(0, 256, (_SAMPLES, 1 + image_negatives, 3, size, size), generator=chance, dtype=torch.uint8)
    batch = Batch(
        images=images[:, 0],
        texts=tokens[:, 0],
        negatives=tokens[:, 1 : 1 + negatives],
        valid=torch.ones(_SAMPLES, negatives, dtype=torch.bool),
        kinds=torch.zeros(_SAMPLES, negatives, dtype=torch.int8),
        image_ids=torch.arange(_SAMPLES),
        keys=["", ""],
    )
    if positives:
        true = tokens[:, 1 + negatives : 1 + negatives + positives]
        there = torch.ones(_SAMPLES, positives, dtype=torch.bool)
        batch = replace(batch, positives=true, positive_valid=there)
    if not image_negatives:
        return batch.to(model.mean.device)
    there = torch.ones(_SAMPLES, image_negatives, dtype=torch.bool)
    others = tokens[:, 1 + negatives + positives :]
    whole = replace(batch, image_negatives=images[:, 1:], image_negative_texts=others, image_valid=there)
    return whole.to(model.mean.device)
