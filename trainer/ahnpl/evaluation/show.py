"""A report for a person and for a program. Beside each number: the tie rule and the kind of mean."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Final

from ahnpl.evaluation.compare import ALL, Change
from ahnpl.evaluation.metrics import TIE, Accuracy, Measure, Pairs, micro, wilson
from ahnpl.evaluation.run import Report

TIE_RULE: Final = f"a tie (cosines within {TIE:g}) counts as wrong"
MOST_KINDS: Final = 30
"""A table shows no more kinds than this; ``--json`` has all."""

Changes = Mapping[str, Mapping[str, Change]]


def as_table(report: Report, changes: Changes | None = None) -> dict[str, object]:
    """Figures for `negmine.base.console.show`.

    Args:
        changes: against another model, by measure and kind.
    """
    figures: dict[str, object] = {}
    single: dict[str, str] = {}
    for measure in report.measures:
        if list(measure.kinds) == [ALL]:
            single[measure.name + _chance(measure)] = _cell(measure.micro)
        else:
            figures[f"{measure.name}{_chance(measure)}, ties are wrong"] = _measure_rows(measure)
    if single:
        figures["recall, mean of queries, ties are wrong"] = single
    figures |= _alike_rows(report)
    if report.numbers:
        figures["not shares of items"] = {name: f"{value:.3f}" for name, value in report.numbers.items()}
    if report.authors:
        figures["as the benchmark's authors average"] = {k: f"{v:.1%}" for k, v in report.authors.items()}
    if changes:
        figures |= _change_rows(report, changes)
    if report.diagnostics:
        figures["features, means of the first images and captions"] = dict(report.diagnostics.numbers)
    for reason, count in report.dropped.items():
        figures[f"rows left out: {reason}"] = count
    if report.bad:
        figures["images left out"] = len(report.bad)
    figures["rules"] = f"[95 % Wilson]; {TIE_RULE}"
    return figures


def as_figures(report: Report, changes: Changes | None = None) -> dict[str, object]:
    """The same as plain numbers, for ``--json``; what is no number is null."""
    found = report.diagnostics
    return {
        "kinds": _by_kind(report.kinds),
        "micro": _numbers(report.micro) if report.kinds else None,
        "other_image": _by_kind(report.other_image),
        "other_image_micro": _numbers(micro(report.other_image.values())) if report.other_image else None,
        "macro": report.macro if report.kinds else None,
        "pairs": {kind: _pair_numbers(pairs) for kind, pairs in report.pairs.items()},
        "pairs_micro": _pair_numbers(sum(report.pairs.values(), Pairs())) if report.pairs else None,
        "retrieval": report.retrieval,
        "measures": {measure.name: _measure_numbers(measure) for measure in report.measures},
        "authors": _known(report.authors),
        "numbers": _known(report.numbers),
        "changes": {n: {k: _change_numbers(c) for k, c in kinds.items()} for n, kinds in (changes or {}).items()},
        "diagnostics": dict(found.numbers) if found else None,
        "histograms": {name: counts.tolist() for name, counts in found.histograms.items()} if found else None,
        "images": report.images,
        "captions": report.captions,
        "dropped": report.dropped,
        "context_length": report.context_length,
        "bad": report.bad,
        "tie_rule": TIE_RULE,
        "interval": "95 % Wilson",
    }


def _measure_rows(measure: Measure) -> dict[str, str]:
    kinds = measure.by_kind
    rows: dict[str, str] = {}
    if measure.detail and len(kinds) <= MOST_KINDS:
        rows = {kind: _cell(accuracy) for kind, accuracy in kinds.items()}
    elif measure.detail:
        rows[f"{len(kinds)} kinds"] = "each in --json"
    rows["all, mean over items (micro)"] = _cell(measure.micro)
    if measure.detail:
        rows["all, mean over kinds (macro)"] = f"{measure.macro:.1%}"
        low, high = measure.image_interval
        rows["all, mean over images"] = f"{measure.by_image:.1%} [{low:.1%}, {high:.1%}]"
    return rows


def _alike_rows(report: Report) -> dict[str, dict[str, str]]:
    """Where the model cannot tell a false text from a true one: how often, and the accuracy over the rest."""
    rows = {
        measure.name: f"{measure.alike:,} of {measure.micro.total:,} equal; the others {_cell(measure.legible)}"
        for measure in report.measures
        if measure.alike and measure.detail
    }
    name = f"texts that are equal for this model, which reads {report.context_length} tokens: wrong above"
    return {name: rows} if rows else {}


def _chance(measure: Measure) -> str:
    return "" if measure.chance is None else f" (chance {measure.chance:.3g})"


def _cell(accuracy: Accuracy) -> str:
    if not accuracy.total:
        return "no items"
    low, high = accuracy.interval
    ties = f", {accuracy.ties} ties" if accuracy.ties else ""
    return f"{accuracy.share:.1%} [{low:.1%}, {high:.1%}] of {accuracy.total:,}{ties}"


def _change_rows(report: Report, changes: Changes) -> dict[str, dict[str, str]]:
    """A table for each measure of several kinds, and one for all others."""
    tables: dict[str, dict[str, str]] = {}
    whole: dict[str, str] = {}
    for measure in (measure for measure in report.measures if measure.detail):
        kinds = changes[measure.name]
        if 1 < len(measure.kinds) <= MOST_KINDS:
            tables[f"change: {measure.name}"] = {kind: _change_cell(change) for kind, change in kinds.items()}
        else:
            whole[measure.name] = _change_cell(kinds[ALL])
    return {**tables, "change, all items": whole} if whole else tables


def _change_cell(change: Change) -> str:
    if not change.now.total:
        return "no items"
    shares = f"{change.before.share:.1%} to {change.now.share:.1%}"
    return f"{shares}, {change.gained:,} gained, {change.lost:,} lost, p {change.p:.1g}"


def _by_kind(kinds: dict[str, Accuracy]) -> dict[str, object]:
    return {kind: _numbers(accuracy) for kind, accuracy in kinds.items()}


def _measure_numbers(measure: Measure) -> dict[str, object]:
    means = _known({"macro": measure.macro, "by_image": measure.by_image})
    low, high = measure.image_interval
    return {
        "chance": measure.chance,
        "micro": _numbers(measure.micro),
        **means,
        "by_image_low": low,
        "by_image_high": high,
        "kinds": _by_kind(measure.by_kind),
        "alike": measure.alike,
        "legible": _numbers(measure.legible),
    }


def _pair_numbers(pairs: Pairs) -> dict[str, object]:
    low, high = wilson(pairs.group, pairs.total)
    shares = {name: getattr(pairs, name) / pairs.total for name in ("group", "image", "text")}
    return {**shares, "group_low": low, "group_high": high, "total": pairs.total}


def _numbers(accuracy: Accuracy) -> dict[str, object]:
    low, high = accuracy.interval
    share = accuracy.share if accuracy.total else None
    return {
        "accuracy": share,
        "low": low,
        "high": high,
        "correct": accuracy.correct,
        "ties": accuracy.ties,
        "total": accuracy.total,
    }


def _change_numbers(change: Change) -> dict[str, object]:
    return {
        "before": _numbers(change.before),
        "now": _numbers(change.now),
        "gained": change.gained,
        "lost": change.lost,
        **_known({"difference": change.difference, "p": change.p}),
    }


def _known(numbers: Mapping[str, float]) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in numbers.items()}
