"""What the template is told of a work folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup

from negmine.base.addresses import readable
from negmine.outputs.report.as_text import flattened
from negmine.outputs.report.charts import draw_histogram
from negmine.outputs.report.measure import Measures
from negmine.outputs.report.read import LOOKED_AT, Example, SampledFolder
from negmine.stages.audit.measure import KindReport
from negmine.stages.audit.page import BLIND, DEFECTS, blind_table, defect_table
from negmine.stages.audit.sample import ALL
from negmine.store import Manifest

FILES: Final = 100
"""Most files listed of a stage."""


@dataclass(frozen=True)
class Audited:
    """What ``negmine audit`` left in the work folder.

    Attributes:
        notes: what was not measured.
    """

    kinds: Mapping[str, KindReport]
    notes: Sequence[str]


@dataclass(frozen=True)
class WorkView:
    """A work folder as it is shown.

    Attributes:
        roots: where the images of each stage lie.
        audit: None where the negatives were not audited.
    """

    work: SampledFolder
    examples: Sequence[Example]
    measures: Measures
    audit: Audited | None
    roots: Mapping[str, str | None]
    seed: int


def work_context(view: WorkView) -> dict[str, object]:
    """Variables of the template."""
    work, measures = view.work, view.measures
    pairs = work.stages["pairs"].counts["pairs"]
    shown = f"{len(view.examples):,} of {pairs:,} pairs are shown, drawn with seed {view.seed}"
    shown += ", some for their kind." if measures.kinds else "."
    all_of_them = work.pairs_looked_at == pairs
    return {
        "work": work,
        "lead": shown,
        "notes": [f"{name.capitalize()} are not finished and not shown." for name in work.unfinished] + _stale(view),
        "tiles": list(_tiles(view)),
        "examples": view.examples,
        "mined": "neighbours" in work.stages,
        "negatives_made": "negatives" in work.stages,
        "kinds": measures.kinds,
        "scored": any(kind.quantiles for kind in measures.kinds),
        "rules": measures.rules,
        "guards": sorted({guard for rule in measures.rules for guard in rule.refused}),
        "refused": measures.refused,
        "charts": [{"data": one, "svg": draw_histogram(one)} for one in measures.histograms if one.series],
        "looked_at": "Lengths and scores are those of all pairs."
        if all_of_them
        else f"Lengths and scores are those of the first {work.pairs_looked_at:,} pairs, which are a random sample; "
        f"at least {LOOKED_AT:,} are looked at.",
        "audit": _audit(view.audit) if view.audit else None,
        "work_option": "" if str(work.path) == "work" else f" --work {readable(str(work.path))}",
        "stages": [_stage(name, manifest) for name, manifest in work.stages.items()],
    }


def _stale(view: WorkView) -> list[str]:
    if view.audit is None or "negatives" not in view.work.stages:
        return []
    now, then = view.work.stages["negatives"].counts["negatives"], view.audit.kinds[ALL].coverage.negatives
    return (
        []
        if now == then
        else [f"The audit is of {then:,} negatives, there are {now:,} now: audit them again, with --overwrite."]
    )


def _tiles(view: WorkView) -> Iterator[dict[str, str]]:
    """Name, value and a remark on each."""
    stages = view.work.stages
    pairs = stages["pairs"].counts["pairs"]
    rejected = stages["pairs"].counts.total_of("rejected")
    yield {"name": "pairs", "value": f"{pairs:,}", "more": f"{rejected:,} rows rejected"}
    if "negatives" in stages:
        counts = stages["negatives"].counts
        covered = pairs - counts.total_of("none")
        yield {
            "name": "captions with a negative",
            "value": f"{covered / max(pairs, 1):.1%}",
            "more": f"{covered:,} of {pairs:,}",
        }
        kinds = f"{len(view.measures.kinds)} kinds, {counts['negatives'] / max(covered, 1):.1f} a caption"
        yield {"name": "negatives", "value": f"{counts['negatives']:,}", "more": kinds}
    if "neighbours" in stages:
        counts = stages["neighbours"].counts
        more = f"of {counts['candidates']:,} candidates, {counts['kept']:,} kept"
        yield {"name": "neighbours selected", "value": f"{counts['selected']:,}", "more": more}
    if "figures" in stages:
        counts = stages["figures"].counts
        more = f"{counts['members']:,} images"
        yield {"name": "groups of figures", "value": f"{counts['groups']:,}", "more": more}
    if view.audit is not None and (told := view.audit.kinds[ALL].blind):
        name, found = max(told.items(), key=lambda item: abs(item[1].accuracy - 0.5))
        more = f"{found.low:.1%} to {found.high:.1%}, by {name}; chance is 50%"
        yield {"name": "told without an image", "value": f"{found.accuracy:.1%}", "more": more}


def _audit(audit: Audited) -> dict[str, object]:
    return {
        "blind_text": Markup(BLIND),
        "blind": Markup(blind_table(audit.kinds)),
        "defects_text": Markup(DEFECTS),
        "defects": Markup(defect_table(audit.kinds)),
        "notes": audit.notes,
    }


def _stage(name: str, manifest: Manifest) -> dict[str, object]:
    """A manifest for people; where images lie (its context) is nobody's business but the maker's."""
    listed = manifest.files
    return {
        "name": name,
        "told": f"{counted(len(manifest.parts), 'part')}, {counted(len(listed), 'file')}, "
        f"{sum(file.bytes for file in listed) / 1e6:,.1f} MB; content {manifest.digest[:16]}, "
        f"settings and inputs {manifest.spec.fingerprint[:16]}",
        "tables": [
            ("settings", list(flattened(manifest.spec.settings))),
            ("inputs", list(flattened(manifest.spec.inputs))),
            ("packages", list(flattened(manifest.spec.packages))),
            ("counts", [(key, f"{value:,}") for key, value in manifest.counts.items()]),
            (
                "files",
                [(file.file, f"{file.rows:,} rows, {file.bytes:,} bytes, {file.sha256}") for file in listed[:FILES]],
            ),
        ],
    }


def counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
