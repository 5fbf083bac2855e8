"""``make demo``: from captions to trained models with the real commands, in two acts.

The sample's photos and captions become negatives, shards and a model. Then scenes are drawn and perturbed, and the same
small model is trained on them twice: as CLIP is, and with hard negatives.

What is done is not done again: each command resumes, and an evaluation is kept beside the model that it scored.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from statistics import median
from typing import Any

from negmine.store import file_sha256
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
SAMPLE = Path("data/sample")
OUT = Path("demo")
WORK, SHARDS, RUN = OUT / "work", OUT / "data", OUT / "run"
EPOCHS = 12
SCENES = OUT / "scenes"
RECIPES = ("clip", "ahnpl")
console = Console(highlight=False, soft_wrap=True)


def run(*arguments: object, threads: int | None = None) -> dict[str, Any]:
    """Run one of our commands as a user would, and return its JSON summary's figures.

    Args:
        threads: of torch; None leaves it to choose.
    """
    words = [str(argument) for argument in arguments]
    console.print(f"[bold]$ {shlex.join(words)}[/bold]")
    program = Path(sys.executable).parent / words[0]
    environment = {**os.environ, **({"OMP_NUM_THREADS": str(threads)} if threads else {})}
    done = subprocess.run(
        [program, *words[1:], "--json"], stdout=subprocess.PIPE, text=True, check=False, env=environment
    )
    if done.returncode:
        sys.exit(done.returncode)
    figures: dict[str, Any] = json.loads(done.stdout)["figures"]
    return figures


def evaluate(name: str, checkpoint: object, shards: Path = SHARDS, **options: int) -> dict[str, Any]:
    """Score a checkpoint on the held-out shards, or take the score that an earlier run kept for the same shards."""
    kept = shards.parent / f"accuracy-{name}.json"
    index = json.loads((shards / "heldout" / "index.json").read_text())
    weights = Path(str(checkpoint)) / "open_clip_model.safetensors"
    scored = {"checkpoint": file_sha256(weights) if weights.exists() else checkpoint, "shards": index["checksum"]}
    if kept.exists() and (before := json.loads(kept.read_text()))["scored"] == scored:
        return dict(before["figures"])
    figures = run("ahnpl-eval", "--checkpoint", checkpoint, "--shards", f"{shards}/heldout/*.tar", **options)
    kept.write_text(json.dumps({"scored": scored, "figures": figures}, indent=1))
    return figures


def main() -> None:
    started = time.monotonic()
    OUT.mkdir(exist_ok=True)
    photos()
    scenes()
    console.print(f"[dim]{time.monotonic() - started:.0f} seconds[/dim]")


# --- first act: photos -----------------------------------------------------------------------------------------------


def photos() -> None:
    """The sample through everything."""
    parsed = run("negmine", "parse", SAMPLE / "captions.jsonl", "--images", SAMPLE, "--work", WORK)
    mined = run("negmine", "retrieve", "--work", WORK)
    sharded = run(
        "negmine",
        "shard",
        "--work",
        WORK,
        "--out",
        SHARDS,
        "--shard-size",
        100,
        "--image-size",
        80,
        "--train-fraction",
        0.75,
    )
    before = evaluate("before", "init:tiny")
    tars = sorted(SHARDS.glob("*.tar"))
    run(
        "ahnpl-train",
        "--shards",
        *tars,
        "--recipe",
        "ahnpl",
        "--model",
        "tiny",
        "--epochs",
        EPOCHS,
        "--eval-shards",
        f"{SHARDS}/heldout/*.tar",
        "--out",
        RUN,
    )
    after = evaluate("after", last_checkpoint(RUN))
    report(parsed, mined, sharded, before, after)


def last_checkpoint(folder: Path) -> Path:
    """Not the best: that one is chosen on the images it is scored on."""
    return max((folder / "checkpoints").iterdir())


def report(
    parsed: dict[str, Any],
    mined: dict[str, Any],
    sharded: dict[str, Any],
    before: dict[str, Any],
    after: dict[str, Any],
) -> None:
    """The closing table, what it shows and does not show, and what to type next."""
    console.print()
    console.print(counts_table(parsed, mined, sharded))
    console.print(accuracy_table(before, after))
    console.print(verdict(before, after))
    console.print(f"\n[dim]tables[/dim] {WORK}   [dim]shards[/dim] {SHARDS}   [dim]model[/dim] {RUN}")
    console.print(f"[dim]loss and accuracy curves[/dim] {RUN}/curves.png")
    for step in (
        f"negmine verify {SHARDS}",
        f"ahnpl-eval --checkpoint {RUN} --benchmark sugarcrepe:{SAMPLE}/sugarcrepe.jsonl --images {SAMPLE}",
        f"ahnpl-train --shards {SHARDS}/*.tar --recipe clip --out runs/clip   # the same without negatives",
        "negmine parse YOUR_CAPTIONS --images YOUR_PHOTOS",
    ):
        console.print(f"[dim]next[/dim] {step}")


def counts_table(parsed: dict[str, Any], mined: dict[str, Any], sharded: dict[str, Any]) -> Table:
    table = Table(title="what was made", title_justify="left", box=None, show_header=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_row("captions", f"{parsed['pairs']:,}")
    table.add_row("negatives", f"{parsed['negatives']:,}")
    for kind, number in parsed["by kind"].items():
        table.add_row(f"  {kind}", f"{number:,}")
    table.add_row("mined neighbours: candidates", f"{mined['candidates']:,}")
    table.add_row("  kept", f"{mined['kept']:,}")
    for reason, number in mined["refused"].items():
        table.add_row(f"  refused: {reason}", f"{number:,}")
    for split, figures in sharded.items():
        if isinstance(figures, dict) and "samples" in figures:
            table.add_row(f"{split}: samples in shards", f"{figures['samples']:,} in {figures['shards']}")
    table.add_row("training, median", f"{samples_per_second():.0f} samples/s")
    return table


def samples_per_second() -> float:
    """Median over the run's own log, whichever run of the demo did the training."""
    rows = map(json.loads, (RUN / "metrics.jsonl").read_text().splitlines())
    return median(row["samples_per_s"] for row in rows if "samples_per_s" in row)


def accuracy_table(before: dict[str, Any], after: dict[str, Any]) -> Table:
    table = Table(
        title="\ncaption scored above its negative, held-out photos (95 % Wilson; ties are wrong)",
        title_justify="left",
        box=None,
    )
    for name in ("kind of negative", "items", "untrained", "trained", "trained, wrong photo"):
        table.add_column(name, justify="left" if name.startswith("kind") else "right")
    for kind, figures in after["kinds"].items():
        wrong = after["other_image"][kind]
        table.add_row(kind, f"{figures['total']:,}", cell(before["kinds"][kind]), cell(figures), cell(wrong))
    table.add_row(
        "all, mean of items",
        f"{after['micro']['total']:,}",
        cell(before["micro"]),
        cell(after["micro"]),
        cell(after["other_image_micro"]),
    )
    return table


def cell(accuracy: dict[str, Any]) -> str:
    return f"{accuracy['accuracy']:.0%} [{accuracy['low']:.0%}, {accuracy['high']:.0%}]"


def verdict(before: dict[str, Any], after: dict[str, Any]) -> str:
    """One line: is there a gain, and does the model look at the photo for it?"""
    gained = after["micro"]["low"] > before["micro"]["high"]
    looks = after["micro"]["low"] > after["other_image_micro"]["high"]
    captions, photos = after["captions"], after["images"]
    if gained and looks:
        return f"Trained on this sample, the model tells truth from near-truth better on {photos} photos it never saw."
    if gained:
        return (
            f"The gain on {photos} unseen photos ({captions} captions) is there with the wrong photo too: "
            "from so few training photos the model learned which wordings are negatives, not yet to look. "
            "That needs more photos, or a pretrained model."
        )
    return (
        f"No gain beyond chance on {photos} unseen photos: the sample is too small for one; the way through is whole."
    )


# --- second act: scenes ----------------------------------------------------------------------------------------------


def scenes() -> None:
    """The same model, the same scenes and the same steps, without and with their hard negatives."""
    started = time.monotonic()
    work, shards = SCENES / "work", SCENES / "data"
    run(
        "negmine",
        "render",
        "--domain",
        "scenes",
        "--difficulty",
        1,
        "--count",
        4500,
        "--negatives",
        2,
        "--size",
        64,
        "--work",
        work,
    )
    run("negmine", "shard", "--work", work, "--out", shards, "--negatives", 2, "--train-fraction", 0.85)
    scores, models = {}, {}
    for recipe in RECIPES:
        out = SCENES / recipe
        # So small a model is fastest on one thread; the second core decodes.
        run(
            "ahnpl-train",
            "--shards",
            *sorted(shards.glob("*.tar")),
            "--recipe",
            recipe,
            "--model",
            "tiny-conv",
            "--steps",
            600,
            "--batch-size",
            64,
            "--lr",
            2e-3,
            "--workers",
            1,
            "--out",
            out,
            threads=1,
        )
        models[recipe] = last_checkpoint(out)
        scores[recipe] = evaluate(recipe, models[recipe], shards, threads=1)
    console.print()
    console.print(scenes_table(scores))
    image = SCENES / "told-apart.png"
    told = draw_told_apart(models, shards, image)
    console.print(
        f"Of {scores['clip']['pairs_micro']['total']:,} pairs of unseen scenes, {told:,} are told apart with hard "
        f"negatives and not without: see {image}"
    )
    console.print(f"[dim]{time.monotonic() - started:.0f} seconds for the scenes[/dim]")
    console.print(
        f"[dim]next[/dim] negmine render --domain geometry --difficulty 5 --count 20000 --work {OUT}/geometry"
    )
    console.print("[dim]next[/dim] python benchmarks/methods quick   # four recipes on equal terms, about ten minutes")


def scenes_table(scores: dict[str, dict[str, Any]]) -> Table:
    table = Table(
        title="two scenes and two captions, all four matched: 2x2 group score, held-out scenes (95 % Wilson)",
        title_justify="left",
        box=None,
    )
    for name in ("what is changed", "pairs", "chance", *RECIPES):
        table.add_column(name, justify="left" if name.startswith("what") else "right")
    kinds = {kind: figures["total"] for kind, figures in scores["clip"]["pairs"].items()}
    for kind, total in kinds.items():
        cells = [pair_cell(scores[recipe]["pairs"][kind]) for recipe in RECIPES]
        table.add_row(kind, f"{total:,}", "17%", *cells)
    cells = [pair_cell(scores[recipe]["pairs_micro"]) for recipe in RECIPES]
    table.add_row("all, mean of pairs", f"{sum(kinds.values()):,}", "17%", *cells)
    return table


def pair_cell(pairs: dict[str, Any]) -> str:
    return f"{pairs['group']:.0%} [{pairs['group_low']:.0%}, {pairs['group_high']:.0%}]"


def draw_told_apart(models: dict[str, Path], shards: Path, path: Path, rows: int = 5) -> int:
    """Draw pairs of scenes that the second model matches and the first one does not; how many there are."""
    from told_apart import draw_pairs, pairs_matched

    first, second = (pairs_matched(models[recipe], shards) for recipe in RECIPES)
    told = [
        pair
        for pair, before, after in zip(first.pairs, first.matched, second.matched, strict=True)
        if after and not before
    ]
    draw_pairs(told[:: max(1, len(told) // rows)][:rows], RECIPES, path)
    return len(told)


if __name__ == "__main__":
    main()
