"""``ahnpl-eval``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

from negmine.base import console
from negmine.base.options import Option
from negmine.store.places import on_disk, pattern

from ahnpl.cli.models import DEFAULT_RUN, AsJson, Preprocess, load_any, load_other, model_place
from ahnpl.evaluation.columns import Columns
from ahnpl.evaluation.settings import Settings

if TYPE_CHECKING:
    from ahnpl.evaluation.run import Report
    from ahnpl.model.clip import ClipModel

HELD_OUT: Final = ("data/heldout/*.tar",)


def evaluate(
    *,
    checkpoint: Annotated[
        str,
        Option(
            "A run or checkpoint folder, init:MODEL[:SEED], open_clip:MODEL[:PRETRAINED], hf:FOLDER, hf-hub:ORG/NAME.",
            parser=model_place,
        ),
    ] = DEFAULT_RUN,
    shards: Annotated[tuple[str, ...], Option("Held-out tars.", parser=pattern, unset=HELD_OUT[0])] = (),
    benchmark: Annotated[
        str | None, Option("FORMAT:PATH, e.g. bivlc:FOLDER, zeroshot:FOLDER or rows:FILE, instead of shards.")
    ] = None,
    images: Annotated[
        str | None,
        Option("Folder of the benchmark's images, or folder or address of the tars beside sidecars.", parser=pattern),
    ] = None,
    preprocess: Preprocess = None,
    against: Annotated[
        str | None,
        Option("Another model to compare with, item by item; `start`: what the run began with.", parser=model_place),
    ] = None,
    histograms: Annotated[
        Path | None, Option("Draw the scores of captions and foils into this PNG.", parser=on_disk)
    ] = None,
    settings: Settings,
    as_json: AsJson = False,
) -> None:
    """Score true captions against false ones, by kind, and image-text retrieval.

    ahnpl-eval --checkpoint runs/tiny-ahnpl --shards data/heldout/*.tar --against start

    ahnpl-eval --checkpoint open_clip:ViT-B-32:openai --benchmark sugarcrepe:sugarcrepe/ --images val2017/
    """
    from ahnpl.evaluation.compare import compare
    from ahnpl.evaluation.diagnostics import draw_histograms
    from ahnpl.evaluation.show import as_figures, as_table

    score, total, source = _task(shards, benchmark, images)
    _check_columns(benchmark, settings.columns)
    wanted = total if settings.limit is None or total is None else min(settings.limit, total)

    def scored(name: str) -> Report:
        model = load_any(checkpoint, preprocess) if name == checkpoint else load_other(name, checkpoint)
        with console.progress(f"evaluating {name}", wanted, "items") as bar:
            return score(model, replace(settings, advance=bar.advance))

    report = scored(checkpoint)
    changes = compare(scored(against), report) if against else None
    for line in report.bad:
        console.note(f"left out: {line}")
    outputs = {}
    if histograms and report.diagnostics:
        outputs["histograms"] = str(draw_histograms(report.diagnostics, histograms))
    elif histograms:
        console.note(f"nothing was drawn into {histograms}: there are no captions of two or more images to compare")
    headline = f"{checkpoint} on {source}: {report.captions:,} captions of {report.images:,} images"
    headline += f", against {against}" if against else ""
    figures = (as_figures if as_json else as_table)(report, changes)
    console.show(console.Summary("ahnpl-eval", headline, figures, outputs=outputs), as_json)


def _check_columns(benchmark: str | None, columns: Columns) -> None:
    """Refuse columns that would be passed over."""
    from negmine.base.errors import UsageError

    from ahnpl.evaluation.benchmarks import BENCHMARKS
    from ahnpl.evaluation.rows import RowSet

    name = (benchmark or "").partition(":")[0]
    if columns != Columns() and not isinstance(BENCHMARKS.get(name), RowSet):
        said = f"--benchmark {name} chooses its own" if benchmark else "shards have none"
        raise UsageError("columns are named for --benchmark rows:FILE and public sets that are tables", why=said)


def _task(
    shards: tuple[str, ...], benchmark: str | None, images: str | None
) -> tuple[Callable[[ClipModel, Settings], Report], int | None, str]:
    """What scores a model, how many items if known, and a name for where they come from."""
    from negmine.base.errors import UsageError
    from negmine.base.names import pick

    from ahnpl.data.shards import check_images, open_shards
    from ahnpl.evaluation.benchmarks import BENCHMARKS
    from ahnpl.evaluation.tasks import score_shards

    if benchmark is None:
        held_out = open_shards(shards or HELD_OUT, images)
        check_images(images, held_out)
        return partial(score_shards, held_out), held_out.samples, f"{len(held_out.shards)} shards"
    if shards:
        raise UsageError("--shards and --benchmark exclude each other", fix="evaluate one after the other")
    name, _, path = benchmark.partition(":")
    found = BENCHMARKS[pick("benchmark format", name, BENCHMARKS)]
    if not path:
        raise UsageError(f"--benchmark {name} has no path", fix=f"--benchmark {name}:PATH")
    return partial(found.score, on_disk(path), None if images is None else on_disk(images)), None, benchmark
