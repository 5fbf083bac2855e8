"""What a run counts while it trains, and what a row of metrics.jsonl says of a step."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator

from ahnpl.data.batch import Batch, Legible
from ahnpl.losses import LossOut
from ahnpl.training.mfu import FlopMeter


class Meter:
    """Time, samples and negatives of a run: since the last row, and in all.

    Attributes:
        seconds: of training; evaluation and saving between epochs are not counted.
        samples: trained on, by all ranks.
        bad: samples left out on this rank, by what is wrong with them.
        legible: of the negatives seen on this rank, how many the model can tell from true captions.
    """

    def __init__(self, flops: FlopMeter) -> None:
        self.flops = flops
        self.seconds, self.samples, self.bad, self.legible = 0.0, 0, Counter[str](), Legible()
        self._begin_window()

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The batches of an epoch; waiting for them is counted."""
        self._begin_window()
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self._waited += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        self.end_window()

    def count(self, batch: Batch, ranks: int) -> None:
        """A step was done with this batch on each of so many ranks."""
        self._steps += 1
        self._samples += len(batch.keys) * ranks
        self._legible += batch.legible
        self.bad.update(bad.kind for bad in batch.bad)
        self.legible += batch.legible

    def end_window(self) -> dict[str, float]:
        """Rates since the last row: samples/s, the share of time spent waiting for data, FLOP/s."""
        seconds = max(time.perf_counter() - self._started, 1e-9)
        rates = {"samples_per_s": self._samples / seconds, "data_wait_percent": 100 * self._waited / seconds}
        rates |= {"alike_negatives_percent": self._legible.percent_alike} if self._legible.total else {}
        rates |= self.flops.rates(self._steps, seconds)
        self.seconds += seconds
        self.samples += self._samples
        self._begin_window()
        return rates

    def _begin_window(self) -> None:
        self._steps, self._samples, self._legible, self._waited = 0, 0, Legible(), 0.0
        self._started = time.perf_counter()


def numbers_of(out: LossOut) -> dict[str, float]:
    """A loss, its parts, and what its terms found worth telling."""
    numbers = {"loss": float(out.total.detach())}
    numbers |= {f"loss/{name}": float(value.detach()) for name, value in out.parts.items()}
    for name, value in out.stats.items():
        flat = value.flatten().cpu().tolist()
        numbers |= {name: flat[0]} if len(flat) == 1 else {f"{name}/{i}": number for i, number in enumerate(flat)}
    return numbers
