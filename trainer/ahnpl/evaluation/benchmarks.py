"""The benchmarks by the names of their formats."""

from __future__ import annotations

from typing import Final

from ahnpl.evaluation import (
    aro,
    cola,
    cola_single,
    retrieval,
    sugarcrepe,
    valse,
    vsr,
    zeroshot,
)
from ahnpl.evaluation.rows import ROWS
from ahnpl.evaluation.sets import SETS
from ahnpl.evaluation.tasks import Benchmark

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "aro": aro.BENCHMARK,
    "cola": cola.BENCHMARK,
    "cola-single": cola_single.BENCHMARK,
    "retrieval": retrieval.BENCHMARK,
    "rows": ROWS,
    "sugarcrepe": sugarcrepe.BENCHMARK,
    "valse": valse.BENCHMARK,
    "vsr": vsr.BENCHMARK,
    "zeroshot": zeroshot.BENCHMARK,
    **SETS,
}
