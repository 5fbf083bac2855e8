"""``negmine render``: groups of figures as a work folder that the later stages take for any other.

Three stages in a row, or four. *figures* makes the groups: a table of records and a tar of their drawings for each
part. *pairs* and *negatives* are read off them: the base of a group with its caption, and the captions of its other
members; *positives* say the claims of the base otherwise.
"""

from __future__ import annotations

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Final

from negmine.engine import Engine, run_phase, run_stage
from negmine.stages.figures import group as groups
from negmine.stages.figures.draw import FONT, load_font
from negmine.stages.figures.drawing import DrawPhase
from negmine.stages.figures.settings import RenderSettings
from negmine.stages.figures.tables import TablePhase
from negmine.store import (
    REJECTED_FILE,
    Manifest,
    Spec,
    Store,
    file_sha256,
    refuse_other_settings,
)
from negmine.store.refusals import check_share
from negmine.store.rejected import merge_rejected
from negmine.store.work_folder import Stage, WorkFolder

DERIVED: Final = {"from": Stage.FIGURES}
"""Settings of the pairs and negatives that are read off figures."""


def render(settings: RenderSettings, work: Path, engine: Engine, *, overwrite: bool = False) -> Manifest:
    """Make ``work/figures``, ``work/pairs`` and ``work/negatives`` unless they are there.

    Raises:
        DamagedError: one of the folders was made otherwise: by other settings, or from other pairs.
        InputError: nothing of the records can be drawn.
        ResourceError: the font is missing.
    """
    load_font(16)
    chosen = {**asdict(settings), "version": groups.VERSION, "font": file_sha256(Path(FONT))}
    for name in ("records", "positives"):  # where the file lies does not matter, nor what else is said
        chosen.pop(name)
    inputs = {"records": file_sha256(Path(settings.records))} if settings.records else {}
    spec = Spec(Stage.FIGURES, chosen, inputs, {"pillow": version("pillow")})
    if not overwrite:
        for stage in (Stage.PAIRS, Stage.NEGATIVES):
            refuse_other_settings(work / stage, stage, DERIVED)  # those of captions, before anything is drawn

    def draw(store: Store) -> Manifest:
        title = f"drawing {settings.groups.domain}"
        run_phase(store, DrawPhase(settings), engine, settings.parts, title=title, unit="rows", total=settings.count)
        return store.finish([merge_rejected(store)] if settings.records else [])

    figures = run_stage(work / Stage.FIGURES, spec, draw, engine.share, overwrite=overwrite)
    check_share(figures.counts, 1, work / Stage.FIGURES / REJECTED_FILE)
    pairs = _derive(Stage.PAIRS, {Stage.FIGURES: figures.digest}, figures, work, engine, overwrite)
    _derive(
        Stage.NEGATIVES, {Stage.FIGURES: figures.digest, Stage.PAIRS: pairs.digest}, figures, work, engine, overwrite
    )
    if settings.positives:
        made: dict[str, str] = {Stage.FIGURES: figures.digest, Stage.PAIRS: pairs.digest}
        _derive(Stage.POSITIVES, made, figures, work, engine, overwrite, settings.positives)
    return figures


def _derive(
    stage: str,
    inputs: dict[str, str],
    figures: Manifest,
    work: Path,
    engine: Engine,
    overwrite: bool,
    positives: int = 0,
) -> Manifest:
    """One of the tables that are read off the figures; `stage` is its folder."""
    context = {"images": WorkFolder(work, {Stage.FIGURES: figures}).folder_of_figures} if stage == Stage.PAIRS else {}

    def write(store: Store) -> Manifest:
        parts, total = len(figures.parts), figures.counts["groups"]
        phase = TablePhase(stage, work / Stage.FIGURES, positives)
        run_phase(store, phase, engine, parts, title=f"writing {stage}", unit="pairs", total=total)
        return store.finish()

    chosen: dict[str, object] = {**DERIVED, **({"positives": positives} if positives else {})}
    return run_stage(work / stage, Spec(stage, chosen, inputs, {}, context), write, None, overwrite=overwrite)
