"""What is said of texts that a model wrote."""

from __future__ import annotations

from pathlib import Path

from negmine.base.console import Summary
from negmine.contract.records import ANSWERS_FOLDER
from negmine.llm.asking import spent
from negmine.stages.writing.settings import WriteSettings
from negmine.stages.writing.stage import Preview, Written
from negmine.store.options import work_option
from negmine.store.texts import texts_stage


def summary(written: Written, settings: WriteSettings, work: Path) -> Summary:
    """The figures of a finished run, and what to do with the texts."""
    counts, answers, asked = written.texts.counts, written.answers.counts, written.asked
    figures = {
        "questions": counts["questions"],
        "answered": counts["questions"] - counts["unanswered"],
        "asked in this run": asked.counts["asked"],
        "tries again": asked.counts["retries"],
        **({"tokens/s": round(asked.tokens_a_second, 1)} if asked.seconds else {}),
        **spent(answers, settings.endpoint.budget),
        "answers of no use": written.failed,
        "answers by": answers.under("form"),
        "texts": counts["texts"],
        "captions with one": counts["with_texts"],
        "offered as true": counts["true"],
        "by kind": counts.under("kind"),
        "texts refused": counts.under("rejected"),
    }
    here, name = work_option(work), settings.name
    outputs = {"answers": str(work / ANSWERS_FOLDER / name), "written to": str(work / texts_stage(name))}
    steps = [f"negmine parse PAIRS --preset imported --texts {name}{here}"]
    if written.failed:
        steps.insert(0, "the same command with --retry-failed, which asks again what failed")
    return Summary("negmine write", "done", figures, outputs, tuple(steps))


def previewed(preview: Preview, settings: WriteSettings) -> Summary:
    """What would be asked, and the first question in full."""
    cost = settings.endpoint.budget.cost(preview.tokens_in, preview.tokens_out)
    figures = {
        "questions": preview.questions,
        "tokens read, about": preview.tokens_in,
        "tokens written, at most": preview.tokens_out,
        **({"money, at most about": round(cost, 4)} if cost else {}),
    }
    examples = {f"{n} {turn['role']}": str(turn["content"]) for n, turn in enumerate(preview.example, 1)}
    return Summary("negmine write", "", figures, examples=examples)
