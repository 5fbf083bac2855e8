"""A cell: one model trained from scratch with one recipe on drawn scenes, and scored on scenes that it never saw.

With `others`, the data folder, its last checkpoint is also scored on data of other people: a cell of geometry on the
diagrams of Geometry3K, drawn again, one of scenes on NLVR's statements. No setting of a cell depends on it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread
from typing import Any

import yaml
from negmine.base.errors import InputError, NegmineError
from negmine.store import write_text

Recipe = str | Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that a cell's result depends on.

    Attributes:
        row: its name in the table.
        recipe: a recipe's name, or what a recipe file would hold.
        difficulty: of the scenes, 1 to 5; 1 is two objects, 2 two or three, 3 three or four.
        groups: scenes drawn, training and held out together.
        rendered: K, perturbed scenes beside each.
        negatives: of these, how many a recipe gets.
        images: images per step; a recipe that reads image negatives gets fewer captions.
        points: how many times on the way it is scored.
    """

    row: str
    recipe: Recipe
    seed: int = 0
    domain: str = "scenes"
    difficulty: int = 1
    groups: int = 6000
    rendered: int = 3
    negatives: int = 3
    steps: int = 300
    images: int = 64
    lr: float = 2e-3
    points: int = 6
    model: str = "tiny-conv"

    @property
    def key(self) -> str:
        """Changes with every setting; the row's name is no setting."""
        given = json.dumps(asdict(self) | {"row": None}, sort_keys=True)
        return f"{self.row}-{self.seed}-{hashlib.sha256(given.encode()).hexdigest()[:10]}"


def seeds(cell: Cell, numbers: Iterable[int]) -> list[Cell]:
    """The same cell with each seed."""
    return [replace(cell, seed=number) for number in numbers]


# --- data ------------------------------------------------------------------------------------------------------------


def shards(cell: Cell, data: Path) -> Path:
    """The cell's shards, drawn by the real commands if they are not there yet."""
    folder = data / f"{cell.domain}-{cell.difficulty}-{cell.groups}-{cell.rendered}"
    drawn = ("--domain", cell.domain, "--difficulty", cell.difficulty, "--count", cell.groups)
    return _drawn(folder, drawn, cell.rendered, train_fraction=0.85)


def geometry3k(data: Path, others: Path) -> Path:
    """Shards of Geometry3K, drawn again; all of it is held out.

    Raises:
        InputError: the data folder has none.
    """
    records = others / "geometry3k" / "diagram_logic_forms_annot.json"
    if not records.is_file():
        raise InputError(
            "Geometry3K is not there",
            where=str(records),
            fix="name the data folder that holds geometry3k with --others",
        )
    drawn = ("--domain", "geometry3k", "--records", records)
    return _drawn(data / "geometry3k-3", drawn, 3, train_fraction=0)


def _drawn(folder: Path, drawn: tuple[object, ...], rendered: int, train_fraction: float) -> Path:
    if not (folder / "shards" / "heldout" / "index.json").is_file():
        _negmine("render", *drawn, "--size", 64, "--negatives", rendered, "--work", folder / "work")
        out = ("--out", folder / "shards", "--train-fraction", train_fraction)
        _negmine("shard", "--work", folder / "work", "--negatives", rendered, *out)
    return folder / "shards"


def _negmine(*words: object) -> None:
    command = [str(Path(sys.executable).parent / "negmine"), *map(str, words)]
    subprocess.run(command, check=True)


# --- results ---------------------------------------------------------------------------------------------------------


def result(cell: Cell, out: Path) -> dict[str, Any] | None:
    """What the cell gave, if it was run."""
    path = _path(cell, out)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def run_all(
    cells: Iterable[Cell], data: Path, out: Path, jobs: int, told: Callable[[str], None], others: Path | None = None
) -> None:
    """Run the cells that have no result yet, `jobs` at a time, each on one core.

    A result is written whole or not at all: what was stopped is run again, what was finished is not. A cell that
    cannot be run (a recipe that wants what these shards lack) is told and leaves the others alone.
    """
    wanted = _distinct(cells)
    there = {cell.key: found for cell in wanted if (found := result(cell, out)) is not None}
    missing = [cell for cell in wanted if cell.key not in there]
    for cell in missing:
        if others is not None:
            _prepare_others(cell, data, others)
        shards(cell, data)
    told(f"{len(wanted)} cells, {len(wanted) - len(missing)} of them there already")
    if others is not None and (bare := sum("others" not in found for found in there.values())):
        told(f"{bare} of these were never scored on other data: remove their results to have them run again")
    if not missing:
        return
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn"), initializer=_begin_worker) as pool:
        running = {pool.submit(run, cell, data, out, others): cell for cell in missing}
        for count, done in enumerate(as_completed(running), 1):
            told(f"{count}/{len(missing)} {running[done].key}: {_outcome(done)}")


def _outcome(done: Future[dict[str, Any]]) -> str:
    """A line about a cell that is done."""
    try:
        found = done.result()
    except NegmineError as error:
        return f"not run, {error}"
    final = found["curve"][-1]
    return f"group {final['group']:.3f}, R@1 {final['recall']:.3f}, {found['cpu_seconds']:.0f} CPU s"


def _distinct(cells: Iterable[Cell]) -> list[Cell]:
    return list({cell.key: cell for cell in cells}.values())


def _begin_worker() -> None:
    """One thread, with which so small a model is fastest; and no life beyond that of the process that started it."""
    import torch

    torch.set_num_threads(1)
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def run(cell: Cell, data: Path, out: Path, others: Path | None = None) -> dict[str, Any]:
    """Train and score; the result is kept."""
    from ahnpl.losses import build_loss
    from ahnpl.model.checkpoint import list_checkpoints
    from ahnpl.training.config import TrainConfig
    from ahnpl.training.loop import train
    from ahnpl.training.plan import make_plan
    from score import held_out, score

    folder, source = out / "runs" / cell.key, shards(cell, data)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    recipe = cell.recipe if isinstance(cell.recipe, str) else _write_recipe(folder / f"{cell.row}.yaml", cell.recipe)
    members = 1 + cell.negatives if build_loss(recipe).needs_image_negatives else 1
    every = max(1, cell.steps // cell.points)
    config = TrainConfig(
        shards=(f"{source}/*.tar",),
        recipe=recipe,
        model=cell.model,
        out=str(folder),
        steps=cell.steps,
        batch_size=cell.images // members,
        lr=cell.lr,
        negatives=cell.negatives,
        seed=cell.seed,
        workers=0,
        save_every=every,
        keep=cell.points + 100,
        precision="fp32",
    )
    began = time.process_time()
    trained = train(make_plan(config))
    spent = time.process_time() - began
    tests = held_out(source, cell.model)
    saved = {int(path.name.removeprefix("step-")): path for path in list_checkpoints(folder)}
    steps = [step for step in saved if step % every == 0 or step == cell.steps]  # those of epochs' ends lie between
    scores = [score(saved[step], tests) for step in steps]
    found = {
        "cell": asdict(cell),
        "batch_size": config.batch_size,
        "cpu_seconds": spent,
        "wall_seconds": trained.seconds,
        "curve": [
            {"step": step, "cpu_seconds": spent * step / cell.steps, **one.summary}
            for step, one in zip(steps, scores, strict=True)
        ],
        "items": scores[-1].items,
    }
    if others is not None:
        found["others"] = _score_others(saved[steps[-1]], cell, data, others)
    path = _path(cell, out)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path.parent, path.name, json.dumps(found))
    shutil.rmtree(folder)
    return found


def _prepare_others(cell: Cell, data: Path, others: Path) -> None:
    """Before anything is trained: draw what is to be drawn, and refuse data that cannot be read."""
    if cell.domain == "geometry":
        geometry3k(data, others)
    else:
        from nlvr import read_statements

        read_statements(others / "pairs" / "nlvr")


def _score_others(checkpoint: Path, cell: Cell, data: Path, others: Path) -> dict[str, Any]:
    """Test to score, of the tests that suit the cell."""
    import nlvr
    from score import held_out, score

    if cell.domain == "geometry":
        return {"Geometry3K": asdict(score(checkpoint, held_out(geometry3k(data, others), cell.model)))}
    return {"NLVR": asdict(nlvr.score(checkpoint, nlvr.prepare(others / "pairs" / "nlvr", cell.model)))}


def _write_recipe(path: Path, recipe: Mapping[str, Any]) -> str:
    path.write_text(yaml.safe_dump(dict(recipe)), encoding="utf-8")
    return str(path)


def _path(cell: Cell, out: Path) -> Path:
    return out / "cells" / f"{cell.key}.json"
