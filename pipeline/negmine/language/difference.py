"""Two texts side by side: tokens by regular expression, the runs that differ, and the smallest edits between them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from typing import Final

from negmine.contract.records import Edit, apply_edits

_TOKEN: Final = re.compile(r"<\w+>|\w+(?:[-'’]\w+)*|[^\w\s]")
_PIECE: Final = re.compile(rf"\s*(?:{_TOKEN.pattern})|\s+$")
"""A token with the blanks before it, or the blanks at the end: all of a text."""


def tokens(text: str) -> tuple[str, ...]:
    """Words (with inner hyphens and apostrophes) and single marks."""
    return tuple(_TOKEN.findall(text))


def places(text: str) -> tuple[tuple[int, int], ...]:
    """Where each of the `tokens` of a text begins and ends."""
    return tuple(found.span() for found in _TOKEN.finditer(text))


def changed_runs(before: Sequence[str], after: Sequence[str]) -> tuple[tuple[int, int, int, int], ...]:
    """Where they differ, in order: ``before[i:j]`` has become ``after[k:m]``.

    >>> changed_runs(("a", "red", "bus"), ("a", "blue", "bus"))
    ((1, 2, 1, 2),)
    """
    start = _shared(before, after)
    end = _shared(before[start:][::-1], after[start:][::-1])
    old, new = before[start : len(before) - end], after[start : len(after) - end]
    if len(old) * len(new) > _ALIGNED:
        return ((start, start + len(old), start, start + len(new)),)
    matcher = SequenceMatcher(None, old, new, autojunk=False)
    found = (places for what, *places in matcher.get_opcodes() if what != "equal")
    return tuple((i + start, j + start, k + start, m + start) for i, j, k, m in found)


_ALIGNED: Final = 100 * 100
"""Longer runs are one change as a whole: aligning them may take time that grows with their cube."""


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the common beginning."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((i for i, (x, y) in pairs if x != y), min(len(one), len(other)))


def exchanged_runs(before: Sequence[str], after: Sequence[str]) -> Iterator[tuple[int, int, int, int]]:
    """Every way to read `after` as `before` with ``before[i:j]`` and ``before[k:m]`` exchanged; ``an`` counts as ``a``.

    >>> list(exchanged_runs("a dog chases a cat".split(), "a cat chases a dog".split()))
    [(1, 2, 4, 5)]
    """
    before, after = _one_article(before), _one_article(after)
    if len(before) != len(after) or before == after or sorted(before) != sorted(after):
        return
    start = _shared(before, after)
    stop = len(before) - _shared(before[::-1], after[::-1])
    window, mirrored = before[start:stop], after[start:stop]
    size = len(window)
    for i in range(1, size):
        if mirrored[size - i :] != window[:i]:
            continue
        for j in range(1, size - i + 1):
            if mirrored[:j] == window[size - j :] and window[i : size - j] == mirrored[j : size - i]:
                yield start, start + i, stop - j, stop


def _one_article(words: Sequence[str]) -> tuple[str, ...]:
    return tuple("a" if word == "an" else word for word in words)


def edits_between(caption: str, text: str) -> tuple[Edit, ...]:
    """The smallest edits, word by word, that make a text of a caption: ``apply_edits(caption, edits) == text``.

    >>> edits_between("A red bus.", "A blue bus.")
    (Edit(start=2, end=5, old='red', new='blue'),)
    """
    edits = _between(caption, text, places(caption), places(text))
    if _makes(caption, edits, text):
        return edits
    return _between(caption, text, _pieces(caption), _pieces(text))  # the blanks differ too


def _between(
    caption: str, text: str, before: Sequence[tuple[int, int]], after: Sequence[tuple[int, int]]
) -> tuple[Edit, ...]:
    """The edits of runs of pieces; what is put in or taken out goes with the blanks before it, or behind if it is
    first."""
    runs = changed_runs([caption[i:j] for i, j in before], [text[i:j] for i, j in after])
    edits = list[Edit]()
    for i, j, k, m in runs:
        (start, end), (first, last) = _span(before, i, j), _span(after, k, m)
        if i == j or k == m:
            start, end = _with_blank(before, i, j, len(caption))
            first, last = _with_blank(after, k, m, len(text))
        edits.append(Edit(start, end, caption[start:end], text[first:last]))
    return tuple(edits)


def _span(pieces: Sequence[tuple[int, int]], first: int, behind: int) -> tuple[int, int]:
    return (pieces[first][0], pieces[behind - 1][1]) if first < behind else (0, 0)


def _with_blank(pieces: Sequence[tuple[int, int]], first: int, behind: int, length: int) -> tuple[int, int]:
    """Where pieces stand, from the end of the one before them on, or to the beginning of the one behind them."""
    if first:
        return pieces[first - 1][1], pieces[behind - 1][1]
    return 0, pieces[behind][0] if behind < len(pieces) else length


def _pieces(text: str) -> tuple[tuple[int, int], ...]:
    return tuple(found.span() for found in _PIECE.finditer(text))


def _makes(caption: str, edits: Sequence[Edit], text: str) -> bool:
    try:
        return apply_edits(caption, edits) == text
    except ValueError:
        return False
