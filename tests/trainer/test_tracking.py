"""Where numbers go: trackers that are installed take what metrics.jsonl takes, and runs are drawn side by side."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ahnpl.training.config import TrainConfig
from ahnpl.training.curves import draw_comparison, figures
from ahnpl.training.loop import train
from ahnpl.training.plan import make_plan
from ahnpl.training.track import open_trackers
from negmine.base.errors import UsageError
from negmine.contract.training_runs import METRICS_NAME, TrainingRun, read_metrics, read_runs
from PIL import Image

ROWS = [(1, {"loss": 2.0, "loss/contrastive": 1.5}), (2, {"loss": 1.0}), (2, {"eval/accuracy": 0.75})]


def log(names: list[str], run: Path, rows: list[tuple[int, dict[str, float]]], resumed_step: int = 0) -> None:
    for tracker in open_trackers(names, run, {"lr": 1e-3, "shards": ["a", "b"]}, resumed_step):
        for step, values in rows:
            tracker.log(step, values)
        tracker.close()


class TestTensorBoard:
    @pytest.fixture
    def read(self) -> Callable[[Path], dict[str, list[tuple[int, float]]]]:
        accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")

        def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
            found = accumulator.EventAccumulator(str(run))
            found.Reload()
            return {name: [(e.step, e.value) for e in found.Scalars(name)] for name in found.Tags()["scalars"]}

        return scalars

    def test_takes_every_number(self, tmp_path: Path, read: Callable[[Path], Any]) -> None:
        log(["tensorboard"], tmp_path, ROWS)
        assert read(tmp_path) == {
            "loss": [(1, 2.0), (2, 1.0)],
            "loss/contrastive": [(1, 1.5)],
            "eval/accuracy": [(2, 0.75)],
        }

    def test_a_resumed_run_replaces_what_came_after(self, tmp_path: Path, read: Callable[[Path], Any]) -> None:
        log(["tensorboard"], tmp_path, [(step, {"loss": float(step)}) for step in (1, 2, 3, 4)])
        log(["tensorboard"], tmp_path, [(3, {"loss": 30.0})], resumed_step=2)
        assert read(tmp_path)["loss"] == [(1, 1.0), (2, 2.0), (3, 30.0)]
        log(["tensorboard"], tmp_path, [(0, {"loss": 5.0})])
        assert read(tmp_path)["loss"] == [(0, 5.0)]


def test_wandb_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """It logs without a network, says nothing on stdout, and goes on under the same id after a resume."""
    pytest.importorskip("wandb")
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "false")
    (tmp_path / "precious").write_text("kept")
    (tmp_path / "wandb.id").symlink_to(tmp_path / "precious")
    log(["wandb"], tmp_path, ROWS)
    assert (tmp_path / "precious").read_text() == "kept"
    first = (tmp_path / "wandb.id").read_text()
    log(["wandb"], tmp_path, [(3, {"loss": 0.5})], resumed_step=2)
    runs = [path.name for path in (tmp_path / "wandb").glob("offline-run-*")]
    assert len(runs) == 2 and all(name.endswith(first) for name in runs)
    assert capsys.readouterr().out == ""
    log(["wandb"], tmp_path, ROWS)
    assert (tmp_path / "wandb.id").read_text() != first


def test_trackio(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Rows are in its local database, and nothing is on stdout."""
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    pytest.importorskip("trackio")
    run = tmp_path / "my-run"
    run.mkdir()
    log(["trackio"], run, ROWS)
    assert capsys.readouterr().out == ""
    (database,) = (tmp_path / "trackio").rglob("negmine.db")
    with sqlite3.connect(database) as connection:
        rows = connection.execute("SELECT step, metrics FROM metrics WHERE run_name = 'my-run' ORDER BY id").fetchall()
    assert [(step, json.loads(metrics)["loss"]) for step, metrics in rows[:2]] == [(1, 2.0), (2, 1.0)]


class TestComparison:
    def run(self, folder: Path, recipe: str, *losses: float, score: float | None = None) -> Path:
        folder.mkdir(parents=True)
        rows = [{"step": 10 * n, "loss": loss, "samples_per_s": 100.0 * n} for n, loss in enumerate(losses, 1)]
        scored = [] if score is None else [{"step": 10, "eval/accuracy": score}, {"step": 20, "eval/accuracy": 0.5}]
        (folder / METRICS_NAME).write_text("".join(json.dumps(row) + "\n" for row in rows + scored))
        config = {"recipe": recipe, "model": "tiny", "out": str(folder), "seed": 0}
        (folder / "run.json").write_text(json.dumps({"config": config}))
        return folder

    def test_what_is_told_of_a_run(self, tmp_path: Path) -> None:
        (record,) = read_runs([self.run(tmp_path / "a", "clip", 3.0, 2.0, score=0.75)])
        assert record.points("loss") == [(10, 3.0), (20, 2.0)]
        told = {"recipe": "clip", "model": "tiny", "seed": 0, "steps": 20, "loss": "2", "accuracy": "0.5, best 0.75"}
        assert figures(record) == {**told, "samples/s, median": "150"}

    def test_names_are_as_short_as_they_can_be(self, tmp_path: Path) -> None:
        folders = [self.run(tmp_path / name, "clip", 1.0) for name in ("x/a", "y/a", "y/b")]
        assert [run.name for run in read_runs([*folders, folders[0]])] == ["x/a", "y/a", "y/b"]
        assert [run.name for run in read_runs(folders[1:])] == ["a", "b"]

    def test_each_run_has_its_colour_in_the_picture(self, tmp_path: Path) -> None:
        runs = read_runs(
            [
                self.run(tmp_path / name, recipe, 3.0, 2.0, score=score)
                for name, recipe, score in (("a", "clip", 0.7), ("b", "ahnpl", 0.8), ("c", "ahnpl", None))
            ]
        )

        def colours(some: list[TrainingRun]) -> set[tuple[int, ...]]:
            picture = np.asarray(Image.open(draw_comparison(some, tmp_path / "compare.png")).convert("RGB"))
            found = {tuple(row) for row in np.unique(picture.reshape(-1, 3), axis=0).tolist()}
            return found & {(31, 119, 180), (255, 127, 14), (44, 160, 44)}

        assert len(colours(runs)) == 3
        assert len(colours(runs[:2])) == 2

    def test_what_is_no_run(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"metrics\.jsonl"):
            read_runs([tmp_path])
        runs = read_runs([self.run(tmp_path / "a", "clip", 1.0)])
        with pytest.raises(UsageError, match="PNG"):
            draw_comparison(runs, tmp_path / "compare")

    def test_a_real_run_can_be_compared_with_itself(self, shards: Path, micro: str, tmp_path: Path) -> None:
        config = TrainConfig(
            shards=(f"{shards}/*.tar",),
            model=micro,
            out=str(tmp_path / "run"),
            steps=3,
            batch_size=16,
            workers=0,
            log_every=1,
            eval_shards=(f"{shards}/00002.tar",),
        )
        train(make_plan(config))
        (record,) = read_runs([tmp_path / "run"])
        assert len(record.points("loss")) == 3
        assert [value for _, value in record.points("eval/accuracy")] == [
            row["eval/accuracy"] for row in read_metrics(tmp_path / "run") if "eval/accuracy" in row
        ]
        assert draw_comparison([record], tmp_path / "one.png").stat().st_size > 10_000
