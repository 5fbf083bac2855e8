"""What a run changes in its process while it lasts: what signals do, how products are rounded and sums ordered."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ahnpl.data.workers import STOP_SIGNALS


@contextmanager
def stop_on_signals() -> Iterator[threading.Event]:
    """An event that `STOP_SIGNALS` set, however often; the loop looks at it after each step."""
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    heard = [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]  # nohup ignores one
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in heard}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def products_rounded(precision: str) -> Iterator[None]:
    """On a GPU products of float32 matrices take TF32 (``high``) or bf16 (``medium``).

    Args:
        precision: of ``torch.set_float32_matmul_precision``.
    """
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


@contextmanager
def sums_in_one_order(device: torch.device, *, on_gpu: bool = False) -> Iterator[None]:
    """On a CPU gradients of what several read (positions, repeated texts) are summed in one order.

    Else torch's threads add them as they come, and no two runs of several threads are the same.

    Args:
        on_gpu: also on a GPU, as far as torch has such an algorithm; it warns where it has none.
    """
    switches: Any = torch.utils.deterministic  # its stub knows no switches
    before = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    if device.type == "cpu" or on_gpu:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
        torch.use_deterministic_algorithms(True, warn_only=True)
        switches.fill_uninitialized_memory = False  # which is slow, and nothing here reads such memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        switches.fill_uninitialized_memory = before[1]
