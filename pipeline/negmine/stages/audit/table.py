"""The report on a terminal: one line a kind, and one a criterion over all kinds."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from negmine.base import console
from negmine.stages.audit.blind import ATTACKERS, Accuracy
from negmine.stages.audit.defects import DETECTORS
from negmine.stages.audit.floors import SUGARCREPE
from negmine.stages.audit.measure import ANY_VISIBLE, COMPOSED, SUSPECTED_TRUE, KindReport, Rate, Report
from negmine.stages.audit.sample import ALL

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
    console.results.print("[dim]floor[/dim] percent of SugarCrepe's negatives, which people have checked")
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
    """A line a criterion: what it is a sign of, and the floor, what it finds in SugarCrepe."""
    table = Table("criterion, all kinds", "sign", box=None, pad_edge=False, header_style="dim")
    for head in ("hits", "of", "%", "floor"):
        table.add_column(head, justify="right")
    for name, rate in whole.defects.items():
        table.add_row(TITLES[name], sign(name), f"{rate.hits:,}", f"{rate.n:,}", percent(rate), floor(name))
    return table


def sign(name: str) -> str:
    """What a hit of a detector counts as: possibly still true, a defect that CLIP can see, both or neither."""
    one = DETECTORS.get(name)
    return " ".join(word for word, counts in (("true?", one.true), ("text", one.visible)) if counts) if one else ""


def floor(name: str) -> str:
    """Percent of SugarCrepe's negatives that a criterion finds, where it was measured."""
    return f"{SUGARCREPE[name]:.2g}" if name in SUGARCREPE else ""


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
    if len(report.by_length) > 1:
        rows += [
            (f"captions of {name} words: with one or more", f"{one.rate:.1%} of {one.n:,}")
            for name, one in report.by_length.items()
        ]
    rows += [
        ("distinct edits", f"{whole.diversity.edits:,} of {whole.diversity.n:,}"),
        ("entropy of the words put in", f"{whole.diversity.entropy:.2f} bits"),
        ("share of the ten commonest edits", f"{whole.diversity.top_share:.1%}"),
        ("as varied as so many edits, all as frequent", f"{whole.diversity.effective_edits:,.0f}"),
        ("evenness of kinds", f"{report.mix.evenness:.2f} of 1, {report.mix.kinds} kinds"),
        ("kinds among the negatives of a caption, mean", f"{report.mix.kinds_a_caption:.2f}"),
        ("captions whose negatives replace nouns only", f"{report.mix.nouns_only:.1%} of {report.mix.captions:,}"),
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
