"""How much memory a training step takes, before it is taken."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ahnpl.data.batch import Batch
from ahnpl.model.clip import ClipModel

_SAMPLES = 2
_LOGIT = 30
"""Bytes that a logit takes, its gradient and what lies between included; measured, 27 to 39 by recipe."""


def estimate_memory(
    model: ClipModel,
    batch_size: int,
    negatives: int,
    image_negatives: int = 0,
    *,
    parts: int = 1,
    rows: int | None = None,
    half: bool = False,
) -> dict[str, int]:
    """Bytes that one process takes: of weights, of gradients and AdamW's two moments, of what a step keeps for its
    backward pass, and of the loss.

    Activations are measured on two samples with texts of full length in float32 and scaled up, so they are an upper
    bound. The loss is of the joined batch, every caption and its negatives against the images of `rows`.

    Args:
        batch_size: B, over all processes.
        parts: in which the batch is encoded, processes times ``--grad-cache-chunks``.
        rows: of the loss that stand at one time; None for all.
        half: whether towers compute in 16 bits.
    """
    kept = _saved_bytes(model, negatives, image_negatives) * batch_size // _SAMPLES
    weights = sum(p.numel() * p.element_size() for p in model.network.parameters())
    return {
        "weights": weights,
        "gradients and moments": 3 * weights,
        "activations": kept // parts // (2 if half else 1),
        "loss": _LOGIT * min(rows or batch_size, batch_size) * batch_size * (1 + negatives),
    }


def _saved_bytes(model: ClipModel, negatives: int, image_negatives: int) -> int:
    known = {p.untyped_storage().data_ptr() for p in model.network.parameters()}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in known:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        features = model(trial_batch(model, negatives, image_negatives))  # holds what was saved until it is counted
    del features
    return sum(saved.values())


def trial_batch(model: ClipModel, negatives: int, image_negatives: int) -> Batch:
    """Two samples on the model's device: random images, and texts that are all different and of full length."""
    chance = torch.Generator().manual_seed(0)
    text = model.config["model_cfg"]["text_cfg"]
    length, words = int(text.get("context_length", 77)), int(text.get("vocab_size", 49408))
    tokens = torch.randint(1, words - 1, (_SAMPLES, 1 + negatives + image_negatives, length), generator=chance)
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
    if not image_negatives:
        return batch.to(model.mean.device)
    there = torch.ones(_SAMPLES, image_negatives, dtype=torch.bool)
    others = tokens[:, 1 + negatives :]
    whole = replace(batch, image_negatives=images[:, 1:], image_negative_texts=others, image_valid=there)
    return whole.to(model.mean.device)
