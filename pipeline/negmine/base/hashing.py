"""The hash that every deterministic choice, order and grouping rests on, and the generators that are seeded by it.

A choice is drawn from a generator of ``(seed, purpose, *key)``: what else is drawn, in which order and by which process
changes nothing. Figures, proposals of rules and the audit's sample have generators of their own, for evidence rests on
their bytes.
"""

from __future__ import annotations

import hashlib
import json
import random


def hash64(text: str) -> int:
    """A 64-bit hash of a text that is the same in every process and on every machine."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def derived_seed(seed: int, purpose: str, *key: str | int) -> int:
    """64 bits of a seed for one purpose and key, as `random.Random`, NumPy's and torch's generators take them."""
    return hash64(json.dumps([seed, purpose, *key]))


def generator(seed: int, purpose: str, *key: str | int) -> random.Random:
    """The generator of one purpose and key."""
    return random.Random(derived_seed(seed, purpose, *key))
