"""A caption changed word by word: articles, capitals and owners repaired, as the smallest edits that say it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from negmine.contract.records import Edit
from negmine.language.caption import NO, Caption
from negmine.language.inflect import article, capitalised, ends_as_plural, in_case_of

_ARTICLES: Final = frozenset({"a", "an", "A", "An", "AN"})


class Change(NamedTuple):
    """Tokens from `first` to `last` become `text`."""

    first: int
    last: int
    text: str


def realise(caption: Caption, changes: Iterable[Change]) -> tuple[Edit, ...]:
    """Changes as the smallest edits, with a/an and capitals repaired wherever an edit touches them.

    Raises:
        ValueError: two changes overlap.
    """
    edits, rewritten = list[Edit](), NO
    for first, last, text in sorted(changes):
        if first <= rewritten:
            raise ValueError(f"changes overlap: {changes}")
        new = _capitals_at(caption, first, text)
        if first - 1 != rewritten:
            repair = _repaired_article(caption, first - 1, new)
            if repair is not None:
                edits.append(repair)
        edit = _smallest(caption.text, caption.tokens[first].start, caption.tokens[last].end, new)
        if edit is not None:
            edits.append(edit)
        owner = _repaired_owner(caption, last + 1, new)
        if owner is not None:
            edits.append(owner)
        rewritten = last
    return tuple(edits)


def without(caption: Caption, first: int, last: int) -> tuple[Edit, ...]:
    """A caption without some of its words: the article before them fits what follows, which takes over their capital.

    Raises:
        ValueError: they are all its words.
    """
    tokens = caption.tokens
    following = tokens[last + 1] if last + 1 < len(tokens) else None
    if following is None or not following.text[0].isalnum():
        if not first:
            raise ValueError(f"nothing of {caption.text!r} would be left")
        start, end = tokens[first - 1].end, tokens[last].end
        return (Edit(start, end, caption.text[start:end], ""),)
    kept = _capitals_at(caption, first, following.text)
    start, end = tokens[first].start, following.start if kept == following.text else following.end
    edit = Edit(start, end, caption.text[start:end], "" if kept == following.text else kept)
    repair = _repaired_article(caption, first - 1, kept) if first else None
    return (edit,) if repair is None else (repair, edit)


def _repaired_owner(caption: Caption, index: int, owner: str) -> Edit | None:
    """The mark of a possessive behind a change: "dogs'" and "men's", "a dog's" and "a waitress's"."""
    token = caption.tokens[index] if index < len(caption.tokens) else None
    if token is None or token.tag != "POS" or token.text[:1] not in "'’":
        return None
    needed = token.text[0] if ends_as_plural(owner) else token.text[0] + ("S" if caption.capitals.upper else "s")
    return None if needed == token.text else Edit(token.start, token.end, token.text, needed)


def _capitals_at(caption: Caption, first: int, new: str) -> str:
    is_capital = caption.tokens[first].text[:1].isupper() and caption.starts_sentence(first)
    new = caption.capitals.write(new)
    return capitalised(new) if is_capital else new


def _repaired_article(caption: Caption, index: int, following: str) -> Edit | None:
    """The article before a change, where the change makes it sound wrong."""
    token = caption.tokens[index]
    if token.text not in _ARTICLES:
        return None
    first_word = following.partition(" ")[0]
    needed = article(first_word.lower() if caption.capitals.upper else first_word)
    if needed == token.text.lower():
        return None
    new = needed.upper() if caption.capitals.upper else in_case_of(token.text[0], needed)
    return Edit(token.start, token.end, token.text, new)


def _smallest(text: str, start: int, end: int, new: str) -> Edit | None:
    """The edit without the words that old and new begin and end with alike; nothing if they are equal."""
    old = text[start:end]
    if old == new:
        return None
    if " " not in old or " " not in new:
        return Edit(start, end, old, new)
    before, after = old.split(" "), new.split(" ")
    while len(before) > 1 and len(after) > 1 and before[0] == after[0]:
        start += len(before[0]) + 1
        before, after = before[1:], after[1:]
    while len(before) > 1 and len(after) > 1 and before[-1] == after[-1]:
        before, after = before[:-1], after[:-1]
    old = " ".join(before)
    return Edit(start, start + len(old), old, " ".join(after))


def moved(caption: Caption, first: int, last: int) -> str:
    """The text of tokens as it reads inside a sentence: a capital that only marked the beginning is gone."""
    text, token = caption.span(first, last), caption.tokens[first]
    marks_beginning = token.text[:1].isupper() and caption.starts_sentence(first)
    keeps_capital = token.pos == "PROPN" or token.text == "I" or (len(token.text) > 1 and token.text.isupper())
    return text[:1].lower() + text[1:] if marks_beginning and not keeps_capital else text
