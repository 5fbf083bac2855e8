"""The benchmarks by the names of their formats."""

from __future__ import annotations

from typing import Final

from ahnpl.evaluation import (
    aro,
    cola,
    cola_single,
    retrieval,
    sugarcrepe,
    sugarcrepe_pp,
    valse,
    vsr,
    winoground,
    zeroshot,
)
from ahnpl.evaluation.tasks import Benchmark

BENCHMARKS: Final[dict[str, Benchmark]] = {
    "aro": aro.BENCHMARK,
    "cola": cola.BENCHMARK,
    "cola-single": cola_single.BENCHMARK,
    "retrieval": retrieval.BENCHMARK,
    "sugarcrepe": sugarcrepe.BENCHMARK,
    "sugarcrepe++": sugarcrepe_pp.BENCHMARK,
    "valse": valse.BENCHMARK,
    "vsr": vsr.BENCHMARK,
    "winoground": winoground.BENCHMARK,
    "zeroshot": zeroshot.BENCHMARK,
}
