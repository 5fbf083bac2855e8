"""The training loop: plan, resume, step, evaluate, save."""

from __future__ import annotations

import math
import signal
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from negmine.base.console import note
from negmine.base.errors import InputError, InterruptedRun, NegmineError
from negmine.contract.training_runs import BY_KIND
from negmine.store import locked

from ahnpl.data.stream import Batch, Legible
from ahnpl.data.workers import STOP_SIGNALS, explained
from ahnpl.evaluate.items import shard_items
from ahnpl.evaluate.metrics import Pairs
from ahnpl.evaluate.run import Report, evaluate
from ahnpl.losses import LossOut
from ahnpl.model import checkpoint as ckpt
from ahnpl.train.config import describe
from ahnpl.train.curves import draw_curves
from ahnpl.train.mfu import Work
from ahnpl.train.objective import Objective
from ahnpl.train.optimise import clip_gradients, learning_rate, make_optimiser, set_learning_rate
from ahnpl.train.plan import Plan, make_model, make_stream
from ahnpl.train.state import Run, restore, save, starting_point
from ahnpl.train.teacher import Shadow, Teacher
from ahnpl.train.track import JsonLines, Terminal, Tracker, open_trackers

MAX_LOG_SCALE = math.log(100)
MANY_ALIKE = 1.0
"""Percent of negatives that may read as true captions without a word to the user."""


@dataclass(frozen=True)
class TrainResult:
    """How a run ended.

    Attributes:
        steps: optimiser steps done in all; `resumed` of them by earlier runs.
        seconds: of training in this run, evaluation and start-up not counted.
        samples: trained on in this run.
        bad: samples left out in this run.
        legible: of the negatives seen in this run, how many the model can tell from true captions.
        report: the last evaluation; None without ``eval_shards``.
        checkpoint: the last one.
    """

    steps: int
    resumed: int
    seconds: float
    samples: int
    bad: int
    legible: Legible
    report: Report | None
    checkpoint: Path
    curves: Path | None


def train(plan: Plan, *, overwrite: bool = False) -> TrainResult:
    """Train to the end, from where an earlier run of the same settings stopped.

    Args:
        overwrite: remove what an earlier run left in the folder.

    Raises:
        DamagedError: the folder holds a run with other settings.
        ResourceError: another process is writing to the folder, the disk is full, or a decode worker died.
        InterruptedRun: one of `STOP_SIGNALS`; the step under way was finished and saved.
        InputError: the loss is not finite, or too many samples are bad.
    """
    folder, ranks = Path(plan.config.out), plan.ranks
    with ExitStack() as stack:
        stack.enter_context(ranks.joined(plan.device))
        stack.enter_context(_in_one_order(plan.device))
        ranks.first_does(lambda: stack.enter_context(locked(folder)))
        start = ranks.first_does(lambda: starting_point(plan, folder, overwrite))
        run = _begin(plan, folder, stack.enter_context(_stop_on_signals()))
        stack.callback(run.stream.close)
        stack.enter_context(explained())
        if start is not None:
            restore(run, start)
        ranks.share(plan.loss)
        if ranks.first:
            ckpt.write_json(folder / "run.json", {"config": describe(plan.config), "settings": plan.settings})
            for tracker in _open_trackers(run):
                run.trackers.append(tracker)
                stack.callback(tracker.close)
        if start is None and plan.eval_shards is not None:
            ranks.first_does(lambda: _evaluate(run))  # where the curve begins
        _fit(run)
        last = _save(run)
        curves = draw_curves(folder) if ranks.first else None
        bad, legible = sum(ranks.collect([run.bad])), sum(ranks.collect([run.legible]), Legible())
        return TrainResult(run.step, run.resumed, run.seconds, run.samples, bad, legible, run.report, last, curves)


def _begin(plan: Plan, folder: Path, stop: threading.Event) -> Run:
    config = plan.config
    model = make_model(plan).train()
    plan.loss.to(plan.device).train()
    objective = Objective(
        model,
        plan.loss,
        teacher=None if plan.loss.teacher is None else Teacher(model, plan.loss.teacher),
        ranks=plan.ranks,
        parts=config.grad_cache_chunks,
        precision=plan.precision,
        seed=config.seed,
    )
    return Run(
        plan,
        folder,
        model,
        make_stream(plan, model),
        objective,
        Shadow(model, config.ema) if config.ema else None,
        make_optimiser({"model": model.network, "loss": plan.loss}, config.weight_decay),
        torch.amp.GradScaler(plan.device.type, enabled=plan.precision == "fp16"),
        stop,
        Work(plan.device, plan.precision),
    )


def _open_trackers(run: Run) -> list[Tracker]:
    asked = open_trackers(run.plan.config.track, run.folder, run.plan.settings, run.step)
    return [JsonLines(run.folder, run.step), Terminal(run.plan.steps), *asked]


def _fit(run: Run) -> None:
    """Epoch after epoch until the last step."""
    while run.step < run.plan.steps:
        _fit_epoch(run, *divmod(run.step, run.stream.steps_per_epoch))
        if run.plan.eval_shards is not None and not run.stopped:
            run.plan.ranks.first_does(lambda: _evaluate(run))
        _save(run)
        if run.stopped and run.step < run.plan.steps:
            raise InterruptedRun(
                f"stopped after step {run.step} of {run.plan.steps}; it is saved",
                where=str(run.folder),
                fix="the same command resumes",
            )
        _prune(run)


def _fit_epoch(run: Run, epoch: int, done: int) -> None:
    """The steps of one epoch that are left, or fewer if the run ends or is stopped."""
    config, window, ranks = run.plan.config, _Window(work=run.work), run.plan.ranks
    for batch in window.timed(_agreed(run, run.stream.batches(epoch, done))):
        if run.step == epoch * run.stream.steps_per_epoch:
            run.loss.begin_epoch()
        with run.work.counted():
            out, norm = _step(run, batch.to(run.plan.device))
        run.step += 1
        run.bad += len(batch.bad)
        run.legible += batch.legible
        window.legible += batch.legible
        window.samples += len(batch.keys) * ranks.count
        window.steps += 1
        if run.step % config.log_every == 0 or run.step == run.plan.steps:
            epochs = {"epoch": run.step / run.stream.steps_per_epoch}
            _warn_of_alike(run, window.legible)
            _log(run, epochs | window.rates() | _numbers(run, out) | {"grad_norm": float(norm)})
        if run.step == run.plan.steps:
            break
        if config.save_every and run.step % config.save_every == 0:
            _save(run)
            _prune(run)
    run.seconds += window.total_seconds
    run.samples += window.total_samples


def _agreed(run: Run, batches: Generator[Batch]) -> Iterator[Batch]:
    """The batches, until any rank stops; an error of one rank's stream is raised on all.

    The vote comes before a step's first collective, so that no rank waits for one that has left. However this ends,
    the stream is closed: its thread must not outlive the run.
    """
    with closing(batches):
        while True:
            batch, error = None, None
            try:
                batch = next(batches, None)
            except NegmineError as problem:
                error = problem
            if run.plan.ranks.agree(run.stop.is_set(), error):
                run.stopped = True
                return
            if batch is None:
                return
            yield batch


def _save(run: Run) -> Path:
    return run.plan.ranks.first_does(lambda: save(run))


def _prune(run: Run) -> None:
    if run.plan.ranks.first:
        ckpt.prune(run.folder, run.plan.config.keep)


def _step(run: Run, batch: Batch) -> tuple[LossOut, torch.Tensor]:
    """One optimiser step: gradients of the joined batch, clipped, the logit scale clamped, the copies moved."""
    config, plan = run.plan.config, run.plan
    rate = learning_rate(run.step, plan.steps, config.warmup_steps(plan.steps), config.peak_lr)
    set_learning_rate(run.optimiser, rate)
    run.loss.begin_step(run.step, plan.steps)
    out = run.objective.backward(batch, run.step, run.scaler.scale, lambda found: _check_finite(run, batch, found))
    run.scaler.unscale_(run.optimiser)
    norm = clip_gradients(run.optimiser, config.clip_grad)
    run.scaler.step(run.optimiser)
    run.scaler.update()
    run.optimiser.zero_grad(set_to_none=True)
    with torch.no_grad():
        run.model.logit_scale.clamp_(0, MAX_LOG_SCALE)
    if run.average is not None:
        run.average.follow(run.model.network)
    if run.objective.teacher is not None:
        run.objective.teacher.after_step(run.step + 1, run.model.network)
    return out, norm


def _warn_of_alike(run: Run, legible: Legible) -> None:
    """Say it once, at the first row, where the model cannot read what many negatives differ in."""
    if run.plan.ranks.first and legible == run.legible and legible.percent_alike > MANY_ALIKE:
        note(
            f"{legible.alike:,} of {legible.total:,} negatives are equal to a true caption for this model and are left "
            f"out: it reads {run.model.context_length} tokens; shorten the captions, or use a model that reads more"
        )


def _check_finite(run: Run, batch: Batch, out: LossOut) -> None:
    """Stop at a loss that is not a number; it is the same on all ranks, so all stop."""
    if torch.isfinite(out.total):
        return
    path = run.folder / "non_finite.json"
    parts = {name: str(float(value.detach())) for name, value in out.parts.items()}
    keys = run.plan.ranks.collect(batch.keys)
    if run.plan.ranks.first:
        ckpt.write_json(path, {"step": run.step, "keys": keys, "parts": parts})
    raise InputError(
        f"the loss of step {run.step + 1} is not finite",
        where=f"{path} holds the keys of its batch",
        why=", ".join(f"{name} {value}" for name, value in parts.items()),
        fix="lower --lr, use --precision fp32 or bf16, or look at these samples; the last checkpoint is good",
    )


def _evaluate(run: Run) -> None:
    """Score the model, or the average of its weights. Rank 0 alone."""
    assert run.plan.eval_shards is not None  # the caller asked
    model = run.average.model if run.average else run.model
    report = evaluate(model, shard_items(run.plan.eval_shards), retrieval=True, max_bad=run.plan.config.max_bad)
    recalls = {f"eval/{name}": value for name, value in report.retrieval.items() if name.endswith("R@1")}
    accuracy = (
        {"eval/accuracy": report.micro.share, "eval/accuracy, mean of kinds": report.macro} if report.kinds else {}
    )
    pairs = sum(report.pairs.values(), Pairs())
    groups = {"eval/2x2 group score": pairs.group / pairs.total} if pairs.total else {}
    kinds = {f"{BY_KIND}{kind}": found.share for kind, found in report.kinds.items()}
    _log(run, {**accuracy, **groups, **recalls, **kinds})
    run.report = report
    score = report.micro.share if report.kinds else report.retrieval["text to image R@1"]
    best = ckpt.read_best(run.folder)
    if best is None or score > best["score"]:
        of = "accuracy against negatives" if report.kinds else "text to image R@1"
        ckpt.write_json(run.folder / ckpt.BEST_NAME, {"checkpoint": save(run).name, "score": score, "of": of})


@contextmanager
def _in_one_order(device: torch.device) -> Iterator[None]:
    """On a CPU gradients of what several read (positions, repeated texts) are summed in one order.

    Else torch's threads add them as they come, and no two runs of several threads are the same.
    """
    switches: Any = torch.utils.deterministic
    before = torch.are_deterministic_algorithms_enabled(), switches.fill_uninitialized_memory
    if device.type == "cpu":
        torch.use_deterministic_algorithms(True, warn_only=True)
        switches.fill_uninitialized_memory = False  # which is slow, and nothing here reads such memory
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before[0])
        switches.fill_uninitialized_memory = before[1]


@contextmanager
def _stop_on_signals() -> Iterator[threading.Event]:
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


# --- numbers ----------------------------------------------------------------------------------------------------------


@dataclass
class _Window:
    """Time and samples since the last log, and in all."""

    samples: int = 0
    legible: Legible = field(default_factory=Legible)
    waited: float = 0.0
    started: float = field(default_factory=time.perf_counter)
    total_seconds: float = 0.0
    total_samples: int = 0
    steps: int = 0
    work: Work | None = None

    def timed(self, batches: Iterator[Batch]) -> Iterator[Batch]:
        """The same batches; waiting for them is counted."""
        while True:
            asked = time.perf_counter()
            batch = next(batches, None)
            self.waited += time.perf_counter() - asked
            if batch is None:
                break
            yield batch
        self.rates()

    def rates(self) -> dict[str, float]:
        """Samples/s and the share of time spent waiting for data; starts a new window."""
        seconds = max(time.perf_counter() - self.started, 1e-9)
        rates = {"samples_per_s": self.samples / seconds, "data_wait_percent": 100 * self.waited / seconds}
        rates |= {"alike_negatives_percent": self.legible.percent_alike} if self.legible.total else {}
        rates |= self.work.rates(self.steps, seconds) if self.work else {}
        self.total_seconds += seconds
        self.total_samples += self.samples
        self.samples, self.legible, self.steps, self.waited = 0, Legible(), 0, 0.0
        self.started = time.perf_counter()
        return rates


def _numbers(run: Run, out: LossOut) -> dict[str, float]:
    numbers = {"loss": float(out.total.detach())}
    numbers |= {f"loss/{name}": float(value.detach()) for name, value in out.parts.items()}
    numbers |= {"lr": run.optimiser.param_groups[0]["lr"], "logit_scale": float(run.model.logit_scale.detach().exp())}
    for name, value in out.stats.items():
        flat = value.flatten().tolist()
        numbers |= {name: flat[0]} if len(flat) == 1 else {f"{name}/{i}": number for i, number in enumerate(flat)}
    return numbers


def _log(run: Run, values: dict[str, float]) -> None:
    for tracker in run.trackers:
        tracker.log(run.step, values)
