"""The report as one HTML file: no script, nothing from the network, every text escaped, edits marked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from html import escape
from typing import Final

from negmine.base.html import before_after, compared, document
from negmine.stages.audit.blind import ATTACKERS, Accuracy
from negmine.stages.audit.differences import Judged
from negmine.stages.audit.measure import KindReport, Rate, Report
from negmine.stages.audit.sample import ALL
from negmine.stages.audit.table import TITLES, figures, floor, percent, sign

EXAMPLES: Final = 10
"""Of each kind and of each criterion."""
LONGEST: Final = 400
"""Characters shown of a text."""

_STYLE: Final = """
details { border-top: 1px solid var(--line); padding: .4rem 0; }
summary span { color: var(--soft); margin-left: .5rem; }
ol { margin: .5rem 0 1rem; padding-left: 1.6rem; } li { margin: .45rem 0; } li div { overflow-wrap: anywhere; }
"""

TABLES_STYLE: Final = """
.scale { position: relative; display: inline-block; width: 9rem; height: .6rem; margin-left: .5rem;
  background: var(--card); border: 1px solid var(--line); }
.scale i { position: absolute; top: 0; bottom: 0; background: var(--bar); opacity: .75; }
.scale b { position: absolute; top: -3px; bottom: -3px; left: 50%; width: 1px; background: var(--soft); }
"""
"""What `blind_table` and `defect_table` look like."""


def page(report: Report) -> str:
    """The whole document."""
    whole = report.kinds[ALL]
    title = f"Audit of {report.source}"
    lead = (
        f"{whole.coverage.negatives:,} negatives of {whole.coverage.captions:,} captions; "
        f"{whole.sampled:,} looked at (seed {report.seed})."
    )
    body = [
        f"<h1>{escape(title)}</h1><p class=soft>{escape(lead)}</p>",
        "<h2>Over all kinds</h2>" + _plain_table(figures(report)),
        "<h2>Told from captions without an image</h2>",
        BLIND,
        blind_table(report.kinds),
        "<h2>Defects, percent of what was looked at</h2>",
        DEFECTS,
        defect_table(report.kinds),
        "<h2>Examples by kind</h2>",
        *(_of_kind(report, kind) for kind in report.kinds if kind != ALL),
        "<h2>Examples by criterion</h2>",
        *(_of_criterion(report, name) for name in TITLES if name in report.verdicts),
        *(f"<p class=soft>Not measured: {escape(note)}.</p>" for note in report.notes),
    ]
    return document(title, "<main>" + "\n".join(body) + "</main>", style=_STYLE + TABLES_STYLE)


BLIND: Final = (
    "<p>Accuracy of models that read both texts and see no image, on images they were not trained on, with its 95 % "
    "interval. 50 is chance; the further from it, the more a model can learn without looking.</p>"
)
DEFECTS: Final = (
    "<p>Signs found by rule in the texts: that the negative may still be true of the image (true?), or that its "
    "text is broken where CLIP can see it (text). The floor is what the same rule finds in SugarCrepe, in percent; "
    "people have checked those negatives, so it is about how often the rule is wrong. Words in sibling captions are a "
    "suspicion, no proof.</p>"
)


# --- tables ----------------------------------------------------------------------------------------------------------


def _plain_table(rows: Iterable[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}</td><td>{escape(text)}</td></tr>" for name, text in rows)
    return f"<div class=wide tabindex=0><table>{cells}</table></div>"


def _by_kind(
    kinds: Mapping[str, KindReport], heads: Sequence[str], cells: Callable[[KindReport], Iterable[str]]
) -> str:
    """A table with a row a kind; `heads` and `cells` are HTML."""
    rows = "".join(
        f"<tr{' class=all' if kind == ALL else ''}><td>{escape(kind)}</td><td>{one.sampled:,}</td>"
        + "".join(f"<td>{cell}</td>" for cell in cells(one))
        + "</tr>"
        for kind, one in kinds.items()
    )
    head = "".join(f"<th>{name}</th>" for name in ("kind", "n", *heads))
    return f"<div class=wide tabindex=0><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"


def blind_table(kinds: Mapping[str, KindReport]) -> str:
    """Accuracy without an image, a row a kind."""
    names = list(kinds[ALL].blind)
    if not names:
        return "<p class=soft>Not measured.</p>"
    heads = [escape(ATTACKERS[name].title.split(",")[0]) for name in names]
    return _by_kind(kinds, heads, lambda one: [_scale(one.blind[n]) if n in one.blind else "-" for n in names])


def _scale(found: Accuracy) -> str:
    """The number, and its interval on a scale from 0 to 100 with chance in the middle."""
    left, width = 100 * found.low, max(100 * (found.high - found.low), 1.0)
    bar = f'<span class=scale><i style="left:{left:.1f}%;width:{width:.1f}%"></i><b></b></span>'
    return f"{100 * found.accuracy:.1f}{bar}"


def defect_table(kinds: Mapping[str, KindReport]) -> str:
    """Share of negatives with each defect, a column a kind, and the detector's floor."""
    names = [name for name in TITLES if name in kinds[ALL].defects]
    head = "".join(f"<th>{escape(kind)}</th>" for kind in kinds)
    rows = "".join(
        f"<tr><td>{escape(TITLES[name])}</td><td>{sign(name)}</td>"
        f"{''.join(_heat(one.defects[name]) for one in kinds.values())}<td>{floor(name)}</td></tr>"
        for name in names
    )
    top = f"<tr><td></td><th>sign</th>{head}<th>floor</th></tr>"
    return f"<div class=wide tabindex=0><table><thead>{top}</thead><tbody>{rows}</tbody></table></div>"


def _heat(rate: Rate) -> str:
    """A cell that is redder the higher the rate; full red at 20 %."""
    return f'<td style="background:rgba(214,64,50,{min(rate.rate * 5, 1) * 0.55:.2f})">{percent(rate)}</td>'


# --- examples --------------------------------------------------------------------------------------------------------


def _of_kind(report: Report, kind: str) -> str:
    found = [item for item in report.items if item.kind == kind]
    count = f"{report.kinds[kind].coverage.negatives:,} negatives"
    return _examples(kind, count, found)


def _of_criterion(report: Report, name: str) -> str:
    found = [item for item, verdict in zip(report.items, report.verdicts[name], strict=True) if verdict]
    return _examples(TITLES[name], f"{len(found):,} found", found) if found else ""


def _examples(title: str, count: str, items: Sequence[Judged]) -> str:
    """Some of the items, spread as by lot: the smallest hashes."""
    chosen = sorted(items, key=lambda i: hashlib.blake2b(f"{i.key}\n{i.negative}".encode()).digest())[:EXAMPLES]
    rows = "".join(_example(item) for item in chosen)
    return f"<details><summary>{escape(title)}<span>{escape(count)}</span></summary><ol>{rows}</ol></details>"


def _example(item: Judged) -> str:
    before, after = before_after(compared(item.caption[:LONGEST], item.negative[:LONGEST]))
    return f"<li><div>{before}</div><div>{after}</div><code>{escape(item.kind)} · {escape(item.key[:80])}</code></li>"
