"""Files of settings and records of runs that people break: a message with the file and the place, never a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from negmine.base.documents import parse_toml, parse_yaml, read_settings
from negmine.base.errors import NegmineError, UsageError
from negmine.contract.training_runs import METRICS_NAME, RECORD_NAME, read_runs
from negmine.stages.negatives.presets import load_preset, names
from negmine.stages.neighbours.recipe import load_recipe, recipe_names
from negmine.stages.neighbours.settings import read_source

CASES = Path(__file__).parents[1] / "cases" / "attack"
YAML = sorted(CASES.glob("*.yaml"))
TOML = sorted(CASES.glob("*.toml"))


@pytest.mark.parametrize("path", YAML, ids=lambda path: path.name)
def test_hostile_recipes(path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_recipe(str(path))
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("path", TOML, ids=lambda path: path.name)
def test_hostile_presets(path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        load_preset(str(path))
    assert path.name in str(caught.value.where)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("candidates: x", "candidates is no whole number"),
        ("candidates: true", "candidates is no whole number"),
        ("neighbours: 0", "--neighbours is 0"),
        ("skip: -1", "--skip is -1"),
        ("scores: t2t", "scores is no list"),
        ("scores: [[t2t]]", "scores is no list"),
        ("scores: []", "no score source"),
        ("rerank: 5", "rerank is no text"),
        ("refill: 1", "refill is no true or false"),
        ("filters: [same_text]", "filters is no table"),
        ("filters: {same_text: {x: 1}}", "no option"),
        ("filters: {percentage: .inf}", "must be a number"),
        ("filters: {percentage: .nan}", "must be a number"),
        ("filters: {percentage: 0.-1}", "must be a number"),
        ("filters: {5: 1}", "unknown filter 5"),
        ("sampling: {}", "sampling is no name"),
        ("sampling: {top: 1, half: 2}", "sampling is no name"),
        ("sampling: [top]", "sampling is no name"),
        ("plan: [x]", "plan is no text"),
        ("positive: null", "positive is no text"),
        ("5: x", "a table"),
        ("a: 1\na: 2", "'a' is there twice"),
        ("a: &x [1]\nb: *x", "aliases"),
        ("a: !!python/object/apply:os.system [id]", "no YAML"),
        ("a: 2020-13-45", "no YAML"),
        ("\0", "no YAML"),
    ],
)
def test_recipes_of_wrong_types(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=why):
        _ = load_recipe(str(path)).settings.sources


def test_weights_of_sources_are_finite_and_paths_may_hold_stars() -> None:
    with pytest.raises(UsageError, match="no weight"):
        read_source("1e999*t2t:minilm")
    assert read_source("0.5*t2t:npy:/a*b/c:d.npy").name == "npy:/a*b/c:d.npy"
    assert read_source("t2t:npy:/a*b/c.npy").weight == 1.0


def test_what_comes_with_negmine_is_read() -> None:
    assert all(load_recipe(name) for name in recipe_names())
    assert all(load_preset(name) for name in names())


def test_a_byte_order_mark_is_no_content(tmp_path: Path) -> None:
    path = tmp_path / "r.yaml"
    path.write_bytes(b"\xef\xbb\xbfneighbours: 3\n")
    assert load_recipe(str(path)).settings.neighbours == 3
    assert parse_toml(read_settings(CASES / "bom.toml"), "bom.toml") == {"per_caption": 2}


@pytest.mark.parametrize("depth", [1_000, 100_000])
def test_depth(depth: int) -> None:
    with pytest.raises(UsageError):
        parse_yaml("a: " + "[" * depth, "x.yaml")
    with pytest.raises(UsageError):
        parse_toml("a = " + "[" * depth, "x.toml")


# --- runs ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "line",
    [
        b'{"step": 1, "loss": "\xe9"}',
        b'{"step": 1, "loss": 1' + b"0" * 400 + b"}",
        b'{"step": 1.5}',
        b"[1]",
        b"{}",
        b'{"step": 1, "loss": [1]}',
        b'{"step": 1, "x": ' + b"[" * 100_000,
        b'{"step": ' + b"9" * 5_000 + b"}",
        b"null",
    ],
)
def test_a_row_of_metrics_that_cannot_be_read(line: bytes, tmp_path: Path) -> None:
    (tmp_path / METRICS_NAME).write_bytes(b'{"step": 0, "loss": 1.0}\n' + line + b"\n")
    with pytest.raises(NegmineError) as caught:
        read_runs([tmp_path])
    assert f"{METRICS_NAME}, line 2" in str(caught.value.where)


def test_hostile_metrics(tmp_path: Path) -> None:
    (tmp_path / METRICS_NAME).write_bytes((CASES / "runs_m00000.jsonl").read_bytes())
    with pytest.raises(NegmineError, match="line"):
        read_runs([tmp_path])


@pytest.mark.parametrize(
    "content", [b"\xe9", b"{}", b"[]", b'{"config": [["a", 1]]}', b"[" * 100_000, b'{"config": 5}']
)
def test_a_record_of_a_run_that_cannot_be_read(content: bytes, tmp_path: Path) -> None:
    (tmp_path / METRICS_NAME).write_bytes(b'{"step": 0, "loss": 1.0}\n')
    (tmp_path / RECORD_NAME).write_bytes(content)
    with pytest.raises(NegmineError) as caught:
        read_runs([tmp_path])
    assert RECORD_NAME in str(caught.value.where)
