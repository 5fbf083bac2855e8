"""The programs in `examples/` run as they stand, in an empty folder, and leave what they say."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "data" / "sample"


def example(name: str, *arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2_000:]
    return done.stdout


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("examples")
    return folder, example("whole_way.py", str(SAMPLE / "captions.jsonl"), str(SAMPLE), "120", "4", cwd=folder)


def test_whole_way(whole: tuple[Path, str]) -> None:
    folder, said = whole
    assert "4 steps; caption before its negatives: " in said
    assert "replace_object: " in said
    assert sorted(path.name for path in folder.iterdir()) == ["data-out", "run", "work"]


def test_own_loop_and_own_loss(whole: tuple[Path, str]) -> None:
    folder, _ = whole
    said = example("own_loop.py", "data-out/*.tar", "tiny", "2", cwd=folder).splitlines()
    assert [line.split(":")[0] for line in said] == ["step 0", "step 1"]
    assert "checkpoints/step-" in example("own_loss.py", "data-out/*.tar", cwd=folder)


def test_own_rule(tmp_path: Path) -> None:
    (tmp_path / "c.jsonl").write_text('{"caption": "a man walks down a sunny street", "image": "1.jpg"}\n')
    said = example("own_rule.py", "c.jsonl", cwd=tmp_path)
    assert "a man walks down a snowy street" in said
