"""Captions of one part in, negatives of one part out."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

from negmine.base.counts import Counts
from negmine.base.hashing import hash64
from negmine.contract.records import Negative, apply_edits
from negmine.language.analyse import load_model, parse, read_until
from negmine.language.caption import Caption
from negmine.language.changes import realise
from negmine.language.co_mention import packaged_co_mention, with_pairs
from negmine.language.lexicon import packaged_lexicon
from negmine.language.recognise import why_foreign
from negmine.language.vocabulary import packaged_vocabulary
from negmine.stages.negatives.clusters import packaged_counts
from negmine.stages.negatives.guards import (
    DUPLICATE,
    Case,
    Evidence,
    case_of,
    evidence,
    is_heard,
    refusal,
    text_refusal,
)
from negmine.stages.negatives.offered import Offered, offered_candidates
from negmine.stages.negatives.proposal import Proposal, Words
from negmine.stages.negatives.rules import RULES
from negmine.stages.negatives.select import Candidate, select
from negmine.stages.negatives.settings import ParseSettings
from negmine.stages.negatives.siblings import others_of
from negmine.store import read_part

Row = tuple[str, str, str]
"""Key, image id and caption of a pair."""


@dataclass
class ParseWorker:
    """Makes the negatives of parts; `setup` loads the models once in each process.

    Attributes:
        counts: how often the corpus at hand uses a word; None takes the packaged counts of photo captions.
        together: pairs of concepts that the corpus at hand says of one image, beside the packaged ones.
    """

    settings: ParseSettings
    counts: Mapping[str, int] | None = None
    together: Sequence[tuple[str, str]] = ()
    _nlp: Any = field(default=None, repr=False)  # spaCy's, from `setup` on

    def setup(self) -> None:
        """Load the parser and the word lists.

        Raises:
            UsageError: the spaCy model or the WordNet folder is missing.
        """
        self._nlp = load_model(self.settings.model)
        _ = self.words

    @cached_property
    def words(self) -> Words:
        return load_words(self.settings.wordnet, self.counts, self.together)

    def candidates_of(
        self, rows: Sequence[Row], offered: Offered | None = None
    ) -> tuple[list[list[Candidate]], dict[str, int]]:
        """Candidates of each row of a part that holds all captions of each of its images; see `candidates_of`."""
        if self._nlp is None:
            self.setup()
        captions = parse(self._nlp, (caption for _, _, caption in rows), self.words.vocabulary)
        return candidates_of(rows, captions, self.words, self.settings, offered or {})

    def negatives_of(
        self, rows: Sequence[Row], offered: Offered | None = None
    ) -> tuple[list[Negative], dict[str, int]]:
        """Negatives of a part that holds all captions of each of its images; see `varied_negatives`."""
        found, counts = self.candidates_of(rows, offered)
        negatives, outcome = varied_negatives(rows, found, self.settings)
        return negatives, dict(sorted({**counts, **outcome}.items()))


@contextmanager
def no_collection() -> Iterator[None]:
    """Hold back the collector of reference cycles, which would walk over a part's captions again and again."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def read_rows(pairs: Path, index: int) -> list[Row]:
    """The keys, image ids and captions of a part."""
    table = read_part(pairs, index, ["key", "image_id", "caption"])
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def load_words(
    wordnet: str | None = None,
    counts: Mapping[str, int] | None = None,
    together: Iterable[tuple[str, str]] = (),
) -> Words:
    """The word lists, with the packaged lexicon or one derived from the WordNet in a folder."""
    if wordnet is None:
        lexicon = packaged_lexicon()
    else:
        from negmine.language.wordnet import lexicon_from_wordnet

        lexicon = lexicon_from_wordnet(wordnet)
    counts = packaged_counts() if counts is None else counts
    return Words(packaged_vocabulary(), lexicon, counts, with_pairs(packaged_co_mention(), together))


def candidates_of(
    rows: Sequence[Row],
    captions: Mapping[str, Caption],
    words: Words,
    settings: ParseSettings,
    offered: Offered = MappingProxyType({}),
) -> tuple[list[list[Candidate]], dict[str, int]]:
    """Candidates of each row, in the order of the rows: the rules', and behind them the texts that others offer.

    Args:
        rows: (key, image id, caption), all captions of each image among them.
        captions: each distinct caption, parsed.
        offered: texts of `settings.texts`.

    Returns:
        The candidates, and counts that add up: for every rule and source of texts ``proposed:RULE`` =
        ``accepted:RULE`` + all ``rejected:RULE:GUARD``; ``accepted`` = all ``accepted:RULE``.
    """
    known = {text: evidence(caption, words) for text, caption in captions.items()}
    said: dict[str, dict[str, Evidence]] = {}
    for _, image_id, text in rows:
        said.setdefault(image_id, {})[text] = known[text]
    others = {image_id: others_of(each) for image_id, each in said.items()}
    found, counts = list[list[Candidate]](), Counts()
    for key, image_id, text in rows:
        siblings = others[image_id][text]
        case, seen = case_of(captions[text], siblings, words), set[str]()
        found.append(list(candidates(key, case, settings, seen, counts)))
        if key in offered:
            found[-1] += offered_candidates(offered[key], case, settings.guards, seen, counts)
    counts["accepted"] = sum(map(len, found))
    return found, dict(counts)


def varied_negatives(
    rows: Sequence[Row], found: Sequence[Sequence[Candidate]], settings: ParseSettings
) -> tuple[list[Negative], dict[str, int]]:
    """Negatives of each row, chosen for variety among its candidates.

    Returns:
        The negatives, and counts that add up: ``pairs`` = ``with_negatives`` + all ``none:REASON``; ``accepted`` of
        the candidates = ``negatives`` + ``not_selected``; ``negatives`` = all ``kind:KIND``.
    """
    negatives: list[Negative] = []
    counts = Counts(pairs=len(rows))
    for (key, image_id, text), several in zip(rows, found, strict=True):
        chosen = select(several, settings.per_caption, _generator(settings.seed, key, "select"))
        counts.add_each("kind", (candidate.kind for candidate in chosen))
        counts.update(negatives=len(chosen), not_selected=len(several) - len(chosen))
        counts["with_negatives" if chosen else why_none(text)] += 1
        negatives += [
            Negative(key, image_id, text, c.negative, c.kind, c.rule, c.edits, slot) for slot, c in enumerate(chosen)
        ]
    return negatives, dict(counts)


def why_none(caption: str) -> str:
    """The reason counted for a caption without negatives."""
    if foreign := why_foreign(caption):
        return f"none:{foreign}"
    return "none:no_candidate" if read_until(caption) == len(caption) else "none:long"


def candidates(key: str, case: Case, settings: ParseSettings, seen: set[str], counts: Counts) -> Iterator[Candidate]:
    """Everything the rules propose for a caption that passes the guards; the other captions of its image are evidence.

    Adds to `seen` the texts, and to `counts` what was proposed, rejected and accepted.
    """
    if not case.caption.parsed:
        return
    rng = _generator(settings.seed, key, "propose")
    for rule in settings.rules:
        proposed = accepted = 0
        for proposal in RULES[rule](case.caption, case.words, rng):
            proposed += 1
            candidate = _judged(rule, proposal, case, seen)
            if isinstance(candidate, str):
                counts.add(f"rejected:{rule}", candidate)
            else:
                accepted += 1
                yield candidate
        if proposed:
            counts.add("proposed", rule, proposed)
            counts.add("accepted", rule, accepted)


def _judged(rule: str, proposal: Proposal, case: Case, seen: set[str]) -> Candidate | str:
    """The candidate a proposal becomes, or the guard that refuses it."""
    heard = is_heard(proposal, case)
    reason = refusal(proposal, case, heard)
    if reason is not None:
        return reason
    edits = realise(case.caption, proposal.changes)
    negative = apply_edits(case.caption.text, edits)
    reason = text_refusal(negative, case, heard)
    if reason is not None:
        return reason
    if negative in seen:
        return DUPLICATE
    seen.add(negative)
    return Candidate(rule, negative, edits, proposal.focus, proposal.substitution, proposal.filling)


def _generator(seed: int, key: str, purpose: str) -> Random:
    """The generator of one choice, the same wherever and whenever it is made."""
    return Random(hash64(f"{seed}\0{key}\0{purpose}"))
