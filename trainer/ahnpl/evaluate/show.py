"""A report for a person and for a program. Beside each number: the tie rule and the kind of mean."""

from __future__ import annotations

from typing import Any

from ahnpl.evaluate.metrics import TIE, Accuracy, Pairs, micro, wilson
from ahnpl.evaluate.run import Report

TIE_RULE = f"a tie (cosines within {TIE:g}) counts as wrong"


def as_table(report: Report) -> dict[str, Any]:
    """Figures for `negmine.console.show`."""
    figures: dict[str, Any] = {}
    if report.kinds:
        rows = {kind: _cell(accuracy) for kind, accuracy in report.kinds.items()}
        rows["all, mean over items (micro)"] = _cell(report.micro)
        rows["all, mean over kinds (macro)"] = f"{report.macro:.1%}"
        if report.other_picture:
            rows["all (micro), judged with another picture"] = _cell(micro(report.other_picture.values()))
        figures["accuracy [95 % Wilson], ties are wrong"] = rows
    if report.pairs:
        every = {**report.pairs, "all, mean over pairs (micro)": sum(report.pairs.values(), Pairs())}
        heading = "2x2 score: group / image / text (chance 1/6, 1/4, 1/4), ties are wrong"
        figures[heading] = {kind: _pair_cell(pairs) for kind, pairs in every.items()}
    if report.retrieval:
        rows = {name: f"{value:.1%}" for name, value in report.retrieval.items()}
        figures["recall, mean of queries, ties are wrong"] = rows
    if report.bad:
        figures["pictures left out"] = len(report.bad)
    return figures


def as_figures(report: Report) -> dict[str, Any]:
    """The same as plain numbers, for ``--json``."""
    return {
        "kinds": _by_kind(report.kinds),
        "micro": _numbers(report.micro) if report.kinds else None,
        "other_picture": _by_kind(report.other_picture),
        "other_picture_micro": _numbers(micro(report.other_picture.values())) if report.other_picture else None,
        "macro": report.macro if report.kinds else None,
        "pairs": {kind: _pair_numbers(pairs) for kind, pairs in report.pairs.items()},
        "pairs_micro": _pair_numbers(sum(report.pairs.values(), Pairs())) if report.pairs else None,
        "retrieval": report.retrieval,
        "images": report.images,
        "captions": report.captions,
        "bad": report.bad,
        "tie_rule": TIE_RULE,
        "interval": "95 % Wilson",
    }


def _pair_cell(pairs: Pairs) -> str:
    low, high = wilson(pairs.group, pairs.total)
    shares = [pairs.group / pairs.total, pairs.image / pairs.total, pairs.text / pairs.total]
    return f"{shares[0]:.1%} [{low:.1%}, {high:.1%}] / {shares[1]:.1%} / {shares[2]:.1%} of {pairs.total:,}"


def _pair_numbers(pairs: Pairs) -> dict[str, Any]:
    low, high = wilson(pairs.group, pairs.total)
    shares = {name: getattr(pairs, name) / pairs.total for name in ("group", "image", "text")}
    return {**shares, "group_low": low, "group_high": high, "total": pairs.total}


def _cell(accuracy: Accuracy) -> str:
    low, high = accuracy.interval
    return f"{accuracy.share:.1%} [{low:.1%}, {high:.1%}] of {accuracy.total:,}, {accuracy.ties} ties"


def _by_kind(kinds: dict[str, Accuracy]) -> dict[str, Any]:
    return {kind: _numbers(accuracy) for kind, accuracy in kinds.items()}


def _numbers(accuracy: Accuracy) -> dict[str, Any]:
    low, high = accuracy.interval
    return {
        "accuracy": accuracy.share, "low": low, "high": high, "correct": accuracy.correct, "ties": accuracy.ties,
        "total": accuracy.total,
    }  # fmt: skip
