"""``make demo``: the sample's photos and captions become negatives, shards and a trained model, with the real commands.

What is done is not done again: each command resumes, and an evaluation is kept beside the model that it scored.
"""

from __future__ import annotations

import json
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
console = Console(highlight=False, soft_wrap=True)


def run(*arguments: object) -> dict[str, Any]:
    """Run one of our commands as a user would, and return its JSON summary's figures."""
    words = [str(argument) for argument in arguments]
    console.print(f"[bold]$ {shlex.join(words)}[/bold]")
    program = Path(sys.executable).parent / words[0]
    done = subprocess.run([program, *words[1:], "--json"], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit(done.returncode)
    figures: dict[str, Any] = json.loads(done.stdout)["figures"]
    return figures


def evaluate(name: str, checkpoint: object) -> dict[str, Any]:
    """Score a checkpoint on the held-out shards, or take the score that an earlier run kept for the same shards."""
    kept = OUT / f"accuracy-{name}.json"
    index = json.loads((SHARDS / "heldout" / "index.json").read_text())
    weights = Path(str(checkpoint)) / "open_clip_model.safetensors"
    scored = {"checkpoint": file_sha256(weights) if weights.exists() else checkpoint, "shards": index["checksum"]}
    if kept.exists() and (before := json.loads(kept.read_text()))["scored"] == scored:
        return dict(before["figures"])
    figures = run("ahnpl-eval", "--checkpoint", checkpoint, "--shards", f"{SHARDS}/heldout/*.tar")
    kept.write_text(json.dumps({"scored": scored, "figures": figures}, indent=1))
    return figures


def main() -> None:
    started = time.monotonic()
    OUT.mkdir(exist_ok=True)
    parsed = run("negmine", "parse", SAMPLE / "captions.jsonl", "--images", SAMPLE, "--work", WORK)
    mined = run("negmine", "retrieve", "--work", WORK)
    sharded = run("negmine", "shard", "--work", WORK, "--out", SHARDS, "--shard-size", 100, "--image-size", 80,
                  "--train-fraction", 0.75)  # fmt: skip
    before = evaluate("before", "init:tiny")
    tars = sorted(SHARDS.glob("*.tar"))
    run("ahnpl-train", "--shards", *tars, "--recipe", "ahnpl", "--model", "tiny", "--epochs", EPOCHS,
                  "--eval-shards", f"{SHARDS}/heldout/*.tar", "--out", RUN)  # fmt: skip
    last = max((RUN / "checkpoints").iterdir())  # not the best: that one is chosen on the photos it is scored on
    after = evaluate("after", last)
    report(parsed, mined, sharded, before, after)
    console.print(f"[dim]{time.monotonic() - started:.0f} seconds[/dim]")


def report(
    parsed: dict[str, Any], mined: dict[str, Any], sharded: dict[str, Any],
    before: dict[str, Any], after: dict[str, Any],
) -> None:  # fmt: skip
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
    table = Table(title="\ncaption scored above its negative, held-out photos (95 % Wilson; ties are wrong)",
                  title_justify="left", box=None)  # fmt: skip
    for name in ("kind of negative", "items", "untrained", "trained", "trained, wrong photo"):
        table.add_column(name, justify="left" if name.startswith("kind") else "right")
    for kind, figures in after["kinds"].items():
        wrong = after["other_picture"][kind]
        table.add_row(kind, f"{figures['total']:,}", cell(before["kinds"][kind]), cell(figures), cell(wrong))
    table.add_row("all, mean of items", f"{after['micro']['total']:,}", cell(before["micro"]), cell(after["micro"]),
                  cell(after["other_picture_micro"]))  # fmt: skip
    return table


def cell(accuracy: dict[str, Any]) -> str:
    return f"{accuracy['accuracy']:.0%} [{accuracy['low']:.0%}, {accuracy['high']:.0%}]"


def verdict(before: dict[str, Any], after: dict[str, Any]) -> str:
    """One line: is there a gain, and does the model look at the photo for it?"""
    gained = after["micro"]["low"] > before["micro"]["high"]
    looks = after["micro"]["low"] > after["other_picture_micro"]["high"]
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


if __name__ == "__main__":
    main()
