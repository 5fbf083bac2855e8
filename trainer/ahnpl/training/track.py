"""Where numbers go while a model trains: metrics.jsonl always, the terminal, and trackers that were asked for."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from typing import Protocol

from negmine.base.console import PLAIN_INTERVAL, messages, note
from negmine.base.errors import UsageError
from negmine.base.names import pick
from negmine.contract.training_runs import BY_KIND, METRICS_NAME, read_metrics
from negmine.store import write_text
from rich.live import Live
from rich.text import Text

PROJECT = "negmine"
"""What runs are filed under in trackers that file them."""


class Tracker(Protocol):
    """Takes rows of numbers."""

    def log(self, step: int, values: Mapping[str, float]) -> None: ...

    def close(self) -> None: ...


class JsonLines:
    """``metrics.jsonl``: one JSON object a row. Rows after the step that a run resumes from are dropped first."""

    def __init__(self, run: Path, resumed_step: int) -> None:
        path = run / METRICS_NAME
        kept = [row for row in read_metrics(run) if row["step"] <= resumed_step]
        write_text(run, METRICS_NAME, "".join(json.dumps(row) + "\n" for row in kept))  # a kill here loses no row
        self._file = path.open("a", encoding="utf-8")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._file.write(json.dumps({"step": step, **values}) + "\n")
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class Terminal:
    """Live numbers on a terminal, a plain line every few seconds elsewhere."""

    def __init__(self, total_steps: int) -> None:
        self.total = total_steps
        self._live = Live(console=messages, transient=True, refresh_per_second=4) if messages.is_terminal else None
        self._printed_at = float("-inf")
        if self._live:
            self._live.start()

    def log(self, step: int, values: Mapping[str, float]) -> None:
        lines = [
            f"step {step:,} of {self.total:,}  {line}" if i == 0 else line for i, line in enumerate(_lines(values))
        ]
        if self._live:
            self._live.update(Text("\n".join(lines)))
        elif self._is_due(step, values):
            self._printed_at = time.monotonic()
            note("  ".join(lines))

    def _is_due(self, step: int, values: Mapping[str, float]) -> bool:
        scored = any(name.startswith("eval/") for name in values)
        return scored or step == self.total or time.monotonic() - self._printed_at >= PLAIN_INTERVAL

    def close(self) -> None:
        if self._live:
            self._live.stop()


class TensorBoard:
    """TensorBoard event files in the run folder; what an earlier run wrote there after `resumed_step` is hidden."""

    def __init__(self, run: Path, config: Mapping[str, object], resumed_step: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(run), purge_step=resumed_step + 1 if resumed_step else 0)
        self._writer.add_text("config", json.dumps(dict(config), indent=1, default=str), resumed_step)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        self._writer.close()


class RunLogger:
    """Weights & Biases, or trackio, which speaks its language; what they print goes to stderr."""

    def __init__(self, module: str, run: Path, config: Mapping[str, object], **options: object) -> None:
        self._module = import_module(module)
        with redirect_stdout(sys.stderr):
            self._module.init(project=PROJECT, name=run.name, config=dict(config), **options)

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._module.log(dict(values), step=step)

    def close(self) -> None:
        with redirect_stdout(sys.stderr):
            self._module.finish()


def _wandb(run: Path, config: Mapping[str, object], resumed_step: int) -> Tracker:
    """A resumed run goes on under the id that its folder keeps.

    Raises:
        UsageError: W&B does not let us in.
    """
    refused = import_module("wandb").Error
    kept = run / "wandb.id"
    if not resumed_step or kept.is_symlink() or not kept.is_file():  # a link may lead to what is nobody's id
        write_text(run, kept.name, secrets.token_hex(8))
    try:
        return RunLogger("wandb", run, config, dir=str(run), id=kept.read_text(encoding="utf-8"), resume="allow")
    except refused as error:
        raise UsageError(
            "W&B refuses this run", why=str(error), fix="`wandb login`, or set WANDB_MODE=offline"
        ) from None


def _trackio(run: Path, config: Mapping[str, object], resumed_step: int) -> Tracker:
    return RunLogger("trackio", run, config, resume="allow" if resumed_step else "never")


TRACKERS: dict[str, Callable[[Path, Mapping[str, object], int], Tracker]] = {
    "tensorboard": TensorBoard,
    "wandb": _wandb,
    "trackio": _trackio,
}


def open_trackers(
    names: Sequence[str], run: Path, config: Mapping[str, object], resumed_step: int = 0
) -> list[Tracker]:
    """The trackers that were asked for.

    Args:
        resumed_step: the step an earlier run of the folder is taken up from; 0 for a new run.

    Raises:
        UsageError: an unknown name, or its package is not installed.
    """
    trackers = []
    for name in names:
        make = TRACKERS[pick("tracker", name, TRACKERS)]
        try:
            trackers.append(make(run, config, resumed_step))
        except ImportError as error:
            raise UsageError(
                f"--track {name} needs a package that is not installed",
                why=str(error),
                fix="pip install 'negmine[track]', or leave --track away: metrics.jsonl is always written",
            ) from None
    return trackers


def _lines(values: Mapping[str, float]) -> list[str]:
    """Totals and rates, then the parts of the loss, then what the terms report, such as margins; no single kinds."""
    totals = {name: value for name, value in values.items() if "/" not in name}
    parts = {name.removeprefix("loss/"): value for name, value in values.items() if name.startswith("loss/")}
    others = {name: value for name, value in values.items() if "/" in name and not name.startswith(("loss/", BY_KIND))}
    shown = ("  ".join(f"{name} {value:.3g}" for name, value in group.items()) for group in (totals, parts, others))
    return [line for line in shown if line]
