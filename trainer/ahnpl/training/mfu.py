"""How much arithmetic a step is, and how much of the device's it uses (model FLOPs utilisation, PaLM, appendix B)."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

PEAKS: Final = {
    "B200": 2250e12,
    "H200": 989e12,
    "H100": 989e12,
    "H100 NVL": 835e12,
    "H100 PCIe": 756e12,
    "A100": 312e12,
    "A10": 125e12,
    "A10G": 70e12,
    "L40S": 362e12,
    "L40": 181e12,
    "L4": 121e12,
    "RTX 4090": 165e12,
    "V100": 125e12,
    "T4": 65e12,
}
"""Dense half-precision FLOP/s that NVIDIA's data sheets give, by words of the device's name."""


def known_peak(name: str) -> float | None:
    """The entry of `PEAKS` whose words are all in a device's name; of several the longest."""
    words = set(re.split(r"[\s-]+", name))
    found = [mark for mark in PEAKS if words.issuperset(mark.split())]
    return PEAKS[max(found, key=len)] if found else None


class _Counter(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts as torch's ``FlopCounterMode`` does, and leaves every operation as it is: that one takes some apart, such
    as the way back through SiLU, and the step that is counted must be the step that is not, bit for bit."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.flops = 0

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        given = kwargs or {}
        out = func(*args, **given)
        formula = flop_registry.get(getattr(func, "_overloadpacket", None))
        if formula is not None:
            self.flops += formula(*args, **given, out_val=out)
        return out


class FlopMeter:
    """FLOPs of a step, counted once, on the first.

    Recomputation (checkpointing, batches in parts) is counted as work too.
    """

    def __init__(self, device: torch.device, precision: str) -> None:
        self.device, self.precision = device, precision
        self.per_step = 0.0
        self._peak = 0.0

    @contextmanager
    def counted(self) -> Iterator[None]:
        """Count the step within, if none was counted yet."""
        if self.per_step:
            yield
            return
        with _Counter() as counter:
            yield
        self.per_step = float(counter.flops)

    def rates(self, steps: int, seconds: float) -> dict[str, float]:
        """TFLOP/s, share of the peak in percent, and on a GPU the peak memory in GiB."""
        if not steps:
            return {}
        self._peak = self._peak or peak(self.device, self.precision)
        rate = self.per_step * steps / seconds
        rates = {"tflops": rate / 1e12, "mfu_percent": 100 * rate / self._peak}
        if self.device.type == "cuda":
            rates["peak_memory_gib"] = torch.cuda.max_memory_allocated(self.device) / 2**30
        return rates


def peak(device: torch.device, precision: str) -> float:
    """FLOP/s of the device: from `PEAKS` for known GPUs in half precision, else what a product of matrices reaches."""
    if device.type == "cuda" and precision != "fp32":
        known = known_peak(torch.cuda.get_device_name(device))
        if known is not None:
            return known
    size = 4096 if device.type == "cuda" else 512
    kind = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(precision, torch.float32)
    matrix = torch.ones(size, size, device=device, dtype=kind)
    best = 0.0
    for _ in range(5):
        started = time.perf_counter()
        matrix @ matrix
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        best = max(best, 2 * size**3 / (time.perf_counter() - started))
    return best
