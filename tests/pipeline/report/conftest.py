"""Work folders made once by the stages themselves, and runs as the trainer leaves them."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from negmine.engine.local import LocalEngine
from negmine.stages.figures.settings import GroupSettings, RenderSettings
from negmine.stages.figures.stage import render
from negmine.stages.negatives.presets import load_preset
from negmine.stages.negatives.rules import RULES
from negmine.stages.negatives.stage import parse_pairs
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest

from tests.pipeline.conftest import SAMPLE, add_negatives

ATTACK = '<script>alert(1)</script> & "a" horse'
"""A caption, and the id of its image."""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """``parsed``, ``mined`` and ``figures``: a work folder each."""
    root, engine = tmp_path_factory.mktemp("report"), LocalEngine(1)
    lines = [json.loads(line) for line in (SAMPLE / "captions.jsonl").read_text().splitlines()]
    lines[0] |= {"caption": ATTACK, "image_id": ATTACK}
    source = root / "captions.jsonl"
    source.write_text("".join(json.dumps(line) + "\n" for line in lines))
    for name, limit in (("parsed", None), ("mined", 150)):
        ingest(IngestSettings(str(source), images=str(SAMPLE), limit=limit, part_size=200), root / name, engine)
    parse_pairs(replace(load_preset("swaps"), rules=tuple(RULES)), root / "parsed", engine)
    add_negatives(root / "mined")
    mining = RetrieveSettings(("t2t:bm25",), candidates=30, filters={"near_text": {"overlap": 0.3}}, neighbours=4)
    retrieve(mining, root / "mined", engine)
    render(
        RenderSettings(GroupSettings("scenes", level=2, negatives=3, size=64, seed=0), count=60),
        root / "figures",
        engine,
    )
    return root


@pytest.fixture
def parsed_work(made: Path, tmp_path: Path) -> Path:
    """The sample with negatives of every rule."""
    return Path(shutil.copytree(made / "parsed", tmp_path / "parsed"))


@pytest.fixture
def mined_work(made: Path, tmp_path: Path) -> Path:
    """150 pairs with simple negatives and mined neighbours, some refused; one caption is `ATTACK`."""
    return Path(shutil.copytree(made / "mined", tmp_path / "mined"))


@pytest.fixture
def figures_work(made: Path, tmp_path: Path) -> Path:
    """60 groups of scenes."""
    return Path(shutil.copytree(made / "figures", tmp_path / "figures"))


def write_run(folder: Path, recipe: str, accuracy: float, kinds: dict[str, float] | None = None) -> Path:
    """A run folder with a few rows."""
    folder.mkdir(parents=True)
    rows: list[dict[str, float]] = [{"step": 1, "loss": 2.0}, {"step": 2, "loss": 1.0, "samples_per_s": 10.0}]
    rows.append({"step": 2, "eval/accuracy": accuracy, **{f"kind/{k}": share for k, share in (kinds or {}).items()}})
    rows.append({"step": 3, "loss": 0.5})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = {"recipe": recipe, "seed": 0, "out": str(folder), "shards": ["a.tar"]}
    (folder / "run.json").write_text(json.dumps({"config": config}))
    return folder
