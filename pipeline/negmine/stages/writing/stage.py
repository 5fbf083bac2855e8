"""``negmine write``: the captions of ``work/pairs`` in; answers in ``work/answers/NAME``, ``work/texts/NAME`` out.

What is asked of the model is kept as it came, and only what is missing is asked. What follows is a function of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from negmine.contract.records import ANSWERS_FOLDER
from negmine.engine import Engine, run_phase, run_stage
from negmine.llm.answers import Answers
from negmine.llm.asking import Asked, ask
from negmine.stages.writing.settings import WriteSettings
from negmine.stages.writing.tasks import Asking, Writing, writings
from negmine.stages.writing.texts import TextsPhase
from negmine.store import MANIFEST, Manifest, Spec, Store, load_manifest, refuse_other_settings
from negmine.store.rejected import merge_rejected
from negmine.store.texts import texts_stage
from negmine.store.work_folder import Stage, WorkFolder

_BYTES_A_TOKEN: Final = 4


@dataclass(frozen=True)
class Written:
    """What a run asked, all that is answered, and the texts."""

    asked: Asked
    answers: Manifest
    texts: Manifest

    @property
    def failed(self) -> dict[str, int]:
        """Questions without an answer that can be used, by reason, in all runs."""
        return self.answers.counts.under("rejected")


def write(settings: WriteSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Written:
    """Ask what is missing, and make ``work/texts/NAME`` of the answers unless it is there.

    Args:
        overwrite: makes the texts anew; answers are kept.

    Raises:
        UsageError, ResourceError, InputError, InterruptedRun: see `negmine.llm.asking.ask`.
        DamagedError: the texts were written with other settings.
    """
    asked_by = writings(settings)
    with WorkFolder.open(work) as folder:
        pairs, parts = work / Stage.PAIRS, len(folder.pairs.parts)
        spec = Spec(texts_stage(settings.name), _chosen(settings, asked_by), {str(Stage.PAIRS): folder.pairs.digest})
        if not overwrite:  # before anything is asked
            refuse_other_settings(work / spec.stage, spec.stage, spec.settings)
        asking = Asking(pairs, parts, asked_by)
        answers_at = work / ANSWERS_FOLDER / settings.name
        with Answers.open(answers_at, retry_failed=settings.endpoint.retry_failed) as answers:
            asked = ask(asking.batches(), asking.missing(answers), settings.endpoint, answers)
            answers.seal()
        answered = load_manifest(answers_at)
        spec = replace(spec, inputs={**spec.inputs, ANSWERS_FOLDER: answered.digest})
        overwrite = overwrite or _has_other_answers(work / spec.stage, spec)

        def make(store: Store) -> Manifest:
            phase = TextsPhase(settings, pairs, answers_at)
            total = sum(folder.pair_counts)
            run_phase(store, phase, engine, parts, title=f"texts of {settings.name}", unit="pairs", total=total)
            return store.finish([merge_rejected(store)])

        texts = run_stage(work / spec.stage, spec, make, engine.share, overwrite=overwrite)
    return Written(asked, answered, texts)


@dataclass(frozen=True)
class Preview:
    """What pairs would ask.

    Attributes:
        questions: in all.
        tokens_in: that they would make, about: four bytes each.
        tokens_out: of their answers, at most.
        example: the first question, turn by turn.
    """

    questions: int
    tokens_in: int
    tokens_out: int
    example: Sequence[Mapping[str, object]]


def preview(settings: WriteSettings, work: Path) -> Preview:
    """What the pairs of a work folder would ask; nobody is asked."""
    with WorkFolder.open(work) as folder:
        asking = Asking(work / Stage.PAIRS, len(folder.pairs.parts), writings(settings))
        questions, size = 0, 0
        example: Sequence[Mapping[str, object]] = ()
        for one in (question for batch in asking.batches() for question in batch):
            talk = one.task.messages(one.caption, one.text)
            questions += 1
            size += sum(len(str(turn["content"]).encode()) for turn in talk)
            example = example or talk
    written = questions * settings.sampling.most_answer_tokens
    return Preview(questions, size // _BYTES_A_TOKEN, written, example)


def _chosen(settings: WriteSettings, asked_by: list[Writing]) -> dict[str, object]:
    """What the texts depend on: the digest of a task has its model, prompt and parameters."""
    tasks = {writing.prompt.name: writing.questions.task.digest for writing in asked_by}
    return {"model": settings.endpoint.model, "texts": settings.texts, "tasks": tasks}


def _has_other_answers(folder: Path, spec: Spec) -> bool:
    """Whether finished texts differ by nothing but what was answered then, as before --retry-failed."""
    if not (folder / MANIFEST).exists():
        return False
    before = load_manifest(folder).spec
    now = replace(before, inputs={**before.inputs, ANSWERS_FOLDER: spec.inputs[ANSWERS_FOLDER]})
    return before.fingerprint != spec.fingerprint == now.fingerprint
