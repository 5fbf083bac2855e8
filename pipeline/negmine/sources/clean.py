"""Captions as they are stored: one spelling, one line."""

from __future__ import annotations

import unicodedata


def clean_caption(text: str, max_caption: int) -> tuple[str, list[str]]:
    """NFC text without control characters, its white space single blanks, cut to `max_caption` characters.

    Returns:
        The text, and what was changed: ``control``, ``nfc``, ``space``, ``length``.
    """
    changes = []
    if not text.isascii() or not text.isprintable():
        printable = "".join(c for c in text if c.isspace() or not _is_control(c))
        if len(printable) < len(text):
            changes.append("control")
        normal = unicodedata.normalize("NFC", printable)
        if normal != printable:
            changes.append("nfc")
        text = normal
    squeezed = " ".join(text.split())
    if squeezed != text:
        changes.append("space")
    if len(squeezed) > max_caption:
        changes.append("length")
        squeezed = squeezed[:max_caption].rsplit(" ", 1)[0]
    return squeezed, changes


def _is_control(character: str) -> bool:
    """Control characters, halves of surrogate pairs, and marks that reorder or hide text on a terminal."""
    category = unicodedata.category(character)
    return category in ("Cc", "Cs") or (category == "Cf" and character not in "\u200c\u200d")
