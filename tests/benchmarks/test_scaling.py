"""`benchmarks/scaling.py`: rates are read off the page about speed, the arithmetic is right, the section is placed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def scaling(load: Callable[[str], ModuleType]) -> ModuleType:
    return load("scaling")


@pytest.fixture
def rates(scaling: Any) -> dict[str, float]:
    """Round numbers: a step of 1/1,000 core second a pair each, 100 bytes of each table."""
    by_pair = dict.fromkeys(
        ("rows", "inspected", "parse", "captions", "retrieve", "shrunk", "photos", "samples"), 1_000.0
    )
    sizes = {f"{name}_bytes": 100.0 for name in ("pairs", "negatives", "embeddings", "neighbours")}
    images = {"photo_bytes": 50_000.0, "small_bytes": 20_000.0, "tiny_bytes": 2_000.0, "shards_bytes": 5_000.0}
    searched = {"queries": 2 * scaling.DIMENSIONS * 1e9 / scaling.SEARCHED}  # 1e9 comparisons a second
    return (
        by_pair
        | sizes
        | images
        | searched
        | {"parse_mb": 2_000.0, "parts": 100.0, "manifest_bytes": 200.0, "load_us": 10.0}
    )


def test_the_page_about_speed_says_all_rates(scaling: Any) -> None:
    found = scaling.read_rates((ROOT / "docs" / "speed.md").read_text())
    assert found.keys() == scaling._READ.keys()
    assert all(number > 0 for number in found.values())
    with pytest.raises(SystemExit, match="parse_mb"):
        scaling.read_rates((ROOT / "docs" / "speed.md").read_text().replace("s on the wall, peak", "s, peak"))


def test_a_million_by_hand(scaling: Any, rates: dict[str, float]) -> None:
    found = scaling.cost(10**6, rates)
    steps = found.core_hours
    assert len(steps) == 7
    assert steps["searched"] == pytest.approx(1e6 * 1e6 / 1e9 / 3600)  # every caption with every other
    assert sum(steps.values()) == pytest.approx(6 * 1e6 / 1e3 / 3600 + steps["searched"])
    alone = 1e6 / 1e3 / 3600  # one core reads the source
    assert found.wall_hours == pytest.approx(alone + (5 * alone + steps["searched"]) / 16)
    assert found.bytes == {"images as they came": 5e10, "`work/`": 4e8, "shards, 224 pixels": 2.3e10}
    assert found.memory == 16e9


def test_a_thousand_million_is_cells(scaling: Any, rates: dict[str, float]) -> None:
    found = scaling.cost(10**9, rates)
    assert found.folders == 1_000
    assert found.core_hours["searched"] == pytest.approx(1e9 * 8e6 / 1e9 / 3600)
    cores = found.machines * found.cores
    alone = 1e9 / 1e3 / 3600
    assert found.wall_hours == pytest.approx(alone / 1_000 + (5 * alone + found.core_hours["searched"]) / cores)


def test_the_section_takes_the_place_of_the_one_before(scaling: Any, rates: dict[str, float]) -> None:
    page = f"# Scaling\n\n{scaling.START}\nearlier text\n{scaling.END}\n\n## More\n"
    once = scaling.placed(page, scaling.section(rates))
    assert "earlier text" not in once and once.startswith("# Scaling") and once.endswith("## More\n")
    assert scaling.placed(once, scaling.section(rates)) == once
    assert "| **all** |" in once and max(map(len, once.splitlines())) <= 160
    with pytest.raises(SystemExit):
        scaling.placed("# Scaling\n", "")
