"""How one caption becomes another, as the edits of a `negmine.contract.records.Negative`."""

from __future__ import annotations

import re
from difflib import SequenceMatcher

from negmine.contract.records import Edit

_PIECE = re.compile(r"\w+|\W")


def word_edits(old: str, new: str) -> tuple[Edit, ...]:
    """Edits in whole words: applied to `old` they give `new`, byte for byte."""
    before, after = _PIECE.findall(old), _PIECE.findall(new)
    starts = [0]
    for piece in before:
        starts.append(starts[-1] + len(piece))
    changes = SequenceMatcher(None, before, after, autojunk=False).get_opcodes()
    return tuple(
        Edit(starts[a], starts[b], "".join(before[a:b]), "".join(after[c:d]))
        for name, a, b, c, d in changes
        if name != "equal"
    )
