"""What is said of texts that a model judged."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import Summary
from negmine.contract.records import JUDGED_FOLDER
from negmine.llm.asking import spent
from negmine.llm.verdicts import PLAUSIBLE, STILL_TRUE
from negmine.stages.judging.settings import JudgeSettings
from negmine.stages.judging.stage import JudgedTexts
from negmine.stages.judging.verdicts import GROUPS
from negmine.store.options import work_option
from negmine.store.texts import texts_stage


def summary(found: JudgedTexts, settings: JudgeSettings, work: Path) -> Summary:
    """The figures of a finished run, and what to do with the texts."""
    judged, kept, answers = found.judged.counts, found.kept.counts, found.answers.counts
    means = {f"{name} {group}": judged.mean(f"{name} {group}") for name in (STILL_TRUE, PLAUSIBLE) for group in GROUPS}
    figures = {
        "texts": judged["texts"],
        "asked in this run": found.asked.counts["asked"],
        "tries again": found.asked.counts["retries"],
        **spent(answers, settings.endpoint.budget),
        "answers of no use": answers.under("rejected"),
        "mean probability": {name: round(mean, 3) for name, mean in means.items() if mean is not None},
        "kept": kept["texts"],
        "kept, offered as true": kept["true"],
        "refused": kept.under("rejected"),
    }
    outputs = {
        "probabilities": str(work / JUDGED_FOLDER / settings.name),
        "written to": str(work / texts_stage(settings.name)),
    }
    step = f"negmine parse PAIRS --preset imported --texts {settings.name}{work_option(work)}"
    return Summary("negmine judge", "done", figures, outputs, (step,))
