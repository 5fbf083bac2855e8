"""`benchmarks/speed`: turns and quotients, the arithmetic of costs, and the page that is written from what was kept."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Iterator
from itertools import count
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "speed"
NAMES = ("comparison", "costs", "memory", "page", "__main__")


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.syspath_prepend(str(FOLDER))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")

    def load(name: str) -> ModuleType:
        if name != "__main__":
            return importlib.import_module(name)
        spec = importlib.util.spec_from_file_location("speed_main", FOLDER / "__main__.py")
        assert spec is not None
        assert spec.loader is not None
        loaded = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(loaded)
        return loaded

    yield load
    for name in NAMES:
        if name != "__main__":
            sys.modules.pop(name, None)


def test_a_ratio_is_that_of_the_turns(module: Any) -> None:
    """A machine that slows down for a turn slows both down."""
    row = module("comparison").Row("x", "things/s", [100, 10, 100], "peer", [50, 5, 40])
    assert (row.ratio.low, row.ratio.middle, row.ratio.high) == (2, 2, 2.25)
    assert row.cells()[2:6] == ("100.0 (55.0 to 100.0)", "peer", "40.0 (22.5 to 45.0)", "2.00 (2.00 to 2.25)")


def test_runs_take_turns_and_the_warm_ones_do_not_count(module: Any) -> None:
    clock, order = count(), []

    def run(name: str, done: float) -> Any:
        return lambda: (order.append(name), done)[1]

    runs = {"a": run("a", 6.0), "b": run("b", 8.0)}
    rates = module("comparison").take_turns(runs, 2, clock=lambda: float(next(clock)), warm=1)
    assert order == ["a", "b"] * 3
    assert rates == {"a": [6.0, 6.0], "b": [8.0, 8.0]}


def some(module: Any) -> dict[str, Any]:
    """What `costs` needs, in round numbers: by core second 100 pairs of each command, 1e9 operations."""
    of, costs = module("comparison"), module("costs")

    def made(name: str, rows: dict[str, float], facts: dict[str, float]) -> Any:
        return of.Comparison(name, "setting", [of.Row(what, "x/s", [rate]) for what, rate in rows.items()], (), facts)

    commands = {f"{costs.RATE}{name}": 100.0 for name in ("parse", "retrieve", "shard")}
    return {
        "memory": made("memory", {"`parse`": 100}, commands | {f"{costs.BYTES}shards": 7000.0}),
        "encode": made("encode", {"encoder `minilm`": 200, "encoder `lite0`": 10}, {}),
        "search": made("search", {"search, products in bfloat16": 1000}, {costs.OPERATIONS: 1e6}),
        "streaming": made("streaming", {costs.DECODED: 500}, {}),
    }


def test_costs_by_hand(module: Any) -> None:
    hours, written = module("costs").tables(some(module))
    table = {row[0]: row[1:] for row in hours}
    assert table["`parse`"] == ["2.8", "278", "2,778"]  # 1e6 / 100 / 3600
    assert table["images embedded, `lite0`"][0] == "28"
    exact, cells = 2 * 1e6 * 1e6 * 384 / 1e9 / 3600, 2 * 1e9 * 8e6 * 384 / 1e9 / 3600
    assert table["search, one direction"] == [f"{exact:,.0f}", f"{cells / 10:,.0f}", f"{cells:,.0f}"]
    total = exact + 1e6 / 3600 * (3 / 100 + 1 / 200 + 1 / 10 + 1 / 500)
    assert table["**all**"][0] == f"**{total:,.0f}**"
    assert written[1] == ["`shards/`", "7 GB", "700 GB", "7 TB"]


def test_the_page_comes_from_all_that_was_kept(module: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One comparison measured again alone leaves the others; costs appear when all they need is there."""
    main, found = module("__main__"), some(module)
    (tmp_path / "captions").mkdir()
    (tmp_path / main.CAPTIONS).write_text("{}")
    runs = {name: lambda one=one: one for name, one in found.items()}
    monkeypatch.setattr(main, "comparisons", lambda *_, **__: runs)
    page = tmp_path / "speed.md"

    def measure(only: str) -> str:
        where = ["--data", str(tmp_path), "--out", str(page), "--runs", str(tmp_path / "runs")]
        monkeypatch.setattr(sys, "argv", ["speed", "--only", only, *where])
        main.main()
        return page.read_text()

    first = measure("encode,search")
    assert "## encode" in first
    assert "## memory" not in first
    assert "What a number of pairs costs" not in first
    whole = measure("memory,streaming")
    assert [line for line in whole.splitlines() if line.startswith("## ")] == [
        "## search",
        "## encode",
        "## streaming",
        "## memory",
        "## What a number of pairs costs",
    ]
    assert "| encoder `minilm` | x/s | 200 | 1 |" in whole
    assert "--only encode\n" in whole


def test_results_of_two_machines_make_no_page(module: Any, tmp_path: Path) -> None:
    page, one = module("page"), some(module)["encode"]
    here = page.machine()
    results = [page.Result(one, machine, (0.0, 0.0), 1.0, "x") for machine in (here, here | {"cores": "96"})]
    results[0].write(tmp_path)
    assert page.page([page.Result.read(tmp_path / "encode.json")]) == page.page(results[:1])
    with pytest.raises(SystemExit, match="cores"):
        page.write_page(results, tmp_path / "speed.md")


def test_what_a_command_costs_is_that_of_its_processes(module: Any) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(20_000_000))'])"
    taken = module("memory").run([sys.executable, "-c", code])
    assert 0.1 < taken.cpu < 20
    assert taken.peak_mb > 5
