"""An encoder's reader, and what a fast reader learns from it.

The encoder's reader is a small net over frozen vectors that gives a text a likelihood, fitted to tell captions from the
negatives that were chosen (pairs, logistic loss). Of a fold's candidates it is one that was fitted on the other folds.
What it finds is added up over the rounds, as what should be held against a candidate; the fast reader of a fold is
fitted to these sums of the other folds' candidates (distillation: Hinton and others, 2015).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from negmine.base.arrays import Codes, Halves, Places, Scores
from negmine.base.folds import FOLDS
from negmine.base.hashing import derived_seed
from negmine.stages.negatives.balance.fast_reader import INSIDE, PARTS, FastReader, Vocabulary

if TYPE_CHECKING:
    import torch

HIDDEN: Final = 128
"""Units of the encoder's reader."""

SUMS: Final = 64
"""Units of the fast reader."""

EPOCHS: Final = 3
FIRST_EPOCHS: Final = 4
"""Of the fast reader in the first round; it goes on from there, half as many in each of the others."""

SCALE: Final = 20.0
"""Of unit vectors, so that their differences are of the size that a net begins with."""

STRONGEST: Final = 3.0
"""Logits: no single reading counts for more."""


@dataclass(frozen=True)
class Lessons:
    """What is learnt from: R candidates as the encoder and as the fast reader see them.

    Attributes:
        fold: [R], of the images.
        pair: [R], row of the caption's vector.
        negative: [R, E] float16, unit vectors of the candidates.
        caption: [N, E] float16, of the captions.
        pieces: [R, 7 * D] float16, see `negmine.stages.negatives.balance.fast_reader.pieces`.
    """

    fold: Codes
    pair: Places
    negative: Halves
    caption: Halves
    pieces: Halves


@dataclass(frozen=True)
class Learnt:
    """The nets of the fast reader, and what they were fitted to.

    Attributes:
        held: [R], what is held against each candidate, log weight.
        layer: [FOLDS, PARTS * D, SUMS].
        bias, weight: [FOLDS, SUMS].
    """

    held: Scores
    layer: Scores
    bias: Scores
    weight: Scores


def teach(lessons: Lessons, chosen: Places, before: Learnt | None, seed: int, number: int) -> tuple[Learnt, float]:
    """One more round.

    Args:
        chosen: [n], rows of the lessons that were chosen with what was learnt before.
        number: of the round.

    Returns:
        What is learnt, and the share of the chosen that the encoder's reader tells from their captions.
    """
    import torch

    torch.set_num_threads(1)  # sums must not depend on cores
    found = _told(lessons, chosen, seed, number)
    gap = found[chosen]
    accuracy = float((gap > 0).mean() + 0.5 * (gap == 0).mean()) if len(chosen) else 0.5
    held = np.clip(found, -STRONGEST, STRONGEST) + (0 if before is None else before.held)
    nets = [_distilled(lessons, held, before, fold, seed, number) for fold in range(FOLDS)]
    return Learnt(held, *(np.stack(several) for several in zip(*nets, strict=True))), accuracy


def fast_reader(learnt: Learnt, vocabulary: Vocabulary) -> FastReader:
    """The nets as tables of words."""
    size = vocabulary.vectors.shape[1]
    layer = learnt.layer.reshape(FOLDS, PARTS, size, -1)
    shares = np.einsum("vd,fpdh->fpvh", vocabulary.vectors, layer).astype(np.float32)
    return FastReader(vocabulary.word, shares, learnt.bias, learnt.weight)


def _told(lessons: Lessons, chosen: Places, seed: int, number: int) -> Scores:
    """By how many logits the encoder's reader of the other folds believes in each candidate's caption, [R] float32."""
    import torch

    captions, negatives = (
        torch.from_numpy(rows.astype(np.float32) * SCALE) for rows in (lessons.caption, lessons.negative)
    )
    pair, found = torch.from_numpy(lessons.pair), np.zeros(len(lessons.fold), dtype=np.float32)
    for fold in range(FOLDS):
        torch.manual_seed(derived_seed(seed, "encoder's reader", number, fold) >> 1)
        net = torch.nn.Sequential(
            torch.nn.Linear(captions.shape[1], HIDDEN),
            torch.nn.GELU(),
            torch.nn.Dropout(0.3),
            torch.nn.Linear(HIDDEN, 1),
        )

        def loss(rows: torch.Tensor, net: torch.nn.Module = net) -> torch.Tensor:
            gap = net(captions[pair[rows]]) - net(negatives[rows])
            return torch.nn.functional.softplus(-gap).mean()

        _fit(net, loss, torch.from_numpy(chosen[lessons.fold[chosen] != fold]), EPOCHS, 256)
        net.eval()
        own = torch.from_numpy(np.flatnonzero(lessons.fold == fold))
        with torch.no_grad():
            found[own.numpy()] = (net(captions[pair[own]]) - net(negatives[own])).squeeze(1).numpy()
    return found


def _distilled(
    lessons: Lessons, held: Scores, before: Learnt | None, fold: int, seed: int, number: int
) -> tuple[Scores, Scores, Scores]:
    """Layer, bias and weight of one fold's fast reader, fitted to what is held against the other folds' candidates."""
    import torch

    torch.manual_seed(derived_seed(seed, "fast reader", number, fold) >> 1)
    rows = np.flatnonzero(lessons.fold != fold)
    size = lessons.pieces.shape[1] // (PARTS + 1)
    layer, out = torch.nn.Linear(PARTS * size, SUMS), torch.nn.Linear(SUMS, 1, bias=False)
    if before is not None:
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(before.layer[fold].T))
            layer.bias.copy_(torch.from_numpy(before.bias[fold]))
            out.weight.copy_(torch.from_numpy(before.weight[fold][None]))
    pieces = torch.from_numpy(lessons.pieces)
    target = torch.from_numpy(held.astype(np.float32))

    def loss(rows: torch.Tensor) -> torch.Tensor:
        seen = pieces[rows].float()
        common, inside = seen[:, : INSIDE * size], (seen[:, INSIDE * size : PARTS * size], seen[:, PARTS * size :])
        likely = [out(torch.relu(layer(torch.cat([common, one], dim=1)))) for one in inside]
        missed: torch.Tensor = (likely[0] - likely[1]).squeeze(1) - target[rows]
        return missed.square().mean()

    net = torch.nn.ModuleList([layer, out])
    _fit(net, loss, torch.from_numpy(rows), FIRST_EPOCHS if before is None else FIRST_EPOCHS // 2, 512)
    found = layer.weight.T, layer.bias, out.weight[0]
    return found[0].detach().numpy().copy(), found[1].detach().numpy().copy(), found[2].detach().numpy().copy()


def _fit(
    net: torch.nn.Module, loss: Callable[[torch.Tensor], torch.Tensor], rows: torch.Tensor, epochs: int, batch: int
) -> None:
    """AdamW, its rate falling to 0."""
    import torch

    optimiser = torch.optim.AdamW(net.parameters(), 2e-3, weight_decay=0.05)
    steps = epochs * -(-len(rows) // batch)
    falling = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 1 - step / max(steps, 1))
    for _ in range(epochs):
        for some in torch.split(rows[torch.randperm(len(rows))], batch):
            optimiser.zero_grad()
            loss(some).backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            falling.step()
