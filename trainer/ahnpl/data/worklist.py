"""What of a batch is encoded, and which feature goes where: settled on the host, so that no step waits for a device."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import TypeVar

import torch
from negmine.base.options import Values
from torch import Tensor

from ahnpl.data.batch import Batch
from ahnpl.data.packing import Packed, pack


@dataclass(frozen=True)
class EndOfText:
    """What a causal tower looks for, to take its features there for the text.

    Attributes:
        token: whose first place it is; None for the largest token of each text.
    """

    token: int | None = None

    def positions(self, tokens: Tensor) -> Tensor:
        """``[N]`` of tokens ``[N, L]``."""
        return tokens.argmax(dim=1) if self.token is None else tokens.eq(self.token).int().argmax(dim=1)


Mapped = TypeVar("Mapped", "Worklist", Packed)


@dataclass(frozen=True)
class Worklist:
    """The texts of a batch, each distinct one once, and the image negatives that are there.

    Attributes:
        texts: ``[D, L]`` distinct texts, sorted.
        packed: the same where a tower is causal; None for others.
        places: ``[B (1 + K + J + P)]``, the text of each caption, then of each slot of text negatives, of image
            negatives, and of positives; any in empty slots.
        images: ``[n]``, filled slots of image negatives among all B J.
        text_ids, positive_ids: ``[B, 1 + J]`` and ``[B, P]``, see `Features`.
    """

    texts: Tensor
    packed: Packed | None
    places: Tensor
    images: Tensor
    text_ids: Tensor
    positive_ids: Tensor | None

    def map(self, change: Callable[[Tensor], Tensor]) -> Worklist:
        """The same with other tensors, such as copies on a device."""
        return _mapped(replace(self, packed=None if self.packed is None else _mapped(self.packed, change)), change)


def with_worklists(batch: Batch, end: EndOfText | None, parts: int = 1) -> Batch:
    """The batch with what is to be read of each of so many parts, see `Batch.split`."""
    return replace(batch, worklists=[worklist_of(part, end) for part in batch.split(parts)])


def worklist_of(batch: Batch, end: EndOfText | None) -> Worklist:
    """What is to be encoded of a batch.

    Args:
        end: of a causal tower; None for one that reads all positions.
    """
    own = batch.texts[:, None]
    texts, there = [batch.texts], [batch.valid.new_ones(len(batch.texts))]
    slots = (
        (batch.negatives, batch.valid),
        (batch.image_negative_texts, batch.image_valid),
        (batch.positives, batch.positive_valid),
    )
    for tokens, valid in slots:
        if tokens is not None and valid is not None:
            texts.append(tokens.flatten(0, 1))
            there.append(valid.flatten())
    whole, filled = torch.cat(texts), torch.cat(there)
    distinct, place = torch.unique(whole[filled], dim=0, return_inverse=True)
    places = place.new_zeros(len(whole))
    places[filled] = place
    return Worklist(
        texts=distinct,
        packed=None if end is None else pack(distinct, end.positions(distinct) + 1),
        places=places,
        images=place[:0] if batch.image_valid is None else batch.image_valid.flatten().nonzero().flatten(),
        text_ids=text_numbers(
            own if batch.image_negative_texts is None else torch.cat([own, batch.image_negative_texts], dim=1)
        ),
        positive_ids=None if batch.positives is None else text_numbers(batch.positives),
    )


def text_numbers(tokens: Tensor) -> Tensor:
    """``[...]`` 64-bit numbers of texts ``[..., L]``, equal for equal texts, on every rank."""
    chance = torch.Generator().manual_seed(0)
    factors = torch.randint(1, 2**62, tokens.shape[-1:], generator=chance).to(tokens.device)
    return (tokens.long() * factors).sum(dim=-1)  # overflow wraps; a clash of two captions is no likelier than 2^-60


def _mapped(whole: Mapped, change: Callable[[Tensor], Tensor]) -> Mapped:
    tensors: Values = {f.name: change(v) for f in fields(whole) if isinstance(v := getattr(whole, f.name), Tensor)}
    return replace(whole, **tensors)
