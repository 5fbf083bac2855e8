"""The command line: one command is one call into the package. Nothing heavy is imported before a command runs."""

from __future__ import annotations

import json
import sys
import time
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from negmine import __version__, console
from negmine.addresses import address_of
from negmine.commands import Run, columns_of, group, guards, open_pairs, option_of, tars_in
from negmine.console import Summary
from negmine.engine.options import EngineOptions, takes_engine
from negmine.errors import DamagedError, UsageError
from negmine.options import (
    DATA,
    DEFAULT_WORK,
    RUN,
    SAMPLE,
    AsJson,
    CaptionColumn,
    Delimiter,
    DryRun,
    Format,
    ImageColumn,
    Images,
    KeyColumn,
    Limit,
    MaxBad,
    MaxPixels,
    NoHeader,
    OptionalPairs,
    Overwrite,
    PairsArgument,
    Seed,
    Work,
)
from negmine.pixels import MAX_PIXELS
from negmine.places import file_place, named, on_disk, option, place
from negmine.store import scratch

CODE = 100
"""Groups that ``render --code`` writes."""

SHARED = ("parse", "retrieve", "render", "shard", "audit")
"""Commands whose parts may be made by several runs."""

app = typer.Typer(
    no_args_is_help=True,
    add_completion=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="""Hard negatives for vision-language models, from captions to training shards.

    A run, start to end: `negmine parse captions.json --images photos/`, then `negmine retrieve`,
    `negmine shard --out data/`, and `ahnpl-train --shards data/*.tar`.
    """,
)

_MINE, _PLAN = "What is mined", "Which pairs meet in a batch"


def main() -> None:
    """Entry point of ``negmine``."""
    console.run(app)


def _show_version(asked: bool) -> None:
    if asked:
        sys.stdout.write(f"negmine {__version__}\n")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="print the version", is_eager=True, callback=_show_version)
    ] = False,
) -> None:
    """No command is needed for it."""


# --- commands --------------------------------------------------------------------------------------------------------


@app.command()
@takes_engine
def parse(
    pairs: PairsArgument,
    work: Work = DEFAULT_WORK,
    images: Images = None,
    format_: Format = None,
    caption_column: CaptionColumn = None,
    image_column: ImageColumn = None,
    key_column: KeyColumn = None,
    delimiter: Delimiter = None,
    no_header: NoHeader = False,
    limit: Limit = None,
    max_bad: MaxBad = 0.01,
    max_pixels: MaxPixels = MAX_PIXELS,
    preset: Annotated[
        str, typer.Option(parser=named, help="unguessable, swaps, negclip, ce_clip, sugarcrepe, or a TOML file")
    ] = "unguessable",
    rules: Annotated[str | None, typer.Option(help="names by comma, or `all`, in place of the preset's")] = None,
    per_caption: Annotated[
        int | None, typer.Option(min=1, help="negatives of a caption, at most, in place of the preset's")
    ] = None,
    model: Annotated[str | None, typer.Option(help="spaCy model; default: en_core_web_sm")] = None,
    wordnet: Annotated[
        Path | None, typer.Option(parser=on_disk, help="NLTK data folder with WordNet, in place of ours")
    ] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    *,
    where: EngineOptions,
) -> None:
    """Make false captions by rule: swapped, replaced and recounted.

    Examples:

        negmine parse captions_val2017.json --images val2017/

        negmine parse captions.jsonl --dry-run
    """
    from negmine.text.presets import load_preset
    from negmine.text.run import parse_pairs
    from negmine.text.stage import ParseSettings

    chosen = load_preset(preset).changed(rules, per_caption)
    weights = tuple(sorted(chosen.weights.items()))
    settings = ParseSettings(
        chosen.rules, chosen.per_caption, chosen.balanced, weights, seed, model, str(wordnet) if wordnet else None
    )
    told = columns_of(caption_column, image_column, key_column, delimiter, no_header)
    with open_pairs(pairs, format_, told, images, limit, max_bad, max_pixels, where, work, overwrite, dry_run) as run:
        manifest = parse_pairs(settings, run.work, run.engine, overwrite=overwrite)
        counts = manifest.counts
        covered = counts["pairs"] - sum(n for name, n in counts.items() if name.startswith("none:"))
        figures = {
            "pairs": counts["pairs"],
            "with a negative": f"{covered:,} ({covered / max(counts['pairs'], 1):.1%})",
            "negatives": counts["negatives"],
            "by kind": group(counts, "kind:"),
            "refused by guard": guards(counts),
            "no negative because": group(counts, "none:"),
        }
        folder_option = option_of("--work", work)
        next_step = tuple(f"negmine {command}{folder_option}" for command in ("report", "retrieve", "shard"))
        run.show("negmine parse", figures, work / "negatives", next_step, as_json)


@app.command()
@takes_engine
def retrieve(
    pairs: OptionalPairs = None,
    work: Work = DEFAULT_WORK,
    images: Images = None,
    format_: Format = None,
    caption_column: CaptionColumn = None,
    image_column: ImageColumn = None,
    key_column: KeyColumn = None,
    delimiter: Delimiter = None,
    no_header: NoHeader = False,
    limit: Limit = None,
    max_bad: MaxBad = 0.01,
    max_pixels: MaxPixels = MAX_PIXELS,
    recipe: Annotated[
        str,
        typer.Option(
            parser=named, help="default, mmclip, nv_retriever, sample4geo, ... or a YAML file", rich_help_panel=_MINE
        ),
    ] = "default",
    score: Annotated[
        list[str] | None,
        typer.Option(
            help="[WEIGHT*]DIRECTION[:ENCODER], with DIRECTION t2t, i2i, i2t or t2i; several are summed",
            rich_help_panel=_MINE,
        ),
    ] = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="minilm, lite0, open_clip:MODEL:WEIGHTS, checkpoint:RUN, npy:FILE.npy", rich_help_panel=_MINE
        ),
    ] = None,
    rescore: Annotated[
        str | None,
        typer.Option(
            help="order the candidates anew: as --score, or DIRECTION:cross:FILE.py:FUNCTION", rich_help_panel=_MINE
        ),
    ] = None,
    positive: Annotated[
        str | None,
        typer.Option(help="the truth's score: typical, or the lowest of several", rich_help_panel=_MINE),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(min=1, help="rows of other images looked at for each pair", rich_help_panel=_MINE)
    ] = None,
    skip: Annotated[
        int | None, typer.Option(min=0, help="of these, left out at the top", rich_help_panel=_MINE)
    ] = None,
    filter_: Annotated[
        list[str] | None,
        typer.Option("--filter", help="add or set: percentage=0.9, near_image=4, margin", rich_help_panel=_MINE),
    ] = None,
    without: Annotated[
        list[str] | None, typer.Option(help="leave a filter out, or `all`", rich_help_panel=_MINE)
    ] = None,
    sampling: Annotated[
        str | None,
        typer.Option(help="top, uniform, softmax=0.05, simans, ipw, half, diverse", rich_help_panel=_MINE),
    ] = None,
    neighbours: Annotated[
        int | None, typer.Option(min=1, help="K, rows selected of those kept, at most", rich_help_panel=_MINE)
    ] = None,
    refill: Annotated[
        bool | None, typer.Option("--refill", help="random pairs where fewer than K are kept", rich_help_panel=_MINE)
    ] = None,
    plan: Annotated[
        str | None,
        typer.Option(
            help="batches of hard neighbours: neighbours, groups, clusters, domains, random, none",
            show_default="the recipe's",
            rich_help_panel=_PLAN,
        ),
    ] = None,
    batch_size: Annotated[int, typer.Option(min=2, help="B, pairs in a planned batch", rich_help_panel=_PLAN)] = 128,
    clusters: Annotated[int, typer.Option(min=2, help="k, for --plan clusters", rich_help_panel=_PLAN)] = 10,
    train_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="as `shard` will have it", rich_help_panel=_PLAN)
    ] = 0.9,
    progress: Annotated[
        float, typer.Option(min=0, max=1, help="of training, for settings as 0.2..0.02", rich_help_panel=_MINE)
    ] = 1.0,
    index: Annotated[
        str | None,
        typer.Option(
            help="approximate search: ivf, hnsw, cagra or a FAISS factory string",
            show_default="exact",
            rich_help_panel=_MINE,
        ),
    ] = None,
    memory: Annotated[
        str | None,
        typer.Option(help="most that the search takes, as 4G; default: half of what is free", rich_help_panel=RUN),
    ] = None,
    database_actors: Annotated[
        int, typer.Option(min=0, help="of Ray, that hold the corpus in memory; 0: read in tiles", rich_help_panel=RUN)
    ] = 0,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    *,
    where: EngineOptions,
) -> None:
    """Mine hard negatives among the other pairs, and refuse those that are probably true.

    A recipe sets every piece; options replace its settings.

    Examples:

        negmine retrieve

        negmine retrieve captions.jsonl --images photos/ --score i2i

        negmine retrieve --recipe nv_retriever --filter percentage=0.9 --neighbours 8

        negmine retrieve --recipe sample4geo --plan neighbours --batch-size 128
    """
    from negmine.retrieval.plan import PlanSettings, plan_summary
    from negmine.retrieval.report import EXAMPLES_FILE
    from negmine.retrieval.settings import load_recipe, override
    from negmine.retrieval.stage import plan_batches, resolved, summary
    from negmine.retrieval.stage import retrieve as mine

    if pairs is None and (
        images or format_ or limit or caption_column or image_column or key_column or delimiter or no_header
    ):
        raise UsageError("--images, --format, --limit and the columns say how PAIRS are read, and PAIRS are not given",
                         fix="name PAIRS, or leave these options out")  # fmt: skip
    chosen = load_recipe(recipe, progress)
    planner = chosen.plan if plan is None else plan
    settings = override(
        chosen.settings, filters=filter_ or (), without=without or (), sampling=sampling,
        scores=tuple(score) if score else None, encoder=encoder, rescore=rescore, positive=positive,
        candidates=candidates, skip=skip,
        neighbours=neighbours, refill=refill, index=index, seed=seed,
    )  # fmt: skip
    told = columns_of(caption_column, image_column, key_column, delimiter, no_header)
    with open_pairs(pairs, format_, told, images, limit, max_bad, max_pixels, where, work, overwrite, dry_run) as run:
        settings = resolved(settings)
        made = mine(settings, run.work, run.engine, memory=memory, actors=database_actors, overwrite=overwrite)
        figures = summary(made, settings, run.work)
        if planner not in (None, "none"):
            batches = PlanSettings(planner, batch_size, clusters, train_fraction=train_fraction, seed=seed)
            made = plan_batches(settings, batches, run.work, run.engine, overwrite=overwrite)
            figures[f"plan: {planner}"] = plan_summary(made)
        shard = f"negmine shard{option_of('--work', work)}{' --plan' * (planner not in (None, 'none'))}"
        look = () if address_of(work) else (f"xdg-open {option(work / 'neighbours' / EXAMPLES_FILE)}",)
        run.show("negmine retrieve", figures, work / "neighbours", (shard, *look), as_json)


@app.command()
@takes_engine
def render(
    domain: Annotated[str, typer.Option(help="scenes, geometry, or geometry3k")] = "scenes",
    count: Annotated[
        int | None, typer.Option(help="groups: a picture and its negatives; 1,000, or all records")
    ] = None,
    negatives: Annotated[int, typer.Option(help="K, perturbed figures of a group, at most")] = 7,
    size: Annotated[int, typer.Option(help="side of the pictures, pixels")] = 128,
    difficulty: Annotated[int, typer.Option(help="1 (two things, one claim) to 5 (many things, many claims)")] = 3,
    records: Annotated[
        Path | None,
        typer.Option(parser=on_disk, help="Geometry3K's diagrams, for --domain geometry3k", rich_help_panel=DATA),
    ] = None,
    code: Annotated[
        Path | None,
        typer.Option(
            parser=on_disk, help="also write the first 100 groups as SVG, scripts and programs", rich_help_panel=DATA
        ),
    ] = None,
    work: Work = DEFAULT_WORK,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    *,
    where: EngineOptions,
) -> None:
    """Draw figures with captions, and perturb them so that every other picture and caption of a group is false.

    Examples:

        negmine render --domain scenes --count 5000

        negmine render --domain geometry --count 20000 --difficulty 5 --size 224
    """
    from negmine.figures.export import write_code
    from negmine.figures.geometry3k import read_records
    from negmine.figures.group import GroupSettings
    from negmine.figures.stage import RenderSettings, level_name
    from negmine.figures.stage import render as draw

    started, engine = time.monotonic(), where.start()
    groups = GroupSettings(domain, difficulty, negatives, size, seed)
    settings = RenderSettings(groups, 1_000 if count is None else count, records=str(records) if records else None)
    if records:
        settings = replace(settings, count=min(count or sys.maxsize, len(read_records(records))))
    if dry_run:
        settings = replace(settings, count=min(settings.count, SAMPLE))
    with scratch() if dry_run else nullcontext(work) as folder:
        manifest = draw(settings, folder, engine, overwrite=overwrite)
        counts = manifest.counts
        figures = {
            "difficulty": level_name(groups),
            "groups": counts["groups"],
            "pictures": counts["members"],
            "negatives": counts["negatives"],
            f"groups with fewer than {negatives}": counts["fewer_than_asked"],
            "by kind": group(counts, "kind:"),
            "by edit": group(counts, "type:"),
            "perturbed programs refused": group(counts, "refused:"),
        }
        if code is not None and not dry_run:
            figures["members as code"] = write_code(folder / "figures", code, CODE)
        options = f"{option_of('--work', work)} --negatives {negatives}"
        folder_option = option_of("--work", work)
        next_steps = (f"negmine shard{options}", f"negmine audit{folder_option}", f"negmine report{folder_option}")
        run = Run(folder, engine, dry_run, manifest, started)
        run.show("negmine render", figures, work / "figures", next_steps, as_json)


@app.command()
@takes_engine
def shard(
    work: Work = DEFAULT_WORK,
    out: Annotated[
        Path, typer.Option(parser=place, help="folder of the shards, or its address", rich_help_panel=DATA)
    ] = Path("data"),
    images: Images = None,
    max_bad: MaxBad = 0.01,
    max_pixels: MaxPixels = MAX_PIXELS,
    shard_size: Annotated[int, typer.Option(min=1, help="samples in a shard")] = 5_000,
    train_fraction: Annotated[float, typer.Option(min=0, max=1, help="share of the images; others are held out")] = 0.9,
    negatives: Annotated[int, typer.Option(min=0, help="K, text negatives of a sample, at most")] = 4,
    image_negatives: Annotated[
        int, typer.Option(min=0, help="pictures of selected neighbours in a sample, at most")
    ] = 0,
    plan: Annotated[bool, typer.Option("--plan", help="training samples in the batches of `retrieve --plan`")] = False,
    image_size: Annotated[int | None, typer.Option(min=16, help="shrink to this short side, pixels")] = None,
    seed: Seed = 0,
    overwrite: Overwrite = False,
    dry_run: DryRun = False,
    as_json: AsJson = False,
    *,
    where: EngineOptions,
) -> None:
    """Write WebDataset tars: training shards in --out, held-out ones in its folder `heldout`.

    Examples:

        negmine shard --out data/ --image-size 256

        negmine shard --plan
    """
    from negmine.shards.stage import ShardSettings, planned_batch, write_shards

    if dry_run and (plan or image_negatives):
        raise UsageError("a dry run's sample has no plan and no neighbours",
                         fix="leave out --plan and --image-negatives, or --dry-run")  # fmt: skip
    settings = ShardSettings(shard_size, train_fraction, negatives, image_negatives, plan, image_size, max_pixels, seed)
    with open_pairs(None, None, None, images, None, max_bad, max_pixels, where, work, overwrite, dry_run) as run:
        out = run.work / "out" if dry_run else out
        made = write_shards(settings, run.work, out, run.engine, images=images, max_bad=max_bad, overwrite=overwrite)
        figures: dict[str, Any] = {}
        for split, manifest in made.items():
            tars = [file for part in manifest.parts for file in part.files]
            counts = manifest.counts
            figures[split] = {
                "shards": len(tars),
                "samples": sum(file.rows for file in tars),
                "MB": round(sum(file.bytes for file in tars) / 1e6, 1),
                "negatives": sum(group(counts, "kind:").values()),
                "image negatives": sum(group(counts, "image_kind:").values()),
                "image negatives refused": sum(group(counts, "image_refused:").values()),
                "rejected": sum(group(counts, "rejected:").values()),
            }
        batch = f" --batch-size {planned_batch(run.work)}" if plan else ""
        train = f"ahnpl-train --shards {tars_in(out)} --eval-shards {tars_in(out / 'heldout')}{batch}"
        next_steps = (train, f"negmine verify {option(out)}")
        run.show("negmine shard", figures, out, next_steps, as_json)


@app.command()
@takes_engine
def audit(
    work: Work = DEFAULT_WORK,
    negatives: Annotated[
        Path | None,
        typer.Option(parser=on_disk, help="somebody else's JSONL, TSV or JSON, in place of ours", rich_help_panel=DATA),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=place, help="folder of the page, or its address; default: audit/ in --work", rich_help_panel=DATA
        ),
    ] = None,
    sample: Annotated[int, typer.Option(min=1, help="negatives looked at, at most", rich_help_panel=RUN)] = 20_000,
    attackers: Annotated[
        str, typer.Option(help="`all`, or of word, char, lm, boosting, minilm", rich_help_panel=RUN)
    ] = "word,char,lm,boosting",
    seed: Seed = 0,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
    *,
    where: EngineOptions,
) -> None:
    """Measure negatives, ours or anybody's: defects, coverage, diversity, and what can be told without looking.

    Examples:

        negmine audit

        negmine audit --negatives train_neg.tsv --out audit/ --attackers all
    """
    from negmine.audit.measure import to_json
    from negmine.audit.run import AuditSettings, audit_negatives
    from negmine.audit.table import show

    folder = out or work / "audit"
    settings = AuditSettings(work, negatives, sample, seed, attackers)
    report = audit_negatives(settings, folder, where.start(), overwrite=overwrite)
    if as_json:
        sys.stdout.write(json.dumps(to_json(report), ensure_ascii=False) + "\n")
        return
    show(report)
    console.show_output("written to", str(folder))


@app.command()
def report(
    runs: Annotated[
        list[Path] | None, typer.Argument(parser=on_disk, help="folders of training runs, shown side by side")
    ] = None,
    work: Annotated[
        Path | None,
        typer.Option(
            parser=place, help="work folder; default: `work`, or none if RUNS are named", rich_help_panel=DATA
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            parser=file_place,
            help="the page, or its address; default: report.html, in --work if there is one",
            rich_help_panel=DATA,
        ),
    ] = None,
    images: Images = None,
    examples: Annotated[int, typer.Option(min=1, help="pairs shown, at most", rich_help_panel=RUN)] = 200,
    seed: Seed = 0,
    as_json: AsJson = False,
) -> None:
    """Show pairs, negatives, neighbours and training runs on one HTML page that needs no network.

    Examples:

        negmine report

        negmine report runs/*

        negmine report runs/tiny-ahnpl --work work/ --examples 500
    """
    from negmine.report.run import PAGE, ReportSettings, write_report

    started = time.monotonic()
    shown = work or (None if runs else DEFAULT_WORK)
    path = out or (shown or Path()) / PAGE
    figures = write_report(ReportSettings(shown, tuple(runs or ()), images, examples, seed), path)
    figures["seconds"] = round(time.monotonic() - started, 1)
    next_steps = () if address_of(path) else (f"xdg-open {option(path)}",)
    console.show(Summary("negmine report", "done", figures, {"written to": str(path)}, next_steps), as_json)


@app.command()
def export(
    format_: Annotated[str, typer.Argument(metavar="FORMAT", help="jsonl, negclip, ce_clip, sugarcrepe or triplets")],
    out: Annotated[Path, typer.Option(parser=on_disk, help="file to write", rich_help_panel=DATA)],
    work: Work = DEFAULT_WORK,
    as_json: AsJson = False,
) -> None:
    """Write the negatives in a form that other people's code reads.

    Examples:

        negmine export negclip --out train_neg.tsv

        negmine export triplets --out triplets.jsonl
    """
    from negmine.export.run import export as write

    file, counts = write(work, format_, out)
    figures = {**counts, "rows written": file.rows, "MB": round(file.bytes / 1e6, 1)}
    console.show(Summary(f"negmine export {format_}", "done", figures, {"written to": str(out)}), as_json)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": ["--help"]}
)
def merge(
    context: typer.Context,
    command: Annotated[str, typer.Argument(help="parse, retrieve, render, shard or audit, with its arguments")],
) -> None:
    """Join what ranks made of a stage, and go on to where they are needed again, or to its end.

    Name the command that the ranks ran, without --rank and --world-size. A stage of several phases needs its ranks
    several times, with a merge after each: see docs/scaling.md.

    Examples:

        negmine merge parse captions.json --images photos/

        negmine merge shard --out data/
    """
    if command not in SHARED:
        raise UsageError(f"negmine {command} has no ranks", fix=f"merge one of {', '.join(SHARED)}")
    if status := app([command, *context.args, "--merge"], standalone_mode=False):  # else a stopped merge has status 0
        raise typer.Exit(status)


@app.command()
def verify(
    path: Annotated[Path, typer.Argument(parser=place, help="a work folder, a stage's folder, or a folder of shards")],
    fast: Annotated[bool, typer.Option("--fast", help="sizes and names only, no sha256")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a folder against its manifest: sha256, sizes, counts, missing and extra files (status 4 if damaged).

    Examples:

        negmine verify work/

        negmine verify data/
    """
    from negmine.verify import verify as check

    found = check(path, fast=fast)
    problems = {one.folder: one.problems for one in found if one.problems}
    if problems:
        lines = [f"{folder}: {problem}" for folder, several in problems.items() for problem in several]
        if as_json:
            sys.stdout.write(json.dumps({"command": "negmine verify", "problems": lines}) + "\n")
        raise DamagedError(
            f"{len(lines)} problem{'s' if len(lines) > 1 else ''} found",
            where=str(path),
            why="; ".join(lines[:20]) + (f"; and {len(lines) - 20} more" if len(lines) > 20 else ""),
            fix="make the damaged stage again: its command with --overwrite, or delete the named files and repeat it",
        )
    figures = {one.folder: {"files": one.files, "MB": round(one.bytes / 1e6, 1)} for one in found}
    headline = "sizes and names agree" if fast else "every byte is as it was written"
    console.show(Summary(f"negmine verify {path}", headline, figures), as_json)
