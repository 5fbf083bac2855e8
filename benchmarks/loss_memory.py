"""How much memory and time the loss takes, forward and backward, by the rows that stand at one time.

    python benchmarks/loss_memory.py            [RECIPE, default ahnpl]

Random features of 512, four negatives a caption, float32, one thread, no towers; each cell in a process of its own. MiB
of its peak beyond what it had before the loss, and CPU seconds. *Own rows of 8* is `--local-loss` on one of 8
processes, without the messages.
"""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time

import torch
from ahnpl.losses import Features, build_loss
from torch.nn import functional as F

WIDTH, SLOTS = 512, 4


def main() -> None:
    recipe = sys.argv[1] if len(sys.argv) > 1 else "ahnpl"
    print("| batch | all rows | 256 rows at a time | own rows of 8 |")
    print("| --- | --- | --- | --- |")
    context = multiprocessing.get_context("spawn")
    for batch in (1_024, 2_048, 4_096):
        cells = []
        for at_once, processes in ((None, 1), (256, 1), (None, 8)):
            with context.Pool(1) as pool:
                mib, seconds = pool.apply(measured, (recipe, batch, at_once, processes))
            cells.append(f"{mib:,.0f} MiB, {seconds:.2f} s")
        print(f"| {batch:,} | {' | '.join(cells)} |", flush=True)


def measured(recipe: str, batch: int, at_once: int | None, processes: int) -> tuple[float, float]:
    """MiB and CPU seconds of one loss and its gradient."""
    torch.set_num_threads(1)
    loss = build_loss(recipe)
    _once(loss(_features(64), 16).total)  # what torch keeps for good
    features = _features(batch, slice(0, batch // processes) if processes > 1 else None)
    before, start = _peak(), time.process_time()
    _once(loss(features, at_once).total)
    return (_peak() - before) / 1024, time.process_time() - start


def _once(total: torch.Tensor) -> None:
    torch.autograd.backward(total)


def _features(batch: int, rows: slice | None = None) -> Features:
    def unit(*shape: int) -> torch.Tensor:
        return F.normalize(torch.randn(*shape, WIDTH), dim=-1).requires_grad_()

    negatives = unit(batch, SLOTS)
    return Features(unit(batch), unit(batch), torch.tensor(20.0), negatives, image_ids=torch.arange(batch), rows=rows)


def _peak() -> float:
    """Peak resident memory so far in KiB."""
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main()
