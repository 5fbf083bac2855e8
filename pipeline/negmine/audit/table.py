"""The report on a terminal: one line a kind, and one a criterion over all kinds."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from negmine import console
from negmine.audit.blind import ATTACKERS, Accuracy
from negmine.audit.defects import DETECTORS
from negmine.audit.measure import ANY_VISIBLE, COMPOSED, SUSPECTED_TRUE, KindReport, Rate, Report
from negmine.audit.sample import ALL

TITLES = {**{name: one.title for name, one in DETECTORS.items()}, **COMPOSED}
"""What each criterion is called."""


def show(report: Report) -> None:
    """Print the tables to stdout."""
    whole = report.kinds[ALL]
    console.results.print(
        f"[bold]negmine audit[/bold]  {escape(report.source)}: {whole.coverage.negatives:,} negatives of "
        f"{whole.coverage.captions:,} captions, {whole.sampled:,} looked at"
    )
    for table in (kinds_table(report), criteria_table(whole), figures_table(report)):
        console.results.print()
        console.results.print(table)
    for note in report.notes:
        console.results.print(f"[dim]not measured[/dim] {escape(note)}")


def kinds_table(report: Report) -> Table:
    """A line a kind, narrow enough for 80 columns; shares in percent."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    attackers = list(report.kinds[ALL].blind)
    for head in ("kind, %", "n", "covered", "defect", "true?", *attackers):
        table.add_column(head, justify="left" if head == "kind, %" else "right", no_wrap=True)
    for kind, one in report.kinds.items():
        shares = (percent(one.defects[name]) for name in (ANY_VISIBLE, SUSPECTED_TRUE))
        blind = (f"{100 * one.blind[name].accuracy:.1f}" if name in one.blind else "-" for name in attackers)
        covered = f"{100 * one.coverage.at_least['1']:.1f}"
        table.add_row(escape(kind), f"{one.coverage.negatives:,}", covered, *shares, *blind)
    return table


def criteria_table(whole: KindReport) -> Table:
    table = Table("criterion, all kinds", box=None, pad_edge=False, header_style="dim")
    for head in ("hits", "of", "%"):
        table.add_column(head, justify="right")
    for name, rate in whole.defects.items():
        table.add_row(TITLES[name], f"{rate.hits:,}", f"{rate.n:,}", percent(rate))
    return table


def figures_table(report: Report) -> Table:
    """Coverage, diversity, length, blind accuracy, paraphrases."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column(justify="right")
    for name, text in figures(report):
        table.add_row(escape(name), escape(text))
    return table


def figures(report: Report) -> list[tuple[str, str]]:
    """Name and value of what is told of all kinds together, for people."""
    whole = report.kinds[ALL]
    rows = [(f"captions with {k} or more", f"{share:.1%}") for k, share in whole.coverage.at_least.items()]
    rows += [
        ("distinct edits", f"{whole.diversity.edits:,} of {whole.diversity.n:,}"),
        ("entropy of the words put in", f"{whole.diversity.entropy:.2f} bits"),
        ("share of the ten commonest edits", f"{whole.diversity.top_share:.1%}"),
        ("words longer, mean", f"{whole.lengths.mean:+.3f} ({whole.lengths.differing:.1%} differ)"),
    ]
    rows += [(f"blind: {ATTACKERS[name].title}", f"{interval(found)} %") for name, found in whole.blind.items()]
    if report.paraphrases is not None:
        caught, alarms = report.paraphrases.paraphrases, report.paraphrases.negatives
        rows.append(("true paraphrases that signs of truth catch", f"{percent(caught)} % of {caught.n:,}"))
        rows.append(("... and negatives that they suspect", f"{percent(alarms)} % of {alarms.n:,}"))
    rows += [(f"rows skipped: {reason}", f"{n:,}") for reason, n in report.skipped.items()]
    return rows


def percent(rate: Rate) -> str:
    """Two decimals below one percent, one above; ``-`` where nothing was looked at."""
    share = 100 * rate.rate
    return "-" if not rate.n else "0" if not rate.hits else f"{share:.2f}" if share < 1 else f"{share:.1f}"


def interval(found: Accuracy) -> str:
    """Accuracy and half the width of its 95 % interval, in percent."""
    return f"{100 * found.accuracy:.1f} ±{50 * (found.high - found.low):.1f}"
