"""``negmine judge``: ``work/texts/NAME`` in; what a model says of them in ``work/judged/NEW``, the good ones in
``work/texts/NEW``.

Answers are kept in ``work/answers/NEW`` as those to ``negmine write``; with other bounds nothing is asked again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from negmine.base.errors import UsageError
from negmine.contract.records import ANSWERS_FOLDER, JUDGED_FOLDER
from negmine.engine import Engine, Phase, run_phase, run_stage
from negmine.llm.answers import Answers
from negmine.llm.asking import Asked, ask
from negmine.stages.judging.kept import KeptPhase
from negmine.stages.judging.settings import JudgeSettings
from negmine.stages.judging.verdicts import JudgedPhase, Judging
from negmine.store import MANIFEST, Manifest, Spec, Store, is_other, load_manifest
from negmine.store.rejected import merge_rejected
from negmine.store.texts import texts_stage, texts_there
from negmine.store.work_folder import Stage, WorkFolder


@dataclass(frozen=True)
class JudgedTexts:
    """What a run asked, all that is answered, what it says, and the texts that are kept."""

    asked: Asked
    answers: Manifest
    judged: Manifest
    kept: Manifest


def judge(settings: JudgeSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> JudgedTexts:
    """Ask what is missing, and make ``work/judged/NEW`` and ``work/texts/NEW`` of the answers.

    Raises:
        UsageError: there are no such texts, or no pictures to show.
        DamagedError: another command's texts have this name.
        UsageError, ResourceError, InputError, InterruptedRun: see `negmine.llm.asking.ask`.
    """
    source = texts_stage(settings.texts)
    if settings.texts not in texts_there(work):
        raise UsageError(
            f"there are no texts {settings.texts}",
            where=str(work),
            fix=f"there are: {', '.join(texts_there(work)) or 'none; negmine import or negmine write makes some'}",
        )
    with WorkFolder.open(work, [source]) as folder:
        if settings.pictures and folder.image_root is None:
            raise UsageError("there are no pictures to show", where=str(work), fix="read the pairs with --images")
        parts, images = len(folder.pairs.parts), folder.image_root if settings.pictures else None
        judging = Judging(settings, work / source, work / Stage.PAIRS, parts, images)
        digests = {one.task.name: one.task.digest for one in judging.tasks()}
        chosen = {"texts": settings.texts, "tasks": digests, "picture_size": settings.picture_size if images else None}
        inputs = {str(Stage.PAIRS): folder.pairs.digest, "texts": folder.stages[source].digest}
        answers_at, judged_at = work / ANSWERS_FOLDER / settings.name, work / JUDGED_FOLDER / settings.name
        kept_at = work / texts_stage(settings.name)
        _check_ours(kept_at)
        with Answers.open(answers_at, retry_failed=settings.endpoint.retry_failed) as answers:
            asked = ask(judging.batches(), judging.missing(answers), settings.endpoint, answers)
            answers.seal()
        answered = load_manifest(answers_at)
        make = partial(_make, engine=engine, total=sum(folder.pair_counts), parts=parts)

        def made(at: Path, spec: Spec, phase: Phase, title: str) -> Manifest:
            fresh = overwrite or is_other(at, spec)  # a function of answers that are kept: made anew at once
            return run_stage(at, spec, partial(make, phase=phase, title=title), None, overwrite=fresh)

        spec = Spec(f"{JUDGED_FOLDER}/{settings.name}", chosen, {**inputs, ANSWERS_FOLDER: answered.digest})
        judged = made(judged_at, spec, JudgedPhase(judging, answers_at), "judging")
        bounds = {name: getattr(settings, name) for name in ("most_still_true", "least_still_true", "least_plausible")}
        spec = Spec(texts_stage(settings.name), {"judged": bounds}, {**inputs, JUDGED_FOLDER: judged.digest})
        kept = made(kept_at, spec, KeptPhase(settings, work / source, judged_at, folder.pair_counts), "sorting out")
    return JudgedTexts(asked, answered, judged, kept)


def _check_ours(folder: Path) -> None:
    """Raises: UsageError, the texts of this name are those of another command."""
    if (folder / MANIFEST).exists() and "judged" not in load_manifest(folder).spec.settings:
        raise UsageError(
            "there are texts of this name, which nobody judged", where=str(folder), fix="choose another --name"
        )


def _make(store: Store, phase: Phase, title: str, engine: Engine, total: int, parts: int) -> Manifest:
    run_phase(store, phase, engine, parts, title=title, unit="pairs", total=total)
    return store.finish([merge_rejected(store)] if isinstance(phase, KeptPhase) else [])
