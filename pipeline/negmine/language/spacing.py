"""Blanks that a tokenizer left in a text, taken out as the caption has them: ``a yak .`` and ``a t - shirt``."""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Final

_PIECE = re.compile(r"\w+|[^\w\s]")
_CLOSING: Final = frozenset(".,;:!?)%]")
_SUFFIX = re.compile(r"(?<=\w) (['’])(?=(?:s|re|ve|ll|d|m|t)\b)")
_NOT = re.compile(r"(?<=\w) (?=n['’]t\b)")


def spaced_as(caption: str, text: str) -> str:
    """The text without the blanks that stand between what the caption writes together.

    >>> spaced_as("A man's t-shirt.", "A woman 's t - shirt .")
    "A woman's t-shirt."
    """
    if " " not in text:
        return text
    joined, parted = _neighbours(caption)
    closes = _CLOSING - {right for _, right in parted}
    laid, end = "", 0
    for piece in _PIECE.finditer(text):
        blank, right = text[end : piece.start()], piece[0]
        left = _last(laid)
        is_loose = (
            laid != ""
            and blank == " "
            and (((left, right) in joined and (left, right) not in parted) or right in closes)
        )
        laid += right if is_loose else blank + right
        end = piece.end()
    laid += text[end:]
    for parted_suffix, together in ((_SUFFIX, r"\1"), (_NOT, "")):
        if not parted_suffix.search(caption):
            laid = parted_suffix.sub(together, laid)
    return laid


def _neighbours(text: str) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Pieces that stand together, and pieces with a blank between them."""
    joined, parted = set[tuple[str, str]](), set[tuple[str, str]]()
    for left, right in pairwise(_PIECE.finditer(text)):
        (joined if left.end() == right.start() else parted).add((left[0], right[0]))
    return joined, parted


def _last(text: str) -> str:
    found = _PIECE.findall(text[-64:])
    return found[-1] if found else ""
