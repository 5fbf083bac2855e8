"""A report for a person and for a program. Beside each number: the tie rule and the kind of mean."""

from __future__ import annotations

from typing import Any

from ahnpl.evaluate.metrics import TIE, Accuracy, micro
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
        "retrieval": report.retrieval,
        "images": report.images,
        "captions": report.captions,
        "bad": report.bad,
        "tie_rule": TIE_RULE,
        "interval": "95 % Wilson",
    }


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
