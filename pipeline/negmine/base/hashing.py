"""The hash that every deterministic choice, order and grouping rests on."""

from __future__ import annotations

import hashlib


def hash64(text: str) -> int:
    """A 64-bit hash of a text that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
