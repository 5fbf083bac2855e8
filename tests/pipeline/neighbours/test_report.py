"""What the summary suggests holds when it is done, and the page shows what is in the table."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from negmine.engine.local import LocalEngine
from negmine.stages.neighbours.recipe import override
from negmine.stages.neighbours.report import Histogram
from negmine.stages.neighbours.settings import RetrieveSettings
from negmine.stages.neighbours.stage import retrieve
from negmine.stages.neighbours.summary import mined
from negmine.stages.pairs.settings import IngestSettings
from negmine.stages.pairs.stage import ingest

from tests.pipeline.conftest import SAMPLE
from tests.pipeline.neighbours.conftest import make_work, table, unit


def test_quantiles_of_a_histogram() -> None:
    values = np.random.default_rng(0).normal(size=5_000)
    found = Histogram(float(values.min()), float(values.max()))
    for some in np.array_split(values, 7):
        found.add(some)
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        assert found.quantile(share) == pytest.approx(np.quantile(values, share), abs=0.01)
    assert np.isnan(Histogram(0, 1).quantile(0.5))


@pytest.mark.parametrize("name", ["margin", "percentage"])
def test_the_suggested_threshold_leaves_enough_and_no_more_would(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    vectors = np.repeat(unit(rng, 150, 6), 2, axis=0) + 0.3 * unit(rng, 300, 6)
    encoder = make_work(tmp_path, [f"i{n // 2}" for n in range(300)], [f"text {n}" for n in range(300)], vectors, 100)
    work, plain = tmp_path / "work", RetrieveSettings(encoder=encoder, candidates=20, neighbours=5)
    figures = mined(retrieve(plain, work, LocalEngine(1)), plain, work)
    rows = table(work / "neighbours")
    scores = [row["score"] for row in rows if row["reason"] not in ("itself", "same_image")]
    assert figures["score of candidates"]["50% below"] == pytest.approx(np.median(scores), abs=0.002)
    suggested = figures["5 are left to 95% of the pairs up to"]
    value = float(re.search(rf"{name}=(-?[\d.]+)", suggested)[1])  # type: ignore[index]

    def short(threshold: float) -> float:
        chosen = override(plain, filters=[f"{name}={threshold}"])
        return retrieve(chosen, work, LocalEngine(1), overwrite=True).counts["fewer_than_asked"] / 300

    tighter = value + 0.03 if name == "margin" else value - 0.03
    assert short(value) <= 0.065
    assert short(tighter) > 0.05


def test_the_page_shows_images_captions_and_reasons(tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (SAMPLE / "captions.jsonl").read_text().splitlines()[:150]]
    lines[0]["caption"] = "<script>alert(1)</script> & a horse"
    (tmp_path / "c.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    work = tmp_path / "work"
    pairs = ingest(IngestSettings(str(tmp_path / "c.jsonl"), images=str(SAMPLE)), work, LocalEngine(1))
    assert pairs.counts["pairs"] == 150
    chosen = RetrieveSettings(("t2t:bm25",), filters={"near_text": {"overlap": 0.2}}, neighbours=3)
    retrieve(chosen, work, LocalEngine(1))
    page = (work / "neighbours" / "examples.html").read_text()
    assert page.count("<section") == 12
    assert page.count("data:image/webp;base64,") == page.count("<figure>") > 40
    assert "refused: near_text" in page
    assert "<script" not in page
    shown = re.findall(r"<small>([0-9a-f]{20})</small>", page)
    rows = {(row["key"], row["neighbour_key"]) for row in table(work / "neighbours")}
    first = re.findall(r"<section.*?</section>", page)[0]
    keys = re.findall(r"<small>([0-9a-f]{20})</small>", first)
    assert all((keys[0], other) in rows for other in keys[1:])
    assert len(shown) == page.count("<figure>")
