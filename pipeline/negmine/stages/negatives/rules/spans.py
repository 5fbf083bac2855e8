"""How far a phrase reaches: with everything that hangs on it."""

from __future__ import annotations

from negmine.language.caption import Caption, Phrase

_OUTSIDE = frozenset({"cc", "conj", "punct", "appos", "dep", "parataxis"})
"""Dependents that end a phrase: lists and asides stay where they are."""

_PRONOUNS = frozenset({"PRP", "PRP$"})


def branch(caption: Caption, token: int) -> tuple[int, int]:
    """First and last token of what depends on a token, itself included.

    Mended heads (a unit's last word made its noun) may form a circle, which is walked once.
    """
    found, waiting = {token}, [token]
    while waiting:
        new = [child for child in caption.children[waiting.pop()] if child not in found]
        found.update(new)
        waiting += new
    return min(found), max(found)


def phrase_end(caption: Caption, phrase: Phrase, limit: int | None = None) -> int:
    """Last token of a phrase with the modifiers that follow it without a gap and end before `limit`."""
    limit = len(caption.tokens) if limit is None else limit
    end = phrase.head
    for child in caption.children[phrase.head]:
        if child <= end:
            continue
        first, last = branch(caption, child)
        if caption.tokens[child].dep in _OUTSIDE or first != end + 1 or last >= limit:
            break
        end = last
    while end > phrase.whole and caption.tokens[end].dep in ("cc", "punct"):
        end -= 1  # "a woman with blond hair [and]"
    return max(end, phrase.whole)


def has_pronoun(caption: Caption, first: int, last: int) -> bool:
    """Whether tokens speak of something by a pronoun, which may not be moved away from it."""
    return any(token.tag in _PRONOUNS for token in caption.tokens[first : last + 1])
