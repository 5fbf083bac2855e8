"""Packed texts: every token sees its own text up to itself and nothing else, and what is shared is there once."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from ahnpl.data.packing import Packed, pack
from hypothesis import given, settings
from hypothesis import strategies as st

END = 9
Texts = st.lists(st.lists(st.integers(1, 3), max_size=6).map(lambda words: (*words, END)), min_size=1, max_size=25)


def packed(texts: Iterable[tuple[int, ...]], width: int) -> tuple[list[tuple[int, ...]], Packed]:
    ordered = sorted((*text, *[0] * (7 - len(text))) for text in texts)
    tokens = torch.tensor(ordered)
    return ordered, pack(tokens, tokens.argmax(dim=1) + 1, width)


@given(Texts, st.integers(1, 40))
@settings(max_examples=150, deadline=None)
def test_each_end_sees_its_own_text_alone(texts: list[tuple[int, ...]], width: int) -> None:
    """Also where texts are equal."""
    ordered, found = packed(texts, width)
    for number, text in enumerate(ordered):
        row, column = int(found.row[number]), int(found.column[number])
        words = text[: text.index(END) + 1]
        seen = found.visible[row, column].nonzero().flatten()
        by_position = seen[found.positions[row, seen].argsort()]
        assert found.positions[row, by_position].tolist() == list(range(len(words)))
        assert tuple(found.tokens[row, by_position].tolist()) == words
        for place, token in enumerate(by_position):  # and each of its tokens sees the text so far
            assert set(found.visible[row, token].nonzero().flatten().tolist()) == set(by_position[: place + 1].tolist())


@given(Texts)
@settings(max_examples=50, deadline=None)
def test_in_one_row_every_beginning_is_there_once(texts: list[tuple[int, ...]]) -> None:
    distinct, found = packed(set(texts), width=10_000)
    beginnings = {text[:n] for text in distinct for n in range(1, text.index(END) + 2)}
    assert found.tokens.shape == (1, len(beginnings))
    assert (found.tokens != 0).all()


def test_rows_are_closed_soon_after_the_width() -> None:
    texts = [(n % 9 + 1, n // 9 + 10, 99) for n in range(90)]
    tokens = torch.tensor(sorted(texts))
    found = pack(tokens, torch.full((90,), 3), width=30)
    assert found.tokens.shape[1] <= 30 + 3
    assert found.tokens.ne(0).float().mean() > 0.8
