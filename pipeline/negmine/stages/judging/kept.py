"""The texts that the judge lets through: a phase for the parts of what was judged."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from negmine.base.counts import Counts
from negmine.contract.records import Edit, Rejected, Text, TextRow
from negmine.engine import PartFunction
from negmine.stages.judging.settings import JudgeSettings
from negmine.store import PartRecord, read_part
from negmine.store.rejected import write_rejected
from negmine.store.texts import write_texts


@dataclass(frozen=True)
class KeptPhase:
    """The texts of a part that are kept."""

    settings: JudgeSettings
    texts: Path
    judged: Path
    pairs: tuple[int, ...]
    """In each part."""

    def setup(self) -> PartFunction:
        return partial(_kept_part, self)


def _kept_part(phase: KeptPhase, index: int, folder: Path) -> PartRecord:
    texts, rejected, counts = list[Text](), list[Rejected](), Counts()
    for found in _sorted_out(phase, index):
        if isinstance(found, Text):
            texts.append(found)
        else:
            rejected.append(found)
            counts.add("rejected", found.reason)
    record = write_texts(folder, index, phase.pairs[index], texts)
    files = (*record.files, *write_rejected(folder, index, rejected))
    return replace(record, files=files, counts={**record.counts, **counts})


def _sorted_out(phase: KeptPhase, index: int) -> Iterator[Text | Rejected]:
    rows: list[TextRow] = read_part(phase.texts, index).to_pylist()
    judged = read_part(phase.judged, index, ["still_true", "plausible"]).to_pylist()
    for row, found in zip(rows, judged, strict=True):
        still_true, plausible = found["still_true"], found["plausible"]
        reason = reason_against(phase.settings, row["is_true"], still_true, plausible)
        if reason is not None:
            yield Rejected(None, phase.settings.texts, row["key"], reason, row["text"])
            continue
        edits = tuple(Edit(**edit) for edit in row["edits"])
        score = (still_true if row["is_true"] else 1 - still_true) * plausible
        yield Text(**{**row, "edits": edits, "rule": phase.settings.name, "score": score})


def reason_against(
    settings: JudgeSettings, is_true: bool, still_true: float | None, plausible: float | None
) -> str | None:
    """Why a text is not kept: ``unanswered``, ``still_true``, ``not_true`` or ``implausible``; None where it is."""
    if still_true is None or plausible is None:
        return "unanswered"
    if not is_true and still_true > settings.most_still_true:
        return "still_true"
    if is_true and still_true < settings.least_still_true:
        return "not_true"
    return "implausible" if plausible < settings.least_plausible else None
