"""Texts packed into rows so that beginnings which they share are encoded once.

Sorted texts form a trie: a caption and its negatives mostly part late, and many captions begin alike. Each token of the
trie is encoded once and sees its ancestors alone. In a causal tower nothing else reaches a token, so this is exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

ROW = 96
"""Tokens after which a row is closed; attention costs grow with it, padding shrinks."""


@dataclass(frozen=True)
class Packed:
    """N texts as R rows of M tokens.

    Attributes:
        tokens: ``[R, M]``, 0 where a row is not full.
        positions: ``[R, M]``, of each token in its text.
        visible: ``[R, M, M]`` bool, whether a token sees another.
        row, column: ``[N]``, where each text ends.
    """

    tokens: Tensor
    positions: Tensor
    visible: Tensor
    row: Tensor
    column: Tensor

    def mask(self) -> Tensor:
        """``[R, M, M]``, 0 where a token sees another and minus infinity where it does not."""
        return torch.zeros(self.visible.shape, device=self.visible.device).masked_fill(~self.visible, float("-inf"))


def pack(texts: Tensor, lengths: Tensor, width: int = ROW) -> Packed:
    """Pack texts.

    Args:
        texts: ``[N, L]`` tokens; neighbours should begin alike, so sort them.
        lengths: ``[N]``, tokens of each that are read, at least 1.
    """
    depth = torch.arange(int(lengths.max()), device=texts.device)
    texts = texts[:, : len(depth)]
    shared = _shared(texts, lengths)
    own = lengths - shared
    row = (own.cumsum(0) - own) // width
    opens = row != row.roll(1)
    opens[0] = True
    row = opens.cumsum(0) - 1
    shared = shared.masked_fill(opens, 0)
    own = lengths - shared
    before = own.cumsum(0) - own
    start = before - before[opens][row]  # column of each text's first own token

    kept = (depth >= shared[:, None]) & (depth < lengths[:, None])
    column = (start - shared)[:, None] + depth
    number = torch.arange(len(texts), device=texts.device)
    owner = number[:, None].where(depth >= shared[:, None], 0).cummax(0).values  # the text that has the token
    ancestors = column[owner, depth]

    text, at = kept.nonzero(as_tuple=True)
    rows, columns = row[text], column[kept]
    shape = int(row[-1]) + 1, int(columns.max()) + 1
    tokens, positions = texts.new_zeros(shape), texts.new_zeros(shape)
    tokens[rows, columns] = texts[kept]
    positions[rows, columns] = at
    visible = torch.eye(shape[1], dtype=torch.bool, device=texts.device).repeat(shape[0], 1, 1)  # padding sees itself
    node, above = (depth <= at[:, None]).nonzero(as_tuple=True)
    visible[rows[node], columns[node], ancestors[text[node], above]] = True
    return Packed(tokens, positions, visible, row, start + own - 1)


def _shared(texts: Tensor, lengths: Tensor) -> Tensor:
    """``[N]`` tokens that a text has in common with the one before it, less than all of its own."""
    alike = (texts[1:] == texts[:-1]).long().cumprod(1).sum(1)
    alike = torch.minimum(alike, torch.minimum(lengths[:-1], lengths[1:] - 1))
    return torch.cat([alike.new_zeros(1), alike])
