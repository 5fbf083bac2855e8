"""Captions of one part in, positives of one part out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Final, NamedTuple

from negmine.base.counts import Counts
from negmine.base.hashing import generator
from negmine.contract.records import Edit, Positive, apply_edits
from negmine.language.caption import Caption
from negmine.language.negations import RULE as NEGATE
from negmine.language.recognise import why_foreign
from negmine.stages.positives.denials import Denial
from negmine.stages.positives.guards import normalised, refusal, said_already
from negmine.stages.positives.rewording import Words
from negmine.stages.positives.rules import RULES

Flow = tuple[str, str] | tuple[()]

Row = tuple[str, str, str]
"""Key, image id and caption of a pair."""

DENY: Final = "deny"
"""The rule of true denials, see `negmine.stages.positives.denials`."""

OFFERED: Final = "offered"
"""The kind of texts by others."""

LAST: Final = ("shorter", "phrase")
"""The kinds that come last, in this order: their length tells them from captions, and they say less."""


class Candidate(NamedTuple):
    """A text that may become a positive.

    Attributes:
        rule: the rule's name, or that of the source of a text by others.
        flow: as of `Rewording`.
    """

    kind: str
    rule: str
    text: str
    edits: tuple[Edit, ...]
    flow: Flow = ()


def positives_of(
    rows: Sequence[Row],
    captions: Mapping[str, Caption],
    words: Words,
    count: int,
    seed: int,
    denials: Mapping[str, Sequence[Denial]] = MappingProxyType({}),
    offered: Mapping[str, Sequence[Candidate]] = MappingProxyType({}),
) -> tuple[list[Positive], Counts]:
    """Positives of a part that holds all captions of each of its images, at most `count` of a caption.

    Args:
        captions: each distinct caption, parsed.
        denials: by key, what comes before all else.
        offered: by key, what others say is true.

    Returns:
        The positives, and counts that add up: for every rule ``proposed:RULE`` = ``accepted:RULE`` + all
        ``rejected:RULE:GUARD``; all ``accepted`` and denials = ``positives`` + ``not_selected``; ``pairs`` =
        ``with_positives`` + all ``none:REASON``.
    """
    counts = Counts(pairs=len(rows))
    said = defaultdict[str, set[str]](set)
    for _, image_id, text in rows:
        said[image_id].add(normalised(text))
    found = [
        list(_candidates(captions[text], said[image_id], words, offered.get(key, ()), counts))
        for key, image_id, text in rows
    ]
    flows = Counter[Flow](candidate.flow for several in found for candidate in several if candidate.flow)
    positives: list[Positive] = []
    for (key, image_id, text), several in zip(rows, found, strict=True):
        rng = generator(seed, "positives", key)
        even = [c for c in several if rng.random() < _flow_back(c, flows)]
        chosen = _chosen(even, count, rng) or (several and [max(several, key=lambda c: _flow_back(c, flows))])
        true = [Candidate(NEGATE, DENY, one.text, one.edits) for one in denials.get(key, ())]
        several, chosen = [*true, *several], [*true, *chosen][:count]
        counts.update(accepted=len(several), positives=len(chosen), not_selected=len(several) - len(chosen))
        counts.add_each("kind", (c.kind for c in chosen))
        counts.add_each("rule", (c.rule for c in chosen))
        counts["with_positives" if chosen else f"none:{why_foreign(text) or 'no_candidate'}"] += 1
        positives += [
            Positive(key, image_id, text, c.text, c.kind, c.rule, c.edits, slot) for slot, c in enumerate(chosen)
        ]
    return positives, counts


def _candidates(
    caption: Caption, said: set[str], words: Words, offered: Sequence[Candidate], counts: Counts
) -> Iterator[Candidate]:
    """What others offer for a caption and the rules propose that passes the guards, each text once."""
    seen = set(said)
    for one in offered:
        is_new = normalised(one.text) not in seen
        counts.add("proposed", one.rule)
        counts.add(*(("accepted", one.rule) if is_new else (f"rejected:{one.rule}", said_already.__name__)))
        if is_new:
            seen.add(normalised(one.text))
            yield one
    for rule, (kind, propose) in RULES.items() if caption.parsed else ():
        for rewording in propose(caption, words):
            text = apply_edits(caption.text, rewording.edits)
            reason = refusal(rewording, caption, text, seen)
            counts.add("proposed", rule)
            counts.add(*(("accepted", rule) if reason is None else (f"rejected:{rule}", reason)))
            if reason is None:
                seen.add(normalised(text))
                yield Candidate(kind, rule, text, rewording.edits, rewording.flow)


def _flow_back(candidate: Candidate, flows: Mapping[Flow, int]) -> float:
    """The share of a candidate's like that is kept, so that no word is put in more often than it is taken out."""
    if not candidate.flow:
        return 1.0
    return (flows[candidate.flow[::-1]] + 1) / (flows[candidate.flow] + 1)


def _chosen(candidates: Iterable[Candidate], count: int, rng: Random) -> list[Candidate]:
    """One of each kind in turn, by chance; less of the caption only where nothing says all of it."""
    kinds = defaultdict[str, list[Candidate]](list)
    for candidate in candidates:
        kinds[candidate.kind].append(candidate)
    order = sorted(kinds)
    rng.shuffle(order)
    order.sort(key=lambda kind: LAST.index(kind) if kind in LAST else -1)
    for several in kinds.values():
        rng.shuffle(several)
    chosen: list[Candidate] = []
    while len(chosen) < count and any(kinds.values()):
        chosen += [kinds[kind].pop() for kind in order if kinds[kind]]
    return chosen[:count]
