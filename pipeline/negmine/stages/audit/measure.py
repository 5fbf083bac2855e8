"""From a sample of negatives to a report: every measure by kind and over all, each with the number it rests on."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np

from negmine.base.documents import Document
from negmine.language.difference import tokens
from negmine.stages.audit.blind import Accuracy, Margins, accuracy
from negmine.stages.audit.defects import DETECTORS, Verdicts, any_visible, suspected_true
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.floors import SUGARCREPE
from negmine.stages.audit.judges import Answer
from negmine.stages.audit.sample import ALL, Coverage, Sample
from negmine.stages.audit.wording import replaces_nouns_only

VERSION: Final = 4
ANY_VISIBLE: Final = "any_visible"
SUSPECTED_TRUE: Final = "suspected_true"
COMPOSED: Final = {
    ANY_VISIBLE: "any defect that CLIP can see",
    SUSPECTED_TRUE: "possibly still true (any sign of it)",
}
"""Titles of what is composed of several detectors."""
TOP: Final = 10


@dataclass(frozen=True)
class Rate:
    """Hits among n that were looked at; rate 0 to 1."""

    n: int
    hits: int

    @property
    def rate(self) -> float:
        return self.hits / self.n if self.n else 0.0


@dataclass(frozen=True)
class Diversity:
    """How varied the edits are.

    Attributes:
        n: negatives looked at.
        edits: distinct edits (what was there, what is there now).
        entropy: of the words that were put in, bits.
        top_share: share of the ten commonest edits, 0 to 1.
        effective_edits: as many edits, all as frequent, would be as varied (two to the entropy of the edits).
    """

    n: int
    edits: int
    entropy: float
    top_share: float
    effective_edits: float


@dataclass(frozen=True)
class Mix:
    """How evenly the negatives are spread over kinds and words, over all kinds together.

    Attributes:
        kinds: number of kinds.
        evenness: entropy of the kinds over its largest value: 1 if all are as frequent, 0 if there is one alone.
        captions: those looked at, each with all its negatives.
        nouns_only: share of them, 0 to 1, of whose negatives every one replaces nouns by nouns and nothing else.
        kinds_a_caption: mean number of kinds among a caption's negatives.
    """

    kinds: int
    evenness: float
    captions: int
    nouns_only: float
    kinds_a_caption: float


@dataclass(frozen=True)
class Lengths:
    """Words of the negative less those of the caption: mean, and share of pairs where they differ."""

    n: int
    mean: float
    differing: float


@dataclass(frozen=True)
class KindReport:
    """All measures of one kind, or of all kinds together."""

    coverage: Coverage
    sampled: int
    defects: Mapping[str, Rate]
    diversity: Diversity
    lengths: Lengths
    blind: Mapping[str, Accuracy]


@dataclass(frozen=True)
class Paraphrases:
    """True rephrasings (SugarCrepe++'s ``caption2``) taken for negatives: those found to be still true are caught."""

    paraphrases: Rate
    negatives: Rate


@dataclass(frozen=True)
class Report:
    """What an audit found.

    Attributes:
        kinds: report by kind; ``all`` is last.
        by_length: captions by their words (``1-10`` ...), and the share of them with a negative.
        verdicts: of each detector on each item, for examples.
        notes: what was not measured, and why.
    """

    source: str
    seed: int
    rows: int
    skipped: Mapping[str, int]
    kinds: Mapping[str, KindReport]
    mix: Mix
    by_length: Mapping[str, Rate]
    paraphrases: Paraphrases | None
    notes: tuple[str, ...]
    items: tuple[Judged, ...]
    verdicts: Mapping[str, Verdicts]


def make_report(
    source: str, sample: Sample, seed: int, answers: Mapping[str, Answer], notes: Sequence[str] = ()
) -> Report:
    """Put together what the judges said of a sample.

    Args:
        source: its name.
        answers: by the judges' names.
        notes: what was not measured, and why.
    """
    verdicts: dict[str, Verdicts] = {name: said["verdicts"] for name, said in answers.items() if "verdicts" in said}
    verdicts |= {ANY_VISIBLE: any_visible(verdicts), SUSPECTED_TRUE: suspected_true(verdicts)}
    margins = {name: np.array(said["margins"], float) for name, said in answers.items() if "margins" in said}
    kinds = {kind: _report(kind, sample, verdicts, margins) for kind in sample.coverage}
    paraphrases = _paraphrases(sample.items, verdicts, answers)
    by_length = {name: Rate(captions, covered) for name, (captions, covered) in sample.by_length.items()}
    return Report(
        source,
        seed,
        sample.rows,
        sample.skipped,
        kinds,
        mix(sample),
        by_length,
        paraphrases,
        tuple(notes),
        sample.items,
        verdicts,
    )


def _report(kind: str, sample: Sample, verdicts: Mapping[str, Verdicts], margins: Mapping[str, Margins]) -> KindReport:
    chosen = [i for i, item in enumerate(sample.items) if kind in (ALL, item.kind)]
    items = [sample.items[i] for i in chosen]
    images = [item.image_id for item in items]
    return KindReport(
        sample.coverage[kind],
        len(items),
        {name: _rate(several[i] for i in chosen) for name, several in verdicts.items()},
        diversity(items),
        lengths(items),
        {name: accuracy(values[chosen], images) for name, values in margins.items()} if items else {},
    )


def _rate(verdicts: Iterable[bool | None]) -> Rate:
    known = [verdict for verdict in verdicts if verdict is not None]
    return Rate(len(known), sum(known))


def diversity(items: Sequence[Judged]) -> Diversity:
    """Distinct edits, entropy of the words put in (those that the caption does not have at that place), top ten."""
    edits = Counter(tuple((change.old, change.new) for change in item.changes) for item in items)
    words = Counter(word for item in items for change in item.changes for word in change.new)
    top = sum(n for _, n in edits.most_common(TOP))
    return Diversity(
        len(items),
        len(edits),
        _entropy(words),
        top / len(items) if items else 0.0,
        2 ** _entropy(edits) if items else 0.0,
    )


def mix(sample: Sample) -> Mix:
    """Evenness over all negatives of the source; the other shares over the captions that were looked at."""
    counts = {kind: one.negatives for kind, one in sample.coverage.items() if kind != ALL}
    by_caption = defaultdict[str, list[Judged]](list)
    for item in sample.items:
        by_caption[item.key].append(item)
    several, number = list(by_caption.values()), max(len(by_caption), 1)
    return Mix(
        len(counts),
        _entropy(counts) / math.log2(len(counts)) if len(counts) > 1 else 0.0,
        len(several),
        sum(all(map(replaces_nouns_only, items)) for items in several) / number,
        sum(len({item.kind for item in items}) for items in several) / number,
    )


K = TypeVar("K")


def _entropy(counts: Mapping[K, int]) -> float:
    """Shannon entropy, bits."""
    share = np.array(list(counts.values()), float)
    share /= max(share.sum(), 1)
    return float(-(share * np.log2(share)).sum()) + 0.0


def lengths(items: Sequence[Judged]) -> Lengths:
    gaps = np.array([len(tokens(item.negative)) - len(tokens(item.caption)) for item in items])
    return Lengths(len(items), float(gaps.mean()), float((gaps != 0).mean())) if items else Lengths(0, 0.0, 0.0)


def _paraphrases(
    items: Sequence[Judged], verdicts: Mapping[str, Verdicts], answers: Mapping[str, Answer]
) -> Paraphrases | None:
    """How many paraphrases the signs of truth catch, where the source has them."""
    rows = [i for i, item in enumerate(items) if item.paraphrase]
    if not rows:
        return None
    found = {name: answers[name]["paraphrases"] for name in verdicts if name in DETECTORS and DETECTORS[name].true}
    suspected = verdicts[SUSPECTED_TRUE]
    return Paraphrases(_rate(suspected_true(found)), _rate(suspected[row] for row in rows))


# --- as data ---------------------------------------------------------------------------------------------------------


def to_json(report: Report) -> dict[str, object]:
    """The report as plain data: ``kinds -> KIND -> coverage, defects, diversity, lengths, blind``.

    ``floors`` are the rates of the same detectors on SugarCrepe, 0 to 1; ``still_true`` names the detectors whose
    hits count as possibly still true, ``visible`` those that count as a defect that CLIP can see.
    """
    return {
        "version": VERSION,
        "source": report.source,
        "seed": report.seed,
        "rows": report.rows,
        "skipped": dict(report.skipped),
        "kinds": {kind: _kind_json(one) for kind, one in report.kinds.items()},
        "mix": _rounded(vars(report.mix)),
        "by_length": {name: _rate_json(rate) for name, rate in report.by_length.items()},
        "floors": {name: round(SUGARCREPE[name] / 100, 6) for name in report.verdicts if name in SUGARCREPE},
        "still_true": [name for name in report.verdicts if name in DETECTORS and DETECTORS[name].true],
        "visible": [name for name in report.verdicts if name in DETECTORS and DETECTORS[name].visible],
        "paraphrases": None
        if report.paraphrases is None
        else {name: _rate_json(rate) for name, rate in vars(report.paraphrases).items()},
        "notes": list(report.notes),
    }


def _kind_json(one: KindReport) -> dict[str, object]:
    return {
        "captions": one.coverage.captions,
        "negatives": one.coverage.negatives,
        "covered": {f"at_least_{k}": round(share, 6) for k, share in one.coverage.at_least.items()},
        "sampled": one.sampled,
        "defects": {name: _rate_json(rate) for name, rate in one.defects.items()},
        "diversity": _rounded(vars(one.diversity)),
        "lengths": _rounded(vars(one.lengths)),
        "blind": {name: _rounded(vars(found)) for name, found in one.blind.items()},
    }


def _rate_json(rate: Rate) -> dict[str, float]:
    return {"n": rate.n, "hits": rate.hits, "rate": round(rate.rate, 6)}


def _rounded(values: Mapping[str, object]) -> dict[str, object]:
    return {name: round(value, 6) if isinstance(value, float) else value for name, value in values.items()}


def kinds_from_json(body: Document) -> dict[str, KindReport]:
    """The kinds of a report as `to_json` wrote them.

    Raises:
        KeyError, TypeError, AttributeError: it wrote something else.
    """
    return {kind: _kind_from_json(one) for kind, one in body["kinds"].items()}


def _kind_from_json(one: Document) -> KindReport:
    covered = {name.removeprefix("at_least_"): share for name, share in one["covered"].items()}
    return KindReport(
        Coverage(one["captions"], one["negatives"], covered),
        one["sampled"],
        {name: Rate(rate["n"], rate["hits"]) for name, rate in one["defects"].items()},
        Diversity(**one["diversity"]),
        Lengths(**one["lengths"]),
        {name: Accuracy(**found) for name, found in one["blind"].items()},
    )
