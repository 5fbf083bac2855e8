"""Texts that others offer as false of a caption, as candidates beside those of the rules.

The guards judge proposals. What a text proposes is read off its edits: two things exchanged, a noun, an attribute or
another word replaced, or, where that cannot be told, words put in; then the guards for such proposals look at it, and
those of texts in any case.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from negmine.base.counts import Counts
from negmine.contract.records import Edit, apply_edits
from negmine.language.caption import NO, Caption, Phrase
from negmine.language.changes import Change
from negmine.language.difference import exchanged_runs, places, tokens
from negmine.language.inflect import lemma
from negmine.language.slots import slots_of
from negmine.language.vocabulary import NONE
from negmine.stages.negatives.guards import DUPLICATE, Case, coordination, is_heard, refusal, text_refusal
from negmine.stages.negatives.proposal import Filling, Level, Proposal, Swap, Words
from negmine.stages.negatives.rules.swaps import claims
from negmine.stages.negatives.select import Candidate
from negmine.stages.negatives.settings import FLAG, OFF
from negmine.store import read_part
from negmine.store.texts import texts_stage

UNPARSED: Final = "unparsed"
"""Reason of a text whose caption no guard can read."""

Offered = Mapping[str, Sequence[Mapping[str, Any]]]
"""Rows of texts by the key of their pair."""

_COLUMNS: Final = ["key", "text", "is_true", "kind", "rule", "edits"]
_CLOSED: Final = frozenset({"replace_attribute", "replace_relation", "replace_action", "replace_count"})
"""Kinds whose words are of classes so small that they must flow both ways."""

_ARTICLES: Final = frozenset({"a", "an"})
_WORD = re.compile(r"\w+(?:[-'’]\w+)*")


def read_offered(work: Path, names: Sequence[str], index: int) -> Offered:
    """The texts of a part that these sources offer as false, source by source."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for name in names:
        for row in read_part(work / texts_stage(name), index, _COLUMNS).to_pylist():
            if not row["is_true"]:
                found.setdefault(row["key"], []).append(row)
    return found


def offered_candidates(
    rows: Sequence[Mapping[str, Any]], case: Case, guards: str, seen: set[str], counts: Counts
) -> Iterator[Candidate]:
    """The texts of a caption that pass the guards.

    Adds to `counts` for every source ``proposed:NAME`` = ``accepted:NAME`` + all ``rejected:NAME:GUARD``, and
    ``flagged:NAME:GUARD`` of those that are kept nevertheless.
    """
    for row in rows:
        text, name, edits = row["text"], row["rule"], tuple(Edit(**edit) for edit in row["edits"])
        proposal = proposal_of(case.caption, edits, row["kind"], case.words) if case.caption.tokens else None
        counts.add("proposed", name)
        reason = None if guards == OFF else _refusal(text, proposal, case)
        if reason is not None and guards == FLAG:
            counts.add(f"flagged:{name}", reason)
            reason = None
        if text in seen:
            reason = DUPLICATE
        if reason is not None:
            counts.add(f"rejected:{name}", reason)
            continue
        seen.add(text)
        counts.add("accepted", name)
        focus, substitution, filling = ((NO,), (), None) if proposal is None else _of(proposal)
        yield Candidate(row["kind"], text, edits, focus, substitution, filling, name)


def _of(proposal: Proposal) -> tuple[tuple[int, ...], tuple[str, str] | tuple[()], Filling | None]:
    return proposal.focus, proposal.substitution, proposal.filling


def _refusal(text: str, proposal: Proposal | None, case: Case) -> str | None:
    if proposal is None or not case.caption.parsed:
        return UNPARSED
    if is_listed(case.caption, text):
        return coordination.__name__
    return text_refusal(text, case, heard=True) or refusal(proposal, case, is_heard(proposal, case))


def proposal_of(caption: Caption, edits: Sequence[Edit], kind: str, words: Words) -> Proposal:
    """What a text proposes, as far as its edits tell.

    Args:
        caption: with at least one token.
        edits: at least one.
    """
    if (swap := _exchange(caption, apply_edits(caption.text, edits))) is not None:
        return swap
    parts = [part for part in (_part(caption, edit) for edit in edits) if part is not None]
    parts = parts or [Change(*_touched(caption, edits[0]), edits[0].new.strip())]
    if len(parts) == 1 and edits[0].old.strip():
        return _replacement(caption, parts[0], kind, words)
    put_in = {word.lower() for part in parts for word in _WORD.findall(part.text)} - words.vocabulary.function_words
    changes = tuple({part.first: part for part in parts}.values())  # no two of one token
    return Proposal(changes, repeatable=True, signs=frozenset(put_in - caption.words))


def _part(caption: Caption, edit: Edit) -> Change | None:
    """An edit as a change of tokens, without an article that only sounds otherwise; None if it is nothing else."""
    old, new, start = edit.old, edit.new, edit.start
    if _article(old) and _article(new):
        start += len(old) - len(_behind_article(old))
        old, new = _behind_article(old), _behind_article(new)
        if not (old or new):
            return None
    if not (_WORD.search(old) or _WORD.search(new)) or old.lower() == new.lower():
        return None
    return Change(*_touched(caption, Edit(start, edit.end, old, new)), new.strip())


def _article(text: str) -> bool:
    return text.lower().partition(" ")[0] in _ARTICLES


def _behind_article(text: str) -> str:
    return text.partition(" ")[2]


def _touched(caption: Caption, edit: Edit) -> tuple[int, int]:
    """First and last token of what an edit takes out; where it takes nothing out, the token behind it."""
    blanks = len(edit.old) - len(edit.old.lstrip())
    start, end = edit.start + blanks, max(edit.end, edit.start + blanks)
    inside = [i for i, token in enumerate(caption.tokens) if token.start < end and token.end > start]
    if inside:
        return inside[0], inside[-1]
    behind = next((i for i, token in enumerate(caption.tokens) if token.start >= start), len(caption.tokens) - 1)
    return behind, behind


def _exchanges(caption: Caption, text: str) -> Iterator[tuple[Change, Change]]:
    """Every way to read a text as the caption with two runs of words exchanged, as changes of tokens."""
    at = places(caption.text)
    before, after = (tuple(word.lower() for word in tokens(one)) for one in (caption.text, text))
    for i, j, k, m in exchanged_runs(before, after):
        one, other = (caption.text[at[first][0] : at[last - 1][1]] for first, last in ((i, j), (k, m)))
        yield (
            Change(*_touched(caption, Edit(at[i][0], at[j - 1][1], one, other)), other),
            Change(*_touched(caption, Edit(at[k][0], at[m - 1][1], other, one)), one),
        )


def is_listed(caption: Caption, text: str) -> bool:
    """Whether two runs are exchanged that nothing but the words of a list parts: the same is said (C9)."""
    return any(
        all(token.tag == "CC" or token.text == "," for token in caption.tokens[one.last + 1 : other.first])
        and other.first > one.last + 1
        for one, other in _exchanges(caption, text)
    )


def _exchange(caption: Caption, text: str) -> Proposal | None:
    """Two things of two phrases exchanged; None where the text shows no such thing."""
    return next(filter(None, (_swap(caption, parts) for parts in _exchanges(caption, text))), None)


def _swap(caption: Caption, parts: tuple[Change, Change]) -> Proposal | None:
    one, other = (_phrase_around(caption, part) for part in parts)
    if NO in (one, other) or one == other:
        return None
    left, right = caption.phrases[one], caption.phrases[other]
    if _covers(parts[0], left) and _covers(parts[1], right):
        nouns_alone = parts[0].first >= left.unit and parts[1].first >= right.unit
        level = Level.NOUN if nouns_alone else Level.PHRASE
        return Proposal(tuple(parts), swap=Swap(one, other, level), facts=claims(caption, one, other))
    if parts[0].last < left.unit and parts[1].last < right.unit:
        was, becomes = parts[1].text.lower(), parts[0].text.lower()
        return Proposal(
            tuple(parts),
            old=was,
            new=becomes,
            swap=Swap(one, other, Level.ATTRIBUTE),
            facts=((becomes, left.name), (was, right.name)),
        )
    return None


def _covers(part: Change, phrase: Phrase) -> bool:
    return part.first <= phrase.head <= part.last


def _phrase_around(caption: Caption, part: Change) -> int:
    found = (n for n, phrase in enumerate(caption.phrases) if phrase.first <= part.first and part.last <= phrase.whole)
    return next(found, NO)


def _replacement(caption: Caption, part: Change, kind: str, words: Words) -> Proposal:
    """One run of words in another's place: a noun's, an attribute's, or any."""
    old, new = caption.span(part.first, part.last).lower(), part.text.lower()
    index = _phrase_around(caption, part)
    substitution = (old, new) if kind in _CLOSED and old and new else ()
    if kind == "replace_object" and index != NO and _covers(part, caption.phrases[index]):
        phrase = caption.phrases[index]
        noun = _noun(new, words)
        signs = words.vocabulary.noun_signs.get(noun, NONE) | words.lexicon.entry(noun).synonyms | {noun}
        filling = Filling(slots_of(caption, index), noun, phrase.name)
        return Proposal((part,), phrase.name, noun, signs=signs, filling=filling)
    value = words.vocabulary.value_of(new)
    if value is not None and kind == "replace_attribute":
        was = words.vocabulary.value_of(old)
        facts = ((new, caption.phrases[index].name),) if index != NO else ()
        signs = words.vocabulary.attribute_signs[value.name]
        return Proposal((part,), was.name if was else old, new, True, signs, None, facts, substitution)
    put_in = frozenset(word.lower() for word in _WORD.findall(part.text)) - words.vocabulary.function_words
    item = next((r.object for r in caption.relations if r.first <= part.last and part.first <= r.last), NO)
    facts = ((new, caption.phrases[item].name),) if item != NO else ()
    return Proposal((part,), old, new, True, put_in - caption.words, None, facts, substitution)


def _noun(text: str, words: Words) -> str:
    """The noun that a text ends in, with its compound if that is known."""
    said = _WORD.findall(text)
    if not said:
        return text
    last = lemma(said[-1], "NOUN")
    whole = " ".join([*said[:-1], last])
    return whole if words.vocabulary.names_concept(whole) else last
